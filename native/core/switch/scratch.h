// What the passes over one batch hand to each other and nobody needs afterwards. Small enough to stay in the first-level cache.
#pragma once

#include "core/store/lane.h"
#include "core/switch/mac_table.h"
#include "core/switch/worker.h"

namespace paste {

struct Worker::Scratch {
  uint16_t asked[kBatchFrames];              // frames whose addresses the table must be asked for
  FrameRecord records[kBatchFrames];
  uint16_t record_frame[kBatchFrames];
  uint16_t record_rule[kBatchFrames];
  uint16_t released[kBatchFrames];
  uint64_t mirrors[kBatchFrames];            // a bit for each mirror port that is to get a copy
  uint32_t record_count = 0;
  bool strict = false;
};

uint32_t mac_tick();

}  // namespace paste
