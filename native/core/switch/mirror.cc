// Copies for mirror ports. They are listed when the other destinations have said what they have room for, reserve last, and leave
// with their frame: what holds for its other copies (order, waiting until a record is durable) holds for them. Nothing that happens
// to them changes the frame's outcome; they are counted at the mirror port alone.
//
// A frame gives one copy to a mirror port. Its ingress thread sees to those that listen to the ingress port or to destinations of that
// thread; a thread that the frame crossed to sees to those that listen to its destinations, and claims them in the frame's fate.
#include <algorithm>
#include <bit>

#include "core/switch/scratch.h"
#include "core/switch/worker.h"

namespace paste {
namespace {

// Mirror copies leave half of a ring between threads to frames that really go there: mirrors never slow others.
constexpr uint32_t kKeepFree = kCrossingBytes / 2;

}  // namespace

void Worker::mirror(Pending& pending) {
  uint64_t* wanted = scratch_->mirrors;
  std::fill_n(wanted, pending.batch.count, 0);
  for (uint32_t r = 0; r < pending.run_count; r++) {
    const Run& run = pending.runs[r];
    const SwitchView& view = *slots_[run.port].view;
    if (!view.listeners.empty()) std::fill_n(wanted + run.first, run.count, view.listeners[run.port].in);
  }
  want_out(pending);
  const uint32_t first_list = pending.list_count;
  for (uint32_t i = 0; i < pending.batch.count; i++) {
    if (wanted[i] == 0) continue;
    // Not published yet: nobody else can have claimed any.
    if (pending.crosses && pending.fate[i] != kNoFate) fates_->claim_mirrors(pending.fate[i], wanted[i]);
    list_mirrors(pending, i, wanted[i]);
  }
  reserve_mirrors(pending, first_list);
}

// The same for frames of other threads: whose mirror copies they are already, and who listens to where they go.
void Worker::mirror_crossed() {
  Pending& pending = *crossed_;
  uint64_t* wanted = scratch_->mirrors;
  std::fill_n(wanted, pending.batch.count, 0);
  want_out(pending);
  const uint32_t first_list = pending.list_count;
  for (uint32_t i = 0; i < pending.batch.count; i++) {
    const CrossingEntry& entry = *crossed_entries_[i];
    if (entry.mirror) list_crossed_mirror(entry, i);
    else if (wanted[i] != 0) list_mirrors(pending, i, peers_[entry.ingress >> 8]->fates_->claim_mirrors(entry.fate, wanted[i]));
  }
  reserve_mirrors(pending, first_list);
}

void Worker::list_crossed_mirror(const CrossingEntry& entry, uint32_t i) {
  const PortSlot& slot = slots_[entry.destination & 0xff];
  if (slot.up && slot.port->id == entry.destination_id) {
    crossed_->add_to_list(entry.destination & 0xff, i);
    return;
  }
  gone_.intended_copies++;
  gone_.refused[static_cast<size_t>(Refusal::gone)]++;
}

// Who listens to what this thread's ports get: copies that were promised.
void Worker::want_out(Pending& pending) {
  for (uint32_t l = 0; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    if (list >= kPortsMax || slots_[list].view->listeners.empty()) continue;
    const uint64_t out = slots_[list].view->listeners[list].out;
    for (uint32_t k = 0; out != 0 && k < pending.list_frames[list]; k++) scratch_->mirrors[pending.frames[list][k]] |= out;
  }
}

void Worker::list_mirrors(Pending& pending, uint32_t i, uint64_t mirrors) {
  for (mirrors &= mirrors_; mirrors != 0; mirrors &= mirrors - 1) {
    const uint32_t mirror = static_cast<uint32_t>(std::countr_zero(mirrors));
    const uint16_t number = mirror_number_[mirror];
    if (number >> 8 == options_.thread) {
      if (slots_[number & 0xff].up) pending.add_to_list(number & 0xff, i);
      continue;
    }
    pending.mirror_number[mirror] = number;
    pending.mirror_id[mirror] = view_ids_[number];
    pending.add_to_list(kMirrorLists + mirror, i);
  }
}

void Worker::reserve_mirrors(Pending& pending, uint32_t first_list) {
  for (uint32_t l = first_list; l < pending.list_count; l++) {
    const uint32_t list = pending.lists[l];
    if (list >= kMirrorLists) reserve_mirror_crossing(pending, list);
    else reserve_port(pending, list);
  }
}

void Worker::reserve_mirror_crossing(Pending& pending, uint32_t list) {
  const uint16_t number = pending.mirror_number[list - kMirrorLists];
  Crossing& crossing = *out_[number >> 8];
  const uint32_t count = pending.list_frames[list];
  uint32_t kept = 0;
  while (kept < count && crossing.reserve(pending.batch.frames[pending.frames[list][kept]].length, kKeepFree)) kept++;
  foreign_[number].intended_copies += count - kept;
  foreign_[number].refused[static_cast<size_t>(Refusal::crossing_full)] += count - kept;
  pending.list_frames[list] = static_cast<uint16_t>(kept);
}

void Worker::deliver_mirrors(Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  const uint32_t mirror = list - kMirrorLists;
  const uint32_t thread = pending.mirror_number[mirror] >> 8;
  CrossingEntry entry = {};
  entry.destination = pending.mirror_number[mirror];
  entry.destination_id = pending.mirror_id[mirror];
  entry.fate = kNoFate;
  entry.mirror = true;
  for (const uint16_t i : frames) {
    const Frame& frame = pending.batch.frames[i];
    entry.length = frame.length;
    entry.ingress = ingress_of(pending, i);
    entry.wire_length = frame.wire_length;
    entry.time_ns = frame.time_ns;
    out_[thread]->push(entry, frame.bytes);
  }
  out_[thread]->publish();
  published_[thread] = true;
}

void Worker::cancel_mirrors(Pending& pending, uint32_t list, std::span<const uint16_t> frames) {
  const uint16_t number = pending.mirror_number[list - kMirrorLists];
  for (const uint16_t i : frames) out_[number >> 8]->cancel(pending.batch.frames[i].length);
  foreign_[number].intended_copies += frames.size();
  foreign_[number].refused[static_cast<size_t>(Refusal::not_durable)] += frames.size();
}

}  // namespace paste
