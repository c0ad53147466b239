// A batch on its way through the switch, with everything that was decided about its frames. On media where durability takes
// time several of them wait in a queue, preallocated; else there is one at a time.
#pragma once

#include <cstdint>

#include "core/ports/frame.h"
#include "core/ports/port_options.h"
#include "core/switch/outcome.h"

namespace paste {

inline constexpr uint32_t kThreadsMax = 16;
// Lists of a batch: ports of this thread, crossings to the others, and crossings to mirror ports of the others.
inline constexpr uint32_t kCrossingLists = kPortsMax;
inline constexpr uint32_t kMirrorLists = kCrossingLists + kThreadsMax;
inline constexpr uint32_t kListsMax = kMirrorLists + kMirrorsMax;

// Destination of a frame: the number of a port (thread << 8 | index), or one of these.
inline constexpr uint16_t kNowhere = 0xffff;
inline constexpr uint16_t kFlood = 0xfffe;
inline constexpr uint16_t kHeldBack = 0xfffd;  // went back into its port: no frame of this batch any more

// Frames of one port are one run of the batch, since a port is asked once per batch.
struct Run {
  uint16_t port;
  uint16_t first, count;
  bool zero_copy;  // the frames lie where they arrived: released after delivery
};

struct Pending {
  Batch batch;
  uint16_t destination[kBatchFrames];
  uint8_t drop[kBatchFrames];       // 0, or 1 + Drop: decided before anything was reserved
  uint16_t intended[kBatchFrames];  // copies
  uint16_t refused[kBatchFrames];
  uint16_t why[kBatchFrames];       // refusals, a bit for each reason
  uint16_t fate[kBatchFrames];      // of frames that cross: see crossing.h; kNoFate otherwise. Set when `crosses`
  uint16_t crossing[kBatchFrames];  // copies among the intended that other threads deliver. Set when `crosses`
  bool must_wait[kBatchFrames];     // logged, and leaves only when that is durable
  bool trouble;                     // any drop or refusal: outcomes are counted frame by frame
  bool crosses;                     // any frame goes to another thread
  bool undurable;                   // the medium failed: what had to wait did not leave

  Run runs[kPortsMax];
  uint32_t run_count;
  uint16_t lists[kListsMax];        // those in use
  uint32_t list_count;
  uint16_t list_frames[kListsMax];  // frames in each
  uint16_t frames[kListsMax][kBatchFrames];  // indexes into the batch, arrival order
  uint16_t mirror_number[kMirrorsMax];       // of the mirror ports whose lists are in use, as they were when the batch was reserved
  uint32_t mirror_id[kMirrorsMax];

  uint64_t ticket;                  // 0 = needs none
  uint32_t logged;                  // frames with a record under this ticket

  void reset() {
    batch.reset();
    trouble = crosses = undurable = false;
    for (uint32_t i = 0; i < list_count; i++) list_frames[lists[i]] = 0;
    run_count = list_count = 0;
    ticket = 0;
    logged = 0;
  }
  void add_to_list(uint32_t list, uint32_t frame) {
    const uint16_t at = list_frames[list];
    if (at == 0) lists[list_count++] = static_cast<uint16_t>(list);
    frames[list][at] = static_cast<uint16_t>(frame);
    list_frames[list] = static_cast<uint16_t>(at + 1);
  }
  void refuse(uint32_t frame, Refusal reason, uint32_t copies = 1) {
    refused[frame] = static_cast<uint16_t>(refused[frame] + copies);
    why[frame] = static_cast<uint16_t>(why[frame] | 1u << static_cast<uint32_t>(reason));
    trouble = true;
  }
};

// Why a frame whose copies were all refused is dropped: the reason that would have kept a copy from leaving anyway comes last.
inline Drop drop_for(uint16_t why) {
  const auto has = [why](Refusal reason) { return (why >> static_cast<uint32_t>(reason) & 1) != 0; };
  if (has(Refusal::not_durable)) return Drop::not_durable;
  if (has(Refusal::full)) return Drop::destination_full;
  if (has(Refusal::crossing_full)) return Drop::crossing_full;
  if (has(Refusal::bad_slot)) return Drop::destination_bad_slot;
  if (has(Refusal::gone)) return Drop::destination_gone;
  if (has(Refusal::down)) return Drop::destination_down;
  return Drop::destination_oversize;
}

}  // namespace paste
