// Time: one clock per process, that tests can hold. Wall-clock nanoseconds from a calibrated time-stamp counter.
#pragma once

#include <atomic>
#include <cstdint>

namespace paste {

// now_ns() costs one counter reading and a multiplication; calibrate() is called about once a second by a thread that may block
// (the keeper or the engine's housekeeper) and follows CLOCK_REALTIME; steps of over 1 ms are reported, smaller ones are slewed by at
// most 0.1 %. Time runs backwards at a step only, and by 1 ns for each microsecond that the calibrator loses its core in the middle: lanes
// clamp that. Falls back to clock_gettime where the counter is not invariant. Making one takes 2 ms.
class Clock {
 public:
  Clock();
  uint64_t now_ns() const;
  struct Step { uint64_t from_ns = 0, to_ns = 0; bool stepped = false; };
  Step calibrate();  // one thread at a time
  // Tests: stops the clock at this time until set again; 0 lets it run.
  void hold(uint64_t time_ns) { held_ns_.store(time_ns, std::memory_order_relaxed); }

 private:
  struct Calibration { uint64_t base_ticks = 0, base_ns = 0, multiplier = 0; };
  // A seqlock over two copies: the calibrator writes the one that readers do not use, then turns the version. A reader repeats only when
  // a whole calibration passed while it read, and never waits for a calibrator that lost its core half-way.
  struct Slot { std::atomic<uint64_t> base_ticks{0}, base_ns{0}, multiplier{0}; };  // multiplier: ns << 32 per tick

  Calibration current() const;
  void publish(uint64_t multiplier, int64_t shift_ns);

  std::atomic<uint32_t> version_{0};
  Slot slots_[2];
  std::atomic<uint64_t> held_ns_{0};
  bool counter_usable_ = false;
  // The calibrator's own: the last pair of counter and monotonic time, from which the rate is taken.
  uint64_t rate_ticks_ = 0, rate_ns_ = 0, rate_multiplier_ = 0;
};

}  // namespace paste
