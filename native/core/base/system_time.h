// The system's clocks, in nanoseconds, for whoever asks now and then. Times of frames come from Clock (clock.h), which tests can hold.
#pragma once

#include <time.h>

#include <cstdint>

namespace paste {

inline uint64_t clock_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

inline uint64_t wall_ns() { return clock_ns(CLOCK_REALTIME); }
inline uint64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }

}  // namespace paste
