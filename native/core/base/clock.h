// Time: one clock per process, that tests can hold. Wall-clock nanoseconds from a calibrated time-stamp counter.
#pragma once

#include <atomic>
#include <cstdint>

namespace paste {

// now_ns() costs one counter reading and a multiplication; calibrate() is called about once a second by a thread that may block
// (the keeper or the engine's housekeeper) and follows CLOCK_REALTIME; steps of over 1 ms are reported, smaller ones are slewed so
// that time never runs backwards. Falls back to clock_gettime where the counter is not invariant.
class Clock {
 public:
  Clock();
  uint64_t now_ns() const;
  struct Step { uint64_t from_ns = 0, to_ns = 0; bool stepped = false; };
  Step calibrate();
  // Tests: stops the clock at this time until set again; 0 lets it run.
  void hold(uint64_t time_ns) { held_ns_.store(time_ns, std::memory_order_relaxed); }

 private:
  uint64_t real_ns() const;
  // A seqlock around the calibration: base counter, base time, multiplier (ns << 32 per tick).
  std::atomic<uint32_t> version_{0};
  std::atomic<uint64_t> base_ticks_{0}, base_ns_{0}, multiplier_{0};
  std::atomic<uint64_t> held_ns_{0};
  bool counter_usable_ = false;
};

}  // namespace paste
