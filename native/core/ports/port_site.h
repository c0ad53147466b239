// What a port on a device is made with: everything that outlives it.
#pragma once

#include "core/base/clock.h"
#include "core/devices/devices.h"
#include "core/ports/frame_memory.h"
#include "core/store/lane.h"

namespace paste {

struct PortSite {
  const Clock* clock = nullptr;
  Devices* devices = nullptr;
  FrameMemory* memory = nullptr;   // of the forwarding thread that will own the port; shared with its other ports
  BufferPool* pool = nullptr;      // the store's buffers; null without a store or where marking is off
};

}  // namespace paste
