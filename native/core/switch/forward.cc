// The first half of a batch's way, but for classify.cc: receive, select and plan, reserve, append.
#include <algorithm>

#include "core/base/system_time.h"
#include "core/switch/flow_hash.h"
#include "core/switch/scratch.h"
#include "core/switch/worker.h"

namespace paste {
namespace {

constexpr uint32_t kQuotaMin = 32;               // frames that a port may give to a batch, however many ports there are
constexpr uint64_t kHoldNs = 50'000;             // FullPolicy::kBlock: how long until the lane is asked again

}  // namespace

// Every port once, from where the last batch ended; each gets its share of the batch, or all of it when nobody else came.
void Worker::receive_all(Pending& pending) {
  Batch& batch = pending.batch;
  const uint32_t ports = port_count();
  const uint32_t quota = std::max(kQuotaMin, kBatchFrames / std::max(1u, busy_ports_));
  uint32_t busy = 0;
  for (uint32_t n = 0; n < ports; n++) {
    if (cursor_ >= ports) cursor_ = 0;
    const uint16_t index = order_[cursor_++];
    PortSlot& slot = slots_[index];
    if (__builtin_expect(slot.held_until_ns != 0, 0)) {
      if (monotonic_ns() < slot.held_until_ns) continue;
      slot.held_until_ns = 0;
      held_ports_--;
    }
    slot.port->complete();
    const uint32_t first = batch.count;
    const uint32_t got = slot.port->receive(batch, quota);
    if (got == 0) {
      // Slots that carried nothing worth a frame were taken all the same: the port gives them back.
      slot.port->release(batch, {});
      continue;
    }
    busy++;
    bool zero_copy = false;
    for (uint32_t i = first; i < first + got; i++) zero_copy |= !batch.frames[i].framed || !batch.arena.holds(batch.frames[i].bytes);
    pending.runs[pending.run_count++] = {index, static_cast<uint16_t>(first), static_cast<uint16_t>(got), zero_copy};
    if (batch.full() || batch.arena.room() < 64 + kLiveFrameBytesMax) break;
  }
  busy_ports_ = busy;
}

// --- select and plan -----------------------------------------------------------------------------------------------------

// Everything but what the destinations say: that comes with append().
[[gnu::always_inline]] inline void Worker::fill_record(FrameRecord& record, const Pending& pending, uint32_t i,
                                                       const Rule& rule, uint32_t keep) {
  const Frame& frame = pending.batch.frames[i];
  const uint32_t to = pending.destination[i];
  const FrameFacts facts = frame_facts(frame.bytes, frame.length);
  record.bytes = frame.bytes;
  record.length = keep;
  record.wire_length = frame.wire_length;
  record.time_ns = last_time_ns_ = std::max(last_time_ns_, frame.time_ns);
  record.store_offset = frame.store_offset;
  // A cut frame has the rest of the frame behind what is kept of it.
  record.framed = frame.framed && keep == frame.length;
  record.padded = pending.batch.arena.holds(frame.bytes);
  record.mark = frame.store_offset != 0 && keep >= slots_[frame.ingress].mark_bytes_min;
  record.flags = static_cast<uint8_t>((rule.strict ? layout::kStrict : 0) | (to == kFlood ? layout::kFlooded : 0) |
                                      (facts.tagged ? layout::kVlanTagged : 0));
  record.ingress = slots_[frame.ingress].id;
  record.egress = to < kSwitchPortsMax ? port_id(to) : 0;
  record.rule = rule.id;
  record.flow_hash = facts.flow_hash;
  record.vlan_tci = facts.vlan_tci;
}

// False when the frame has to wait in its port (FullPolicy::kBlock). Nothing was counted then: it will come again. What gets a
// record is counted by append(), a run of frames at a time.
[[gnu::always_inline]] inline bool Worker::plan(Pending& pending, uint32_t i, uint32_t rule_index, uint32_t keep) {
  Scratch& s = *scratch_;
  Frame& frame = pending.batch.frames[i];
  const Rule& rule = rules_->rules()[rule_index];
  RuleTally& tally = tallies_[rule_index];
  if (rule.skip) {
    tally.hits++;
    return true;
  }
  NotLogged reason = NotLogged::kCount;
  if (rule.sample > 1 && tally.turn % rule.sample != 0) {
    reason = NotLogged::sampled_out;
  } else if (lane_ == nullptr) {
    reason = NotLogged::no_store;
  } else {
    fill_record(s.records[s.record_count], pending, i, rule, keep);
    const PlanResult planned = lane_->plan(s.records[s.record_count]);
    if (planned == PlanResult::kBlock) return false;
    if (PortSlot& slot = slots_[frame.ingress]; __builtin_expect(slot.blocked_since_ns != 0, 0)) {
      counters_.blocked_ns += monotonic_ns() - slot.blocked_since_ns;
      slot.blocked_since_ns = 0;
    }
    if (planned == PlanResult::kFull) reason = lane_->refusal();
  }
  if (rule.sample > 1) tally.turn++;
  if (reason != NotLogged::kCount) {
    tally.hits++;
    counters_.selected++;
    counters_.not_logged[static_cast<size_t>(reason)]++;
    return true;
  }
  frame.marked = s.records[s.record_count].mark;
  s.record_frame[s.record_count] = static_cast<uint16_t>(i);
  s.record_rule[s.record_count] = static_cast<uint16_t>(rule_index);
  s.record_count++;
  s.strict |= rule.strict;
  pending.must_wait[i] = rule.strict;
  return true;
}

// One pass: the rules are asked frame by frame, and what they select is planned in the lane in arrival order.
void Worker::select(Pending& pending) {
  scratch_->record_count = 0;
  scratch_->strict = false;
  if (rules_ == nullptr) return;
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const uint32_t planned = rules_->everything() ? plan_everything(pending, pending.runs[r]) : select_run(pending, pending.runs[r]);
    if (planned != pending.runs[r].count) hold_back(pending, r, pending.runs[r].first + planned);
  }
}

// Both return how many frames of the run may go on: all of them, or those before the first that has to wait.
uint32_t Worker::plan_everything(Pending& pending, const Run& run) {
  const uint32_t snaplen = rules_->rules()[0].snaplen;
  for (uint32_t n = 0; n < run.count; n++) {
    const uint32_t i = run.first + n;
    if (!plan(pending, i, 0, std::min(pending.batch.frames[i].length, snaplen))) return n;
  }
  return run.count;
}

uint32_t Worker::select_run(Pending& pending, const Run& run) {
  const uint32_t self = options_.thread << 8 | run.port;
  const SwitchView& view = *slots_[run.port].view;
  for (uint32_t n = 0; n < run.count; n++) {
    const uint32_t i = run.first + n;
    const uint16_t to = pending.destination[i];
    const Whereto::Kind kind = to == kFlood ? Whereto::kFlood : to == kNowhere ? Whereto::kNowhere : Whereto::kOne;
    uint32_t keep;
    const Frame& frame = pending.batch.frames[i];
    const int32_t rule = rules_->select(frame, self, {kind, to, &view.members(frame.vlan).sink_bits}, &keep);
    if (rule >= 0 && !plan(pending, i, static_cast<uint32_t>(rule), keep)) return n;
  }
  return run.count;
}

// From this frame on, the rest of the run goes back into its port, and the port rests. The others go on.
void Worker::hold_back(Pending& pending, uint32_t run_index, uint32_t frame) {
  Run& run = pending.runs[run_index];
  PortSlot& slot = slots_[run.port];
  const uint32_t count = run.first + run.count - frame;
  slot.port->unreceive(count);
  for (uint32_t i = frame; i < frame + count; i++) pending.destination[i] = kHeldBack;
  run.count = static_cast<uint16_t>(run.count - count);
  const uint64_t now = monotonic_ns();
  if (slot.blocked_since_ns != 0) counters_.blocked_ns += now - slot.blocked_since_ns;
  slot.blocked_since_ns = now;
  slot.held_until_ns = now + kHoldNs;
  held_ports_++;
}

// --- reserve -------------------------------------------------------------------------------------------------------------

void Worker::list_destinations(Pending& pending) {
  if (!peers_.empty()) {
    std::fill_n(pending.fate, pending.batch.count, kNoFate);
    std::fill_n(pending.crossing, pending.batch.count, uint16_t{0});
  }
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    const SwitchView& view = *slots_[run.port].view;
    for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
      pending.refused[i] = 0;
      pending.why[i] = 0;
      const uint32_t to = pending.destination[i];
      if (__builtin_expect(to < kSwitchPortsMax, 1)) {
        pending.intended[i] = 1;
        pending.add_to_list(to >> 8 == options_.thread ? to & 0xff : kCrossingLists + (to >> 8), i);
        continue;
      }
      pending.intended[i] = 0;
      if (to == kFlood) list_flood(pending, view, run.port, i);
      if (pending.intended[i] == 0) pending.trouble = true;
    }
  }
}

void Worker::list_flood(Pending& pending, const SwitchView& view, uint16_t ingress, uint32_t i) {
  uint32_t copies = 0;
  const Members& members = view.members(pending.batch.frames[i].vlan);
  for (const uint16_t sink : members.sinks) {
    if (sink == ingress) continue;
    pending.add_to_list(sink, i);
    copies++;
  }
  for (const Members::Elsewhere& other : members.elsewhere) {
    pending.add_to_list(kCrossingLists + other.thread, i);
    copies += other.sinks;
  }
  pending.intended[i] = static_cast<uint16_t>(copies);
  if (copies == 0) pending.drop[i] = 1 + static_cast<uint8_t>(Drop::no_destination);
}

void Worker::reserve(Pending& pending) {
  for (uint32_t l = 0; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    if (__builtin_expect(list >= kPortsMax, 0)) reserve_crossing(pending, list);
    else reserve_port(pending, list);
  }
}

void Worker::reserve_port(Pending& pending, uint32_t list) {
  PortSlot& slot = slots_[list];
  uint16_t* frames = pending.frames[list];
  uint32_t count = pending.list_frames[list];
  PortCounters& counters = slot.port->counters;
  counters.intended_copies += count;
  if (__builtin_expect(slot.measures, 0)) count = refuse_oversize(pending, slot, {frames, count});
  const uint32_t promised = slot.port->reserve(pending.batch, {frames, count});
  if (promised != count) {
    const Refusal why = slot.port->refusal();
    counters.refused[static_cast<size_t>(why)] += count - promised;
    refuse_all(pending, slot, {frames + promised, count - promised}, why);
  }
  pending.list_frames[list] = static_cast<uint16_t>(promised);
}

// Moves the frames that the port can take, as they would leave it, to the front; returns how many there are.
uint32_t Worker::refuse_oversize(Pending& pending, const PortSlot& slot, std::span<uint16_t> frames) {
  uint32_t fits = 0;
  for (const uint16_t i : frames) {
    const Frame& frame = pending.batch.frames[i];
    if (static_cast<int64_t>(frame.length) + vlan_growth(slot.port->vlan, frame) <= slot.frame_bytes_max) {
      frames[fits++] = i;
      continue;
    }
    refuse_all(pending, slot, {&i, 1}, Refusal::oversize);
    slot.port->counters.refused[static_cast<size_t>(Refusal::oversize)]++;
  }
  return fits;
}

// --- log -----------------------------------------------------------------------------------------------------------------

// Writes the records, then sees to it that the batch leaves in the right order: relaxed before the commit, strict after it.
void Worker::append(Pending& pending) {
  Scratch& s = *scratch_;
  const bool alone = received_batches_ - finished_batches_ == 1;
  if (s.record_count != 0) {
    for (uint32_t k = 0; k < s.record_count; k++) {
      const uint32_t i = s.record_frame[k];
      FrameRecord& record = s.records[k];
      record.copies_refused = pending.refused[i];
      record.copies_reserved = static_cast<uint16_t>(pending.intended[i] - pending.refused[i]);
      record.outcome = pending.drop[i];
      if (__builtin_expect(record.copies_reserved == 0 && record.outcome == 0, 0))
        record.outcome = 1 + static_cast<uint8_t>(drop_for(pending.why[i]));
    }
    lane_->append({s.records, s.record_count});
    count_records();
    pending.logged = s.record_count;
    if (s.strict) counters_.strict_batches++;
  }
  if (mac_events_.count != 0 || mac_events_.lost != 0) log_mac_events();
  const bool commit = s.record_count != 0 || commit_due_;
  if (!s.strict && alone) {
    deliver(pending);
    if (commit) lane_ticket_ = lane_->commit();
    commit_due_ = false;
    return;
  }
  if (commit) lane_ticket_ = lane_->commit();
  commit_due_ = false;
  pending.ticket = s.strict ? lane_ticket_ : 0;
  counters_.tickets_waiting = received_batches_ - finished_batches_;
  deliver_waiting();
}

// Frames that follow each other mostly met the same rule: one addition for all of them.
void Worker::count_records() {
  const Scratch& s = *scratch_;
  for (uint32_t k = 0; k < s.record_count;) {
    const uint32_t first = k, rule = s.record_rule[k];
    uint64_t bytes = 0;
    for (; k < s.record_count && s.record_rule[k] == rule; k++) bytes += s.records[k].length;
    RuleTally& tally = tallies_[rule];
    tally.hits += k - first;
    tally.logged += k - first;
    tally.bytes += bytes;
  }
  counters_.selected += s.record_count;
  counters_.logged += s.record_count;
}

// A flapping station could fill the store with its moves: kMax events per tick of the table are logged, the rest is counted.
void Worker::log_mac_events() {
  counters_.mac_events_lost += mac_events_.lost;
  const uint32_t count = std::min(mac_events_.count, mac_budget_);
  counters_.mac_events_lost += mac_events_.count - count;
  mac_budget_ -= count;
  if (count != 0) {
    lane_->append_event(layout::kMac, last_time_ns_,
                        {reinterpret_cast<const uint8_t*>(mac_events_.items), count * sizeof(layout::MacPayload)});
    commit_due_ = true;
  }
  mac_events_.count = 0;
  mac_events_.lost = 0;
}

}  // namespace paste
