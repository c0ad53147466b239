// How late a program is that does nothing but look at the clock: what a machine takes from anyone who keeps a schedule.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/replay/lateness.h"

namespace paste::bench {

struct SpinnerOptions {
  uint64_t gap_ns = 10'000;
  uint64_t count = 0;      // of things that are due, one every gap_ns
  bool realtime = false;   // as PacerOptions
  bool company = false;    // beside it another thread looks and yields, as the switch's does where frames come that fast
};

// On a thread of its own, count * gap_ns long. Fails (PRIVILEGE) when real time is refused.
Status run_spinner(const SpinnerOptions& options, Lateness* lateness);

}  // namespace paste::bench
