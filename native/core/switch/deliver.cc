// The second half of a batch's way, which begins when its ticket is durable: deliver, account, release, notify.
#include "core/switch/scratch.h"
#include "core/switch/worker.h"

namespace paste {

// Delivers, in order, the waiting batches whose ticket is durable (or that need none). False when nothing could leave.
bool Worker::deliver_waiting() {
  bool worked = false;
  while (finished_batches_ != received_batches_) {
    Pending& pending = *pending_[finished_batches_ % pending_.size()];
    if (pending.ticket != 0 && !lane_->durable(pending.ticket)) {
      if (!lane_->failed()) break;
      give_up_undurable(pending);
    }
    deliver(pending);
    worked = true;
  }
  counters_.tickets_waiting = received_batches_ - finished_batches_;
  return worked;
}

void Worker::deliver(Pending& pending) {
  for (uint32_t l = 0; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    const std::span<const uint16_t> frames = {pending.frames[list], pending.list_frames[list]};
    if (!frames.empty()) deliver_list(pending, list, frames);
  }
  account(pending);
  if (__builtin_expect(taps_ != nullptr, 0)) tap_received(pending);
  release(pending, true);
  finished_batches_++;
}

// Ports whose frames were copied need not wait for delivery to give their slots back; the others must.
void Worker::release(Pending& pending, bool zero_copy) {
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    if (run.zero_copy != zero_copy) continue;
    for (uint32_t i = 0; i < run.count; i++) scratch_->released[i] = static_cast<uint16_t>(run.first + i);
    slots_[run.port].port->release(pending.batch, {scratch_->released, run.count});
  }
}

void Worker::deliver_list(Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  if (__builtin_expect(list >= kPortsMax, 0)) {
    if (list >= kMirrorLists) deliver_mirrors(pending, list, frames);
    else deliver_crossing(pending, list, frames);
    return;
  }
  PortSlot& slot = slots_[list];
  PortCounters& counters = slot.port->counters;
  if (__builtin_expect(!slot.up, 0)) {
    counters.refused[static_cast<size_t>(Refusal::gone)] += frames.size();
    refuse_all(pending, slot, frames, Refusal::gone);
    return;
  }
  const uint32_t delivered = slot.port->deliver(pending.batch, frames);
  if (__builtin_expect(delivered != frames.size(), 0)) refuse_all(pending, slot, frames.subspan(delivered), Refusal::bad_slot);
  if (__builtin_expect(taps_ != nullptr, 0) && taps_->out[list] != 0) tap_delivered(pending, list, frames.first(delivered));
  if (delivered != 0 && !slot.to_notify) {
    slot.to_notify = true;
    notify_[notify_count_++] = static_cast<uint16_t>(list);
  }
}

// What a mirror port does not get is its own affair: the frame's outcome does not know of it.
void Worker::refuse_all(Pending& pending, const PortSlot& slot, std::span<const uint16_t> frames, Refusal reason) {
  if (slot.mirror) return;
  for (const uint16_t i : frames) pending.refuse(i, reason);
}

// The medium failed with this batch's records under way. What had to be durable first stays here; the rest leaves.
void Worker::give_up_undurable(Pending& pending) {
  for (uint32_t l = 0; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    PortSlot& slot = slots_[list < kPortsMax ? list : 0];  // not looked at for crossings
    uint16_t* frames = pending.frames[list];
    const uint32_t count = pending.list_frames[list];
    // Promises are kept or given back in their order, so the copies that may leave do it here, run by run.
    for (uint32_t first = 0, end; first < count; first = end) {
      const bool waits = pending.must_wait[frames[first]];
      for (end = first + 1; end < count && pending.must_wait[frames[end]] == waits; end++) {
      }
      const std::span<const uint16_t> run = {frames + first, end - first};
      if (!waits) {
        deliver_list(pending, list, run);
        continue;
      }
      if (list >= kPortsMax) {
        if (list >= kMirrorLists) cancel_mirrors(pending, list, run);
        else cancel_crossing(pending, list, run);
        continue;
      }
      if (slot.up) slot.port->cancel(pending.batch, run);
      slot.port->counters.refused[static_cast<size_t>(Refusal::not_durable)] += run.size();
      refuse_all(pending, slot, run, Refusal::not_durable);
    }
    pending.list_frames[list] = 0;
  }
  pending.undurable = true;
  counters_.logged -= pending.logged;
  counters_.not_logged[static_cast<size_t>(NotLogged::sync_failed)] += pending.logged;
  pending.logged = 0;
}

// received = forwarded + dropped: every frame of the batch, once.
void Worker::account(Pending& pending) {
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    PortCounters& counters = slots_[run.port].port->counters;
    if (__builtin_expect(!pending.trouble && !pending.crosses, 1)) {
      counters.forwarded_frames += run.count;
      continue;
    }
    for (uint32_t i = run.first; i < static_cast<uint32_t>(run.first + run.count); i++) {
      uint32_t copies = pending.intended[i] - pending.refused[i];
      uint16_t why = pending.why[i];
      if (pending.crosses && pending.fate[i] != kNoFate) {
        bool delivered = copies > pending.crossing[i];
        if (!fates_->finish(pending.fate[i], &delivered, &why)) continue;  // the last thread counts it
        copies = delivered ? 1 : 0;
      }
      if (copies != 0) {
        counters.forwarded_frames++;
      } else {
        const uint32_t reason = pending.drop[i] != 0 ? pending.drop[i] - 1u : static_cast<uint32_t>(drop_for(why));
        counters.dropped[reason]++;
      }
    }
  }
}

void Worker::notify_all() {
  for (uint32_t n = 0; n < notify_count_; n++) {
    PortSlot& slot = slots_[notify_[n]];
    slot.to_notify = false;
    if (slot.up) slot.port->notify();
  }
  notify_count_ = 0;
  for (uint32_t thread = 0; thread < peers_.size(); thread++)
    if (published_[thread]) ring_peer(thread);
}

}  // namespace paste
