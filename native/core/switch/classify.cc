// Where a batch's frames belong and where they go: VLANs of their ports, learning, look-up.
#include "core/frame/wire.h"
#include "core/switch/scratch.h"
#include "core/switch/worker.h"

namespace paste {
namespace {

// The FID of a frame: its outermost VLAN id, 0 without a tag. `tail` = the 8 bytes from the source address on.
uint64_t fid_of(const uint8_t* bytes, uint32_t length, uint64_t tail) {
  const uint32_t type = static_cast<uint32_t>(tail >> 48);  // little-endian load of a big-endian field
  if (__builtin_expect(type != 0x0081 && type != 0xa888, 1) || length < 16) return 0;
  return static_cast<uint64_t>(wire::big16(bytes + 14) & 0xfff) << 48;
}

// Source and target as the learning table knows them.
struct Keys {
  uint64_t source, target;
};
Keys keys_of(const Frame& frame) {
  const uint64_t tail = wire::load64(frame.bytes + 6);
  const uint64_t fid = fid_of(frame.bytes, frame.length, tail);
  return {(tail & kMacMask) | fid, (wire::load64(frame.bytes) & kMacMask) | fid};
}
// Of an admitted frame in a switch with VLANs: where its port has some, the VLAN says what the address belongs to.
Keys keys_of(const Frame& frame, const VlanConfig& in) {
  if (!in.aware()) return keys_of(frame);
  const uint64_t fid = static_cast<uint64_t>(frame.vlan) << 48;
  return {(wire::load64(frame.bytes + 6) & kMacMask) | fid, (wire::load64(frame.bytes) & kMacMask) | fid};
}

}  // namespace

void Worker::classify(Pending& pending) {
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    const PortSlot& slot = slots_[run.port];
    if (__builtin_expect(slot.mirror, 0)) {
      for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) keep_back(pending, i, Drop::mirror_port);
    } else if (__builtin_expect(slot.view->vlan_aware, 0)) {
      classify_run<true>(pending, run);
      keep_inside(pending, run);
    } else {
      classify_run<false>(pending, run);
      if (!peers_.empty()) forget_vlans(pending, run);
    }
  }
}

// A thread that these frames cross to may know of a port with VLANs already.
void Worker::forget_vlans(Pending& pending, const Run& run) {
  for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
    pending.batch.frames[i].vlan = 0;
    pending.batch.frames[i].tagged = false;
  }
}

// The frame goes nowhere, and teaches nothing.
void Worker::keep_back(Pending& pending, uint32_t i, Drop reason) {
  pending.must_wait[i] = false;
  pending.destination[i] = kNowhere;
  pending.drop[i] = 1 + static_cast<uint8_t>(reason);
}

// An address may be known behind a port that the frame's VLAN does not reach: a static one, or one that other tags taught.
void Worker::keep_inside(Pending& pending, const Run& run) {
  const SwitchView& view = *slots_[run.port].view;
  for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
    const uint32_t to = pending.destination[i];
    if (to < kSwitchPortsMax && !view.members(pending.batch.frames[i].vlan).sink_bits.has(to))
      keep_back(pending, i, Drop::vlan_egress);
  }
}

// Learns and looks up. What this thread has asked the table since it last changed it remembers: stations that talk are few, and
// remembering costs a third of asking. Only what it does not know goes to the table, whose buckets are fetched ahead.
template <bool vlans>
void Worker::classify_run(Pending& pending, const Run& run) {
  const SwitchView& view = *slots_[run.port].view;
  const MacTable& table = *view.table;
  Scratch& s = *scratch_;
  const uint64_t version = mac_memory_->version(table, view.index, mac_tick_);
  const uint64_t self = options_.thread << 8 | run.port;
  uint32_t asked = 0;
  [[maybe_unused]] const VlanConfig& in = slots_[run.port].port->vlan;
  for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
    Frame& frame = pending.batch.frames[i];
    if constexpr (vlans) {
      if (!admit_frame(in, frame)) {
        keep_back(pending, i, Drop::vlan_ingress);
        continue;
      }
    }
    const Keys keys = vlans ? keys_of(frame, in) : keys_of(frame);
    const MacMemory::Entry& from = mac_memory_->entry(keys.source);
    const MacMemory::Entry& to = mac_memory_->entry(keys.target);
    pending.must_wait[i] = false;
    pending.drop[i] = 0;
    const uint64_t differs = (from.key ^ keys.source) | (from.word ^ (version | MacMemory::kFresh | self)) |
                             (to.key ^ keys.target) | ((to.word ^ version) >> 16);
    if (__builtin_expect(differs == 0, 1)) {
      set_destination(pending, i, to.word & (kMacPortsMax - 1), self);
      continue;
    }
    s.asked[asked++] = static_cast<uint16_t>(i);
    table.prefetch(table.place(keys.source));
    table.prefetch(table.place(keys.target));
  }
  if (asked != 0) ask_table(pending, run, {s.asked, asked});
}

// Frame by frame, each after what those before it taught. Once the table changed, every later frame of the run asks it.
void Worker::ask_table(Pending& pending, const Run& run, std::span<const uint16_t> asked) {
  const SwitchView& view = *slots_[run.port].view;
  const uint64_t version = mac_memory_->version(*view.table, view.index, mac_tick_);
  for (const uint16_t i : asked) {
    ask_table(pending, run, i);
    if (__builtin_expect(mac_memory_->version(*view.table, view.index, mac_tick_) == version, 1)) continue;
    for (uint32_t rest = i + 1; rest < static_cast<uint32_t>(run.first + run.count); rest++) ask_table(pending, run, rest);
    return;
  }
}

void Worker::ask_table(Pending& pending, const Run& run, uint32_t i) {
  PortSlot& slot = slots_[run.port];
  MacTable& table = *slot.view->table;
  const uint32_t self = options_.thread << 8 | run.port;
  if (slot.view->vlan_aware && pending.drop[i] == 1 + static_cast<uint8_t>(Drop::vlan_ingress)) return;
  const Frame& frame = pending.batch.frames[i];
  const Keys keys = slot.view->vlan_aware ? keys_of(frame, slot.port->vlan) : keys_of(frame);
  // Versions are taken before the table is asked: an answer that another thread makes old meanwhile is not remembered as new.
  if (slot.learns) {
    const uint64_t version = memory_word(*slot.view);
    MacEvents* events = lane_ != nullptr && rules_ != nullptr && mac_budget_ != 0 ? &mac_events_ : nullptr;
    const Learn result = table.learn(keys.source, table.place(keys.source), self, mac_tick_, events);
    if (result >= Learn::kRefusedSource) slot.port->counters.rejected_learning++;
    if (result == Learn::kKnown)
      mac_memory_->entry(keys.source) = {keys.source, version | MacMemory::kFresh | self};
  }
  pending.drop[i] = 0;
  const uint64_t version = memory_word(*slot.view);  // learning may have changed the table
  const uint32_t to =
      mac_is_group(keys.target) ? kMacUnknown : table.lookup(keys.target, table.place(keys.target), mac_tick_);
  if (to == kMacUnknown) {
    pending.destination[i] = kFlood;
    return;
  }
  set_destination(pending, i, to, self);
  MacMemory::Entry& entry = mac_memory_->entry(keys.target);
  if (entry.key != keys.target || (entry.word ^ version) >> 16 != 0) entry = {keys.target, version | to};
}

void Worker::set_destination(Pending& pending, uint32_t i, uint64_t to, uint64_t self) {
  pending.destination[i] = static_cast<uint16_t>(to);
  if (__builtin_expect(to != self, 1)) return;
  pending.destination[i] = kNowhere;
  pending.drop[i] = 1 + static_cast<uint8_t>(Drop::hairpin);
}

}  // namespace paste
