// The live taps as one forwarding thread sees them. Never changed: the control thread makes a new one when taps or ports come or go.
#pragma once

#include <cstdint>

#include "core/bpf/bpf.h"
#include "core/ports/frame.h"
#include "core/switch/rule_set.h"
#include "core/switch/tap_memory.h"

namespace paste {

inline constexpr uint32_t kTapsMax = 16;

struct TapSet {
  struct Tap {
    TapRing* ring;
    const BpfProgram* filter;     // null: every frame
    uint32_t snaplen;
    bool dropped;                 // frames that went nowhere, too
  };

  Tap taps[kTapsMax];
  uint32_t count = 0;
  uint16_t lost_out = 0;          // taps that stand in `lost`: a bit for each
  // Who listens to a port of this thread, by its index: frames that it gave, copies that it got.
  uint16_t in[kPortsMax] = {}, out[kPortsMax] = {};
  // Who wants what should have left by a port and did not, by its number.
  uint16_t lost[kSwitchPortsMax] = {};
};
static_assert(kTapsMax <= 16, "a bit for each in uint16_t");

}  // namespace paste
