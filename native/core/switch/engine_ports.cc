// Ports come and go while traffic flows. Each change is one command per forwarding thread; nobody else loses a frame by it.
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/ports/pcap/pcap_port.h"
#include "core/ports/vale/vale_region.h"
#include "core/switch/engine_impl.h"
#include "core/switch/scratch.h"

namespace paste {

namespace {

// More than the fullest port fills: 16 rings of 4096 slots, 256 frames a round.
constexpr uint32_t kLastRounds = 512;

std::string switch_name_of(const std::string& port) { return port.substr(0, port.find(':')); }

}  // namespace

Status SwitchEngine::attach(const std::string& name, const std::string& spec, const PortOptions& options, bool wait) {
  if (Status status = check_vale_name(name); !status.ok()) return status;
  if (Status status = check_port_options(name, options); !status.ok()) return status;
  if (const PortKind* kind = port_kind_of(spec)) return attach_device(name, spec, *kind, options, wait);
  if (spec.empty()) {
    const std::lock_guard lock(mutex_);
    if (drained_) return {Code::kUsage, "the engine is drained: " + name + " cannot be attached any more"};
    if (standing_.contains(name) || ports_.contains(name)) return {Code::kPort, name + " is attached already"};
    standing_[name].options = options;
    broken_.erase(name);
    return {};
  }
  if (spec.rfind("pcap:", 0) != 0)
    return {Code::kUsage, name + ": port kind of \"" + spec + "\" is not known; use " + port_kind_names() +
                              "pcap:FILE, or nothing for a vale port"};
  std::unique_ptr<PcapPort> port;
  if (Status status = PcapPort::create(name, spec, clock_, store_ ? store_->buffers() : nullptr, &port); !status.ok())
    return status;
  return attach_port(std::move(port), options);
}

Status SwitchEngine::detach(const std::string& name) {
  std::unique_ptr<Port> port;
  uint32_t thread = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto wish = standing_.find(name);
    const bool on_device = wish != standing_.end() && wish->second.kind != nullptr;
    const bool stood = standing_.erase(name) + broken_.erase(name) != 0;
    const auto it = ports_.find(name);
    if (it == ports_.end()) return stood ? Status() : Status(Code::kPort, "no port " + name + " is attached");
    if (it->second.session != 0 && server_) server_->dismiss(it->second.session);
    thread = it->second.number >> 8;
    port = detach_locked(it);
    if (!on_device) return {};
  }
  const std::lock_guard turn(devices_mutex_);
  bury(std::move(port), thread);
  return {};
}

Status SwitchEngine::attach_port(std::unique_ptr<Port> port, const PortOptions& options) {
  if (Status status = check_port_options(port->name(), options); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  return attach_locked(std::move(port), 0, options);
}

Status SwitchEngine::on_attach(std::unique_ptr<ValePort> port, const MirrorOptions& mirror) {
  const std::lock_guard lock(mutex_);
  const uint64_t session = port->session();
  if (Status status = check_share(port->client().uid); !status.ok()) return status;
  const uint32_t thread = thread_of_region(port->region().get());
  const auto standing = standing_.find(port->name());
  if (standing == standing_.end()) return attach_locked(std::move(port), session, {{}, mirror}, thread);
  if (standing->second.kind != nullptr) return {Code::kPort, port->name() + " is in use"};  // by a device, even while it is away
  return attach_locked(std::move(port), session, standing->second.options, thread);
}

Status SwitchEngine::check_share(int32_t uid) const {
  const auto all = static_cast<uint32_t>(workers_.size()) * kPortsMax;
  const uint32_t share = user_share(uid, all);
  const auto theirs = std::count_if(ports_.begin(), ports_.end(), [&](const auto& each) {
    return each.second.session != 0 && static_cast<const ValePort&>(*each.second.port).client().uid == uid;
  });
  if (static_cast<uint32_t>(theirs) < share) return {};
  return {Code::kResource, "user " + std::to_string(uid) + " has its share of the switch's ports, " + std::to_string(share) + " of " +
                               std::to_string(all) + ": close some"};
}

bool SwitchEngine::on_change(const std::string& name, uint64_t session, const std::function<void(ValePort&)>& change) {
  const std::lock_guard lock(mutex_);
  const auto it = ports_.find(name);
  if (it == ports_.end() || it->second.session != session) return false;
  auto& port = static_cast<ValePort&>(*it->second.port);  // only vale ports have sessions
  Worker& owner = *workers_[it->second.number >> 8];
  const uint16_t index = static_cast<uint16_t>(it->second.number & 0xff);
  owner.call([&] {
    const int before = port.doorbell();
    change(port);
    owner.change_doorbell(index, before);
  });
  return true;
}

// Ports of one memory region are one thread's: buffers move between them.
uint32_t SwitchEngine::thread_of_region(const ValeRegion* region) const {
  for (const auto& [name, attached] : ports_)
    if (attached.session != 0 && static_cast<const ValePort&>(*attached.port).region().get() == region)
      return attached.number >> 8;
  return kAnyThread;
}

// What a client published before it ended still enters the switch, as it would from a kernel's port: a program may sync and exit.
// Each look is one round of the port's thread; another process that holds the memory cannot make it many.
void SwitchEngine::on_gone(const std::string& name, uint64_t session) {
  bool waiting = true;
  for (uint32_t rounds = 0; waiting && rounds < kLastRounds; rounds++)
    if (!on_change(name, session, [&waiting](ValePort& port) { waiting = port.has_waiting(); })) break;
  const std::lock_guard lock(mutex_);
  const auto it = ports_.find(name);
  if (it != ports_.end() && it->second.session == session) detach_locked(it);
}

// Switches come into being with their first port and stay: what their tables counted stays, too.
Status SwitchEngine::switch_of(const std::string& port_name, Switch** found) {
  const std::string name = switch_name_of(port_name);
  *found = find_switch(name);
  if (*found != nullptr) return {};
  if (switches_.size() == kSwitchesMax)
    return {Code::kResource, "no room for switch " + name + ": " + std::to_string(kSwitchesMax) + " switches are in use"};
  auto made = std::make_unique<Switch>(MacTable::Options{.entries = options_.mac_entries,
                                                         .entries_per_port = options_.mac_entries_per_port,
                                                         .age_ms = options_.mac_age_ms});
  made->name = name;
  made->index = static_cast<uint32_t>(switches_.size());
  *found = made.get();
  switches_[name] = std::move(made);
  return {};
}

// The thread with the fewest ports; a device that is away or being opened has its place.
uint32_t SwitchEngine::choose_thread() const {
  std::vector<uint32_t> counts(workers_.size());
  for (const auto& [name, port] : ports_) counts[port.number >> 8]++;
  for (const auto& [name, wish] : standing_)
    if (wish.thread != kAnyThread && !ports_.contains(name)) counts[wish.thread]++;
  uint32_t thread = 0;
  for (uint32_t i = 1; i < counts.size(); i++)
    if (counts[i] < counts[thread]) thread = i;
  return thread;
}

// The first free index of the thread.
Status SwitchEngine::place_port(uint32_t thread, uint32_t* number) const {
  PortBits used;
  uint32_t count = 0;
  for (const auto& [name, port] : ports_) {
    used.add(port.number);
    if (port.number >> 8 == thread) count++;
  }
  if (count == kPortsMax)
    return {Code::kResource, "no room for another port: " + std::to_string(kPortsMax) + " per forwarding thread are in use"};
  *number = thread << 8;
  while (used.has(*number)) ++*number;
  return {};
}

// The first free index among mirror ports.
Status SwitchEngine::place_mirror(const std::string& name, const MirrorOptions& mirror, uint32_t* index) const {
  *index = 0;
  if (!mirror.listens()) return {};
  uint64_t used = 0;
  for (const auto& [other, port] : ports_)
    if (port.mirror.listens()) used |= uint64_t{1} << port.mirror_index;
  if (~used == 0)
    return {Code::kResource, name + ": no room for another mirror port: " + std::to_string(kMirrorsMax) + " are in use"};
  *index = static_cast<uint32_t>(std::countr_one(used));
  return {};
}

SwitchEngine::Views SwitchEngine::make_views(const Switch& home, const Attached* without) const {
  std::vector<ViewPort> ports;
  for (const auto& [name, port] : ports_)
    if (port.home == &home && &port != without)
      ports.push_back({&name, port.number, port.port->sink(), &port.port->vlan, &port.mirror, port.mirror_index});
  return make_switch_views(ports, static_cast<uint32_t>(workers_.size()), const_cast<MacTable*>(&home.table), home.index);
}

std::unique_ptr<RuleSet> SwitchEngine::resolved_rules(const Attached* without) const {
  if (!rules_) return nullptr;
  std::vector<PortName> names;
  for (const auto& [name, port] : ports_)
    if (&port != without) names.push_back({name, port.number});
  return rules_->resolve(names);
}

std::vector<uint8_t> SwitchEngine::port_event(const Port& port, layout::PortEvent event) const {
  const layout::PortPayload head = {port.id, store_ ? store_->epoch() : 0, static_cast<uint8_t>(port.kind()),
                                    static_cast<uint8_t>(event),
                                    static_cast<uint16_t>(event == layout::kDescribed ? ports_.size() : 0)};
  std::vector<uint8_t> payload(sizeof head + port.name().size());
  std::memcpy(payload.data(), &head, sizeof head);
  std::memcpy(payload.data() + sizeof head, port.name().data(), port.name().size());
  return payload;
}

// One command for each thread: new views, rules resolved for the ports there are now, and the port itself for its owner.
void SwitchEngine::change_ports(Switch& home, Views views, const Attached* added, const Attached* removed) {
  const Attached& changed = added ? *added : *removed;
  const Port& port = *changed.port;
  const uint32_t owner = changed.number >> 8;
  const uint16_t index = static_cast<uint16_t>(changed.number & 0xff);
  std::unique_ptr<RuleSet> resolved = resolved_rules(removed);
  const std::vector<uint8_t> event = port_event(port, added ? layout::kAttached : layout::kDetached);
  const auto command = [&](uint32_t w) {
    Worker& worker = *workers_[w];
    Lane* lane = worker.lane();
    worker.set_port_id(changed.number, added ? port.id : 0);
    if (lane && added) lane->describe_port(port.id, store_->epoch(), port.kind(), port.name());
    if (changed.mirror.listens()) worker.set_mirror(changed.mirror_index, added ? changed.number : kNowhere);
    worker.set_view(home.views.empty() ? nullptr : home.views[w].get(), views[w].get());
    if (w == owner && added) worker.add_port(changed.port.get(), index, views[w].get(), changed.mirror.listens());
    if (w == owner && removed) {
      worker.remove_port(index);
      home.table.kill_port(changed.number);
    }
    if (resolved) worker.set_rules(resolved.get(), tallies_[w].data());
    if (w == owner) worker.log_event(layout::kPort, clock_.now_ns(), event);
    if (lane && removed) lane->forget_port(port.id);
  };
  // Who is new gives frames last, who goes gives none first: no thread hears of a port that it cannot place.
  if (removed) workers_[owner]->call([&] { command(owner); });
  for (uint32_t w = 0; w < workers_.size(); w++)
    if (w != owner) workers_[w]->call([&, w] { command(w); });
  if (added) workers_[owner]->call([&] { command(owner); });
  home.views = std::move(views);
  if (resolved) resolved_ = std::move(resolved);
}

Status SwitchEngine::attach_locked(std::unique_ptr<Port>&& port, uint64_t session, const PortOptions& options, uint32_t thread) {
  const std::string name = port->name();
  if (drained_) return {Code::kPort, name + ": the switch is shutting down"};
  if (ports_.contains(name)) return {Code::kPort, name + " is in use"};
  broken_.erase(name);
  Switch* home = nullptr;
  if (Status status = switch_of(name, &home); !status.ok()) return status;
  Attached attached;
  if (thread == kAnyThread) thread = choose_thread();
  if (Status status = place_port(thread, &attached.number); !status.ok()) return status;
  if (Status status = place_mirror(name, options.mirror, &attached.mirror_index); !status.ok()) return status;
  port->id = next_id();
  port->index = static_cast<uint16_t>(attached.number & 0xff);
  port->vlan = options.vlan;
  attached.mirror = options.mirror;
  attached.home = home;
  attached.session = session;
  attached.port = std::move(port);
  home->table.add_port(attached.number, attached.port->id);
  Attached& placed = ports_[name] = std::move(attached);
  if (!taps_.empty()) {
    for (const auto& tap : taps_) tap->memory->add_name(placed.port->id, name);
    change_taps();  // before its first frame
  }
  change_ports(*home, make_views(*home, nullptr), &placed, nullptr);
  return {};
}

std::unique_ptr<Port> SwitchEngine::detach_locked(std::map<std::string, Attached>::iterator it) {
  Attached& attached = it->second;
  Switch& home = *attached.home;
  Worker& owner = *workers_[attached.number >> 8];
  change_ports(home, make_views(home, &attached), nullptr, &attached);
  MacEvents events;
  home.table.sweep_port(attached.number, &events);
  log_mac_events(events);
  owner.wait_until_left(static_cast<uint16_t>(attached.number & 0xff));
  add_counters(detached_, attached.port->counters);
  for (auto& worker : workers_)
    if (worker->foreign(attached.number) != nullptr)
      worker->call([&] { add_counters(detached_, worker->take_foreign(attached.number)); });
  std::unique_ptr<Port> port = std::move(attached.port);
  ports_.erase(it);
  return port;
}

}  // namespace paste
