// What the log says besides frames, as an audit follows it.
#include <algorithm>
#include <cstring>

#include "core/frame/wire.h"
#include "core/replay/audit.h"

namespace paste {
namespace {

// A thread logs at most 256 changes in a tenth of a second: no switch's log has more of an address in the time that counts.
constexpr size_t kChangesMax = 1u << 16;
constexpr uint32_t kImported = ~0u;    // a port that is no switch's
constexpr uint64_t kKeyBits = 60;      // a FID takes 12 of the upper 16 bits: the switch goes into the rest

template <typename T>
bool read(T* into, const uint8_t* bytes, uint32_t length, uint32_t at = 0) {
  if (length < at + sizeof(T)) return false;
  std::memcpy(into, bytes + at, sizeof(T));
  return true;
}

// What a port that has VLANs as `is` makes of an address that one with `was` knows: its frames are taken to be untagged where `was` says no
// other. False: it takes none of them, so it learns nothing.
bool address_behind(const VlanConfig& was, const VlanConfig& is, uint64_t* key) {
  const auto fid = static_cast<uint16_t>(*key >> 48);
  const bool tagged = fid != 0 && !(was.aware() && fid == was.vid);
  uint8_t bytes[kEthernetHeaderBytes + kVlanTagBytes] = {};
  wire::put16(bytes + kMacsBytes, wire::kVlan);
  wire::put16(bytes + kMacsBytes + 2, fid);
  Frame frame;
  frame.bytes = bytes;
  frame.length = tagged ? sizeof bytes : kEthernetHeaderBytes;
  if (!admit_frame(is, frame)) return false;
  *key = (*key & kMacMask) | static_cast<uint64_t>(frame.vlan) << 48;
  return true;
}

}  // namespace

uint64_t Audit::history_key(uint64_t key, uint32_t id) const {
  const auto home = homes_.find(id);
  return key ^ static_cast<uint64_t>(home == homes_.end() ? 0 : home->second.first) << kKeyBits;
}

Status Audit::event(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length) {
  switch (header.type) {
    case layout::kPort:
      return port_event(header, bytes, length);
    case layout::kBoot:
      boot();
      break;
    case layout::kLost:
      missed();
      break;
    case layout::kClockStep: {
      layout::ClockStepPayload step;
      if (read(&step, bytes, length)) stepped_ns_ += static_cast<int64_t>(step.to_ns - step.from_ns);
      break;
    }
    case layout::kMac: {
      clock(header.time_ns);
      const uint32_t count = length / sizeof(layout::MacPayload);
      uint32_t first = 0;
      if (layout::MacPayload change; read(&change, bytes, length) && change.event >= layout::kFlushedPort) {
        flushed(change, header.time_ns);
        first = 1;
      }
      if (events_tick_ != recorded_.tick()) tick_events_ = 0;
      events_tick_ = recorded_.tick();
      if (first == 0) tick_events_ += count;  // what a flush names says nothing that the flush does not
      // The budget of a tick may have ended here: what it left out is missing.
      const bool trusted = tick_events_ < MacEvents::kMax;
      if (!trusted) lost_until_ns_ = std::max(lost_until_ns_, header.time_ns + kOrderNs);
      for (uint32_t i = first; i < count; ++i) {
        layout::MacPayload change;
        read(&change, bytes, length, i * static_cast<uint32_t>(sizeof change));
        mac_change(change, header.time_ns, trusted);
      }
      break;
    }
    default:
      break;
  }
  return {};
}

// A writer begins: no ports, empty tables, and nothing is logged before its rules are there.
void Audit::boot() {
  settle(~0ull);
  recorded_.reset();
  if (other_) other_->reset();
  history_.clear();
  port_changes_.clear();
  ports_known_ = tables_known_ = true;
  logging_ = attached_ = lost_ = false;
}

void Audit::missed() {
  lost_ = true;
  recorded_.stop_ageing();
  if (other_) other_->stop_ageing();
}

void Audit::rules(bool any, bool every) {
  if (attached_ && (!any || !logging_)) tables_known_ = false;  // addresses could be learned, and move, that no record tells of
  if (any && !logging_) {
    settle(~0ull);
    history_.clear();
    recorded_.forget_learned();
    if (other_) other_->forget_learned();
  }
  logging_ = any;
  // Frames without a record would have kept addresses young.
  if (every) return;
  recorded_.stop_ageing();
  if (other_) other_->stop_ageing();
}

Status Audit::port_event(const layout::RecordHeader& header, const uint8_t* bytes, uint32_t length) {
  layout::PortPayload port;
  if (!read(&port, bytes, length)) return {};
  const std::string name(reinterpret_cast<const char*>(bytes) + sizeof port, length - sizeof port);
  const bool imported = port.kind == layout::kImportPort;
  const std::string home = name.substr(0, name.find(':'));
  const auto number = imported ? kImported : switches_.try_emplace(home, static_cast<uint32_t>(switches_.size())).first->second;
  homes_[port.id] = {number, name};
  if (imported) return {};
  if (port.event != layout::kDescribed) port_changes_.push_back(header.time_ns);
  if (port.event == layout::kDetached) {
    recorded_.detach(port.id);
    if (other_) other_->detach(port.id);
    return {};
  }
  // A description repeats what is known; in a log whose beginning is gone it is how a port comes to be known.
  if (port.event == layout::kDescribed && ports_known_) return {};
  attached_ = true;
  const bool sink = port.kind != layout::kPcapPort;
  if (Status status = recorded_.attach(port.id, name, sink); !status.ok()) return status;
  if (Status status = other_ ? other_->attach(port.id, name, sink) : Status(); !status.ok()) return status;
  if (port.event == layout::kDescribed && port.present == recorded_.ports()) ports_known_ = true;
  return {};
}

// `trusted`: every change of this tick is in the log, so the tables can be set by it.
void Audit::mac_change(const layout::MacPayload& change, uint64_t time_ns, bool trusted) {
  const uint64_t key = mac_key(change.mac, change.fid);
  History& history = history_[history_key(key, change.port)];
  const bool gone = change.event == layout::kAged || change.event == layout::kRemoved;
  uint32_t after = gone ? Decision::kUnknown : change.port;
  const bool fresh = history.answer == Decision::kSomewhere && tables_known_;
  const uint32_t before = fresh ? static_cast<uint32_t>(Decision::kUnknown) : history.answer;
  // "Learned" behind "moved" of another thread: it came first, and took its number later.
  const bool late = change.event == layout::kLearned && !history.changes.empty() && before != Decision::kUnknown &&
                    before != Decision::kSomewhere && before != change.port && time_ns <= history.changes.back().time_ns + kOrderNs;
  history.changes.push_back({time_ns, late ? after : before, late ? before : after, change.event == layout::kAged});
  if (late) after = before;
  history.answer = after;
  // What a frame that waits for its doubts may ask for stays, however often the station moves.
  const auto needless = [&] {
    return history.changes.size() > kChangesMax || history.changes.front().time_ns + 4 * kOrderNs < time_ns;
  };
  while (history.changes.size() > 1 && needless()) history.changes.pop_front();
  if (!trusted && change.event != layout::kStatic) return;
  const bool own_ageing = change.event == layout::kAged && recorded_.ages();
  if (own_ageing) return;  // the copy's addresses grow old by themselves
  const auto apply = [&](ShadowSwitch& shadow, uint64_t its_key) {
    if (gone) shadow.remove(its_key, change.port);
    else if (change.event == layout::kStatic) shadow.add_static(its_key, change.port);
    else shadow.learn(its_key, after);
  };
  const bool learned = !gone && change.event != layout::kStatic;
  // A frame of the log taught it: the other copy has seen that frame, and may have refused it.
  const bool seen = learned && recorded_.lookup(key, change.port, recorded_.tick()) == after;
  apply(recorded_, key);
  if (!other_ || seen) return;
  uint64_t other_key = key;
  if (other_address(change.port, &other_key) || !learned) apply(*other_, other_key);
}

// Addresses of which the log never told are not in the history: nothing is known of them before, and nothing is there now.
void Audit::flushed(const layout::MacPayload& change, uint64_t time_ns) {
  const bool whole = change.event == layout::kFlushedSwitch;
  const auto home = homes_.find(change.port);
  recorded_.flush(change.port, whole);
  if (other_) other_->flush(change.port, whole);
  for (auto& [key, history] : history_) {
    const auto its = homes_.find(history.answer);
    if (home == homes_.end() || its == homes_.end()) continue;
    const uint64_t number = home->second.first;
    if (whole ? its->second.first != number : history.answer != change.port) continue;
    const bool is_static = recorded_.lookup(key ^ number << kKeyBits, change.port, recorded_.tick()) == history.answer;
    if (is_static) continue;
    history.changes.push_back({time_ns, history.answer, Decision::kUnknown, false});
    history.answer = Decision::kUnknown;
  }
}

// The address behind this port as the other copy has it. False: it learns nothing there.
bool Audit::other_address(uint32_t port, uint64_t* key) const {
  const auto home = homes_.find(port);
  const std::string name = home == homes_.end() ? "" : home->second.second;
  return address_behind(recorded_.options_of(name).vlan, other_->options_of(name).vlan, key);
}

}  // namespace paste
