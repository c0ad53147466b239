#include "core/replay/shadow_switch.h"

#include <algorithm>

#include "core/ports/polled_port.h"
#include "core/switch/pending.h"
#include "core/switch/switch_view.h"

namespace paste {

// Gives the frames that forward() has for it, and takes every copy: who got one is noted, nothing is kept.
class ShadowSwitch::MemoryPort final : public PolledPort {
 public:
  MemoryPort(std::string name, uint32_t place, bool sink, bool listens, std::vector<PortSet>* reached)
      : name_(std::move(name)), place_(place), sink_(sink), listens_(listens), reached_(reached) {}

  layout::PortKind kind() const override { return layout::kImportPort; }
  const std::string& name() const override { return name_; }
  uint32_t frame_bytes_max() const override { return kLiveFrameBytesMax; }
  bool sink() const override { return sink_; }

  void give(std::span<const ShadowFrame> frames) { waiting_ = frames; }
  size_t waiting() const { return waiting_.size(); }

  uint32_t receive(Batch& batch, uint32_t max) override {
    const auto count = std::min({max, static_cast<uint32_t>(waiting_.size()), kBatchFrames - batch.count});
    for (uint32_t i = 0; i < count; ++i) {
      Frame& frame = batch.frames[batch.count++];
      frame = {};
      frame.bytes = waiting_[i].bytes;
      frame.length = frame.wire_length = waiting_[i].length;
      frame.ingress = index;
    }
    waiting_ = waiting_.subspan(count);
    return count;
  }
  void unreceive(uint32_t) override {}  // nothing is logged, so nothing is held back
  void release(const Batch&, std::span<const uint16_t>) override {}
  uint32_t reserve(const Batch&, std::span<const uint16_t> frames) override {
    for (const uint16_t i : frames)
      if (!listens_) (*reached_)[i][place_ / 64] |= uint64_t{1} << place_ % 64;
    return static_cast<uint32_t>(frames.size());
  }
  uint32_t deliver(const Batch&, std::span<const uint16_t> frames) override { return static_cast<uint32_t>(frames.size()); }
  void cancel(const Batch&, std::span<const uint16_t>) override {}

 private:
  const std::string name_;
  const uint32_t place_;
  const bool sink_, listens_;
  std::vector<PortSet>* const reached_;
  std::span<const ShadowFrame> waiting_;
};

struct ShadowSwitch::Switch {
  explicit Switch(const MacTable::Options& options) : table(options) {}
  MacTable table;
  uint32_t index = 0;
  std::vector<std::unique_ptr<SwitchView>> views;
};

struct ShadowSwitch::Attached {
  std::unique_ptr<MemoryPort> port;
  MirrorOptions mirror;
  uint32_t mirror_index = 0;
  Switch* home = nullptr;
};

ShadowSwitch::ShadowSwitch(ShadowOptions options) : options_(std::move(options)), reached_(kBatchFrames) { reset(); }

ShadowSwitch::~ShadowSwitch() = default;

void ShadowSwitch::reset() {
  ages_ = true;
  clear();
}

void ShadowSwitch::clear() {
  worker_ = std::make_unique<Worker>(WorkerOptions{}, nullptr);
  worker_->hold_tick(tick_);
  by_id_.clear();
  ports_.clear();
  switches_.clear();
}

void ShadowSwitch::set_tick(uint32_t tick) {
  tick_ = std::max(tick_, tick);
  worker_->hold_tick(tick_);
}

const PortOptions& ShadowSwitch::options_of(const std::string& name) const {
  static const PortOptions kNone;
  const auto found = options_.ports.find(name);
  return found == options_.ports.end() ? kNone : found->second;
}

ShadowSwitch::Switch& ShadowSwitch::switch_of(const std::string& port) {
  std::unique_ptr<Switch>& found = switches_[port.substr(0, port.find(':'))];
  if (found) return *found;
  MacTable::Options table;
  table.entries = options_.mac_entries;
  table.entries_per_port = options_.mac_entries_per_port;
  table.age_ms = ages_ ? options_.mac_age_ms : 0;
  table.seed = 1;  // the same places each time
  found = std::make_unique<Switch>(table);
  found->index = static_cast<uint32_t>(switches_.size() - 1);
  return *found;
}

// Tables are made anew, with what they hold.
void ShadowSwitch::stop_ageing() {
  if (!ages_) return;
  ages_ = false;
  struct Entry {
    uint64_t key;
    uint32_t id;
    bool is_static;
  };
  std::vector<Entry> entries;
  for (const auto& [name, home] : switches_)
    home->table.each(tick_, [&](const MacEntry& entry) {
      entries.push_back({entry.key, ports_[entry.port]->port->id, entry.is_static});
    });
  struct Known {
    uint32_t id;
    std::string name;
    bool sink;
  };
  std::vector<Known> known;
  for (const auto& attached : ports_)
    if (attached) known.push_back({attached->port->id, attached->port->name(), attached->port->sink()});
  clear();
  for (const Known& each : known) PASTE_CHECK(attach(each.id, each.name, each.sink).ok());
  for (const Entry& each : entries) each.is_static ? add_static(each.key, each.id) : learn(each.key, each.id);
}

Status ShadowSwitch::attach(uint32_t id, const std::string& name, bool sink) {
  if (by_id_.contains(id)) return {};
  uint32_t place = 0;
  while (place < ports_.size() && ports_[place]) ++place;
  uint64_t mirrors = 0;
  for (const auto& other : ports_)
    if (other && other->mirror.listens()) mirrors |= uint64_t{1} << other->mirror_index;
  const PortOptions& options = options_of(name);
  if (place == kPortsMax || (options.mirror.listens() && ~mirrors == 0) || (switches_.size() >= kSwitchesMax))
    return {Code::kResource, name + ": more ports at a time than can be followed (" + std::to_string(kPortsMax) + ")"};
  if (place == ports_.size()) ports_.emplace_back();
  auto made = std::make_unique<Attached>();
  made->port = std::make_unique<MemoryPort>(name, place, sink, options.mirror.listens(), &reached_);
  made->port->id = id;
  made->port->index = static_cast<uint16_t>(place);
  made->port->vlan = options.vlan;
  made->mirror = options.mirror;
  made->mirror_index = static_cast<uint32_t>(__builtin_ctzll(~mirrors));
  made->home = &switch_of(name);
  Attached& attached = *(ports_[place] = std::move(made));
  by_id_[id] = place;
  attached.home->table.add_port(place, id);
  change_views(*attached.home, nullptr);
  if (attached.mirror.listens()) worker_->set_mirror(attached.mirror_index, place);
  worker_->add_port(attached.port.get(), static_cast<uint16_t>(place), attached.home->views[0].get(), attached.mirror.listens());
  return {};
}

void ShadowSwitch::detach(uint32_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  const uint32_t place = found->second;
  Attached& attached = *ports_[place];
  worker_->remove_port(static_cast<uint16_t>(place));
  change_views(*attached.home, &attached);
  if (attached.mirror.listens()) worker_->set_mirror(attached.mirror_index, kNowhere);
  attached.home->table.kill_port(place);
  attached.home->table.sweep_port(place, nullptr);
  by_id_.erase(found);
  ports_[place].reset();
}

void ShadowSwitch::change_views(Switch& home, const Attached* without) {
  std::vector<ViewPort> ports;
  for (const auto& each : ports_)
    if (each && each.get() != without && each->home == &home)
      ports.push_back({&each->port->name(), each->port->index, each->port->sink(), &each->port->vlan, &each->mirror, each->mirror_index});
  auto views = make_switch_views(ports, 1, &home.table, home.index);
  worker_->set_view(home.views.empty() ? nullptr : home.views[0].get(), views[0].get());
  home.views = std::move(views);
}

ShadowSwitch::Attached* ShadowSwitch::find(uint32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : ports_[found->second].get();
}

const std::string& ShadowSwitch::name_at(uint32_t place) const {
  static const std::string kGone = "a port that is gone";
  return place < ports_.size() && ports_[place] ? ports_[place]->port->name() : kGone;
}

void ShadowSwitch::learn(uint64_t key, uint32_t id) {
  const Attached* attached = find(id);
  if (attached == nullptr) return;
  MacTable& table = attached->home->table;
  if (table.lookup(key, table.place(key), tick_) == attached->port->index) return;
  table.remove(key, tick_, nullptr);
  table.learn(key, table.place(key), attached->port->index, tick_, nullptr);
}

void ShadowSwitch::add_static(uint64_t key, uint32_t id) {
  if (const Attached* attached = find(id)) attached->home->table.add(key, attached->port->index, tick_, nullptr);
}

void ShadowSwitch::remove(uint64_t key, uint32_t id) {
  if (const Attached* attached = find(id)) attached->home->table.remove(key, tick_, nullptr);
}

void ShadowSwitch::forget_learned() {
  for (const auto& [name, home] : switches_) home->table.flush(kMacUnknown, nullptr);
}

void ShadowSwitch::flush(uint32_t id, bool whole_switch) {
  if (Attached* attached = find(id)) attached->home->table.flush(whole_switch ? kMacUnknown : by_id_.at(id), nullptr);
}

uint32_t ShadowSwitch::lookup(uint64_t key, uint32_t id, uint32_t tick) const {
  const Attached* attached = find(id);
  if (attached == nullptr || mac_is_group(key)) return 0;
  const MacTable& table = attached->home->table;
  const uint32_t place = table.lookup(key, table.place(key), tick);
  return place < ports_.size() && ports_[place] ? ports_[place]->port->id : 0;
}

void ShadowSwitch::forward(uint32_t id, std::span<const ShadowFrame> frames, std::vector<Decision>* decisions) {
  decisions->clear();
  Attached* from = find(id);
  PASTE_CHECK(from != nullptr);
  from->port->give(frames);
  while (from->port->waiting() != 0) {
    std::fill_n(reached_.begin(), std::min<size_t>(reached_.size(), from->port->waiting()), PortSet{});
    PASTE_CHECK(worker_->round());
    decide(*from, worker_->last_batch().batch.count, decisions);
  }
}

void ShadowSwitch::decide(const Attached& from, uint32_t count, std::vector<Decision>* decisions) {
  const Pending& batch = worker_->last_batch();
  for (uint32_t i = 0; i < count; ++i) {
    Decision decision;
    const uint16_t to = batch.destination[i];
    decision.drop = batch.drop[i];
    decision.copies = batch.intended[i];
    decision.flooded = to == kFlood;
    decision.ports = reached_[i];
    if (to < ports_.size() && ports_[to]) decision.answer = ports_[to]->port->id;
    if (to == kNowhere && decision.drop == 1 + static_cast<uint8_t>(Drop::hairpin)) decision.answer = from.port->id;
    if (to == kNowhere && decision.drop == 1 + static_cast<uint8_t>(Drop::vlan_egress)) decision.answer = Decision::kSomewhere;
    decisions->push_back(decision);
  }
}

}  // namespace paste
