// Frames between forwarding threads. The sender's half works like any destination of its batches; the receiver's half takes what
// came, reserves and delivers at its own ports, and settles the frame's fate with the other threads that have copies of it.
#include <cerrno>
#include <unistd.h>

#include "core/switch/scratch.h"
#include "core/switch/worker.h"

namespace paste {

void Worker::set_peers(std::vector<Worker*> peers, std::vector<Crossing*> out, std::vector<Crossing*> in) {
  peers_ = std::move(peers);
  out_ = std::move(out);
  in_ = std::move(in);
  foreign_ = std::make_unique<PortCounters[]>(kSwitchPortsMax);
  view_ids_ = std::make_unique<uint32_t[]>(kSwitchPortsMax);
  crossed_ = std::make_unique<Pending>();
}

PortCounters Worker::take_foreign(uint32_t number) {
  PortCounters taken;
  if (foreign_) std::swap(taken, foreign_[number]);
  return taken;
}

// --- sender --------------------------------------------------------------------------------------------------------------

void Worker::reserve_crossing(Pending& pending, uint32_t list) {
  const uint32_t thread = list - kCrossingLists;
  uint16_t* frames = pending.frames[list];
  const uint32_t count = pending.list_frames[list];
  uint32_t kept = 0;
  bool full = false;  // what comes behind a refused frame is refused, too: order
  for (uint32_t k = 0; k < count; k++) {
    const uint16_t i = frames[k];
    if (!full && pending.fate[i] == kNoFate) pending.fate[i] = fates_->take();
    full = full || pending.fate[i] == kNoFate || !out_[thread]->reserve(pending.batch.frames[i].length);
    if (full) {
      refuse_crossing(pending, list, i, Refusal::crossing_full);
      continue;
    }
    fates_->add_party(pending.fate[i]);
    pending.crossing[i] = static_cast<uint16_t>(pending.crossing[i] + crossing_copies(pending, thread, i));
    frames[kept++] = i;
  }
  pending.list_frames[list] = static_cast<uint16_t>(kept);
  pending.crosses = true;
}

// Copies that the other thread would make of this frame.
uint32_t Worker::crossing_copies(const Pending& pending, uint32_t thread, uint32_t i) const {
  if (pending.destination[i] != kFlood) return 1;
  const Frame& frame = pending.batch.frames[i];
  for (const Members::Elsewhere& other : slots_[frame.ingress].view->members(frame.vlan).elsewhere)
    if (other.thread == thread) return other.sinks;
  return 0;
}

// Counted here for ports that belong to another thread: it never hears of these copies.
void Worker::refuse_crossing(Pending& pending, uint32_t list, uint32_t i, Refusal reason) {
  const uint32_t thread = list - kCrossingLists;
  const auto count = [&](uint32_t number) {
    foreign_[number].intended_copies++;
    foreign_[number].refused[static_cast<size_t>(reason)]++;
  };
  pending.refuse(i, reason, crossing_copies(pending, thread, i));
  if (pending.destination[i] != kFlood) {
    count(pending.destination[i]);
    return;
  }
  const Frame& frame = pending.batch.frames[i];
  const PortBits& sinks = slots_[frame.ingress].view->members(frame.vlan).sink_bits;
  for (uint32_t number = thread << 8; number < (thread + 1) << 8; number++)
    if (sinks.has(number)) count(number);
}

void Worker::deliver_crossing(Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  const uint32_t thread = list - kCrossingLists;
  for (const uint16_t i : frames) {
    const Frame& frame = pending.batch.frames[i];
    CrossingEntry entry = {};
    entry.length = frame.length;
    entry.wire_length = frame.wire_length;
    entry.time_ns = frame.time_ns;
    entry.ingress = static_cast<uint16_t>(options_.thread << 8 | frame.ingress);
    entry.destination = pending.destination[i];
    entry.destination_id = entry.destination == kFlood ? 0 : view_ids_[entry.destination];
    entry.switch_index = slots_[frame.ingress].view->index;
    entry.fate = pending.fate[i];
    entry.vlan = frame.vlan;
    entry.tagged = frame.tagged;
    out_[thread]->push(entry, frame.bytes);
  }
  out_[thread]->publish();
  published_[thread] = true;
}

void Worker::cancel_crossing(Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  for (const uint16_t i : frames) {
    out_[list - kCrossingLists]->cancel(pending.batch.frames[i].length);
    bool delivered = false;
    uint16_t why = 0;
    fates_->finish(pending.fate[i], &delivered, &why);  // not the last: this thread's own part is still open
    pending.crossing[i] = static_cast<uint16_t>(pending.crossing[i] - crossing_copies(pending, list - kCrossingLists, i));
    refuse_crossing(pending, list, i, Refusal::not_durable);
  }
}

void Worker::ring_peer(uint32_t thread) {
  published_[thread] = false;
  Worker& peer = *peers_[thread];
  if (peer.asleep_.load(std::memory_order_seq_cst) == 0) return;
  const uint64_t one = 1;
  PASTE_CHECK(write(peer.wake_, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

// --- receiver ------------------------------------------------------------------------------------------------------------

bool Worker::crossings_wait() const {
  for (const Crossing* crossing : in_)
    if (crossing != nullptr && !crossing->empty()) return true;
  return false;
}

bool Worker::take_crossings() {
  bool worked = false;
  for (uint32_t from = 0; from < in_.size(); from++)
    if (in_[from] != nullptr && !in_[from]->empty()) worked |= take_crossing(from);
  return worked;
}

// At most one batch of frames from one thread: reserve, deliver, settle, then the ring's space is the sender's again.
bool Worker::take_crossing(uint32_t from) {
  Pending& pending = *crossed_;
  bool mirrors_came = false;
  pending.reset();
  while (!pending.batch.full()) {
    const CrossingEntry* entry = in_[from]->next();
    if (entry == nullptr) break;
    const uint32_t i = pending.batch.count++;
    Frame& frame = pending.batch.frames[i];
    frame = Frame{};
    frame.bytes = reinterpret_cast<const uint8_t*>(entry + 1);
    frame.length = entry->length;
    frame.wire_length = entry->wire_length;
    frame.time_ns = entry->time_ns;
    frame.vlan = entry->vlan;
    frame.tagged = entry->tagged;
    crossed_entries_[i] = entry;
    if (entry->mirror) mirrors_came = true;
    else list_crossed(*entry, i);
  }
  reserve(pending);
  if (mirrors_ != 0 || mirrors_came) mirror_crossed();
  for (uint32_t l = 0; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    if (pending.list_frames[list] != 0) deliver_list(pending, list, {pending.frames[list], pending.list_frames[list]});
  }
  for (uint32_t i = 0; i < pending.batch.count; i++) finish_crossed(i);
  if (__builtin_expect(taps_ != nullptr, 0)) publish_taps();
  in_[from]->release();
  return pending.batch.count != 0;
}

void Worker::list_crossed(const CrossingEntry& entry, uint32_t i) {
  Pending& pending = *crossed_;
  pending.destination[i] = entry.destination;
  pending.intended[i] = pending.refused[i] = pending.why[i] = 0;
  pending.must_wait[i] = false;
  if (entry.destination == kFlood) {
    const SwitchView* view = views_[entry.switch_index];
    if (view != nullptr) {
      for (const uint16_t sink : view->members(entry.vlan).sinks) {
        pending.add_to_list(sink, i);
        pending.intended[i]++;
      }
    }
  } else {
    // The port may have gone, and another may have its number, since the other thread looked the address up.
    PortSlot& slot = slots_[entry.destination & 0xff];
    pending.intended[i] = 1;
    if (slot.up && slot.port->id == entry.destination_id) {
      pending.add_to_list(entry.destination & 0xff, i);
    } else {
      gone_.intended_copies++;
      gone_.refused[static_cast<size_t>(Refusal::gone)]++;
      pending.refuse(i, Refusal::gone);
    }
  }
  if (pending.intended[i] == 0) pending.why[i] = 1u << static_cast<uint32_t>(Refusal::gone);
}

void Worker::finish_crossed(uint32_t i) {
  const CrossingEntry& entry = *crossed_entries_[i];
  if (entry.mirror) return;
  const Pending& pending = *crossed_;
  bool delivered = pending.intended[i] > pending.refused[i];
  uint16_t why = pending.why[i];
  if (!peers_[entry.ingress >> 8]->fates_->finish(entry.fate, &delivered, &why)) return;
  PortCounters& counters = foreign_[entry.ingress];
  if (delivered) counters.forwarded_frames++;
  else counters.dropped[static_cast<size_t>(drop_for(why))]++;
}

}  // namespace paste
