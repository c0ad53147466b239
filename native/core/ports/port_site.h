// What a port on a device is made with: everything that outlives it.
#pragma once

#include "core/base/clock.h"
#include "core/devices/devices.h"
#include "core/ports/frame_memory.h"
#include "core/pmem/region.h"
#include "core/store/lane.h"

namespace paste {

struct PortSite {
  const Clock* clock = nullptr;
  Devices* devices = nullptr;
  FrameMemory* memory = nullptr;   // of the forwarding thread that will own the port; shared with its other ports
  BufferPool* pool = nullptr;      // the store's buffers; null without a store or where marking is off
  Region* region = nullptr;        // the store's memory, for a port that needs frames of its own in it (netmap); null without a store
};

}  // namespace paste
