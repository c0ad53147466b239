// How late frames were handed over: all of them, and those of the first and the last second, which tell whether it grows.
#pragma once

#include <cstdint>

#include "core/replay/timing_histogram.h"

namespace paste {

class Lateness {
 public:
  static constexpr uint64_t kLateNs = 10'000, kMissedNs = 1'000'000;

  // `at_ns`: since the first frame; never less than before.
  void add(uint64_t at_ns, uint64_t late_ns) {
    all_.add(late_ns);
    late_ += late_ns > kLateNs;
    missed_ += late_ns > kMissedNs;
    const uint64_t second = at_ns / 1'000'000'000;
    if (second == 0) {
      first_.add(late_ns);
      return;
    }
    if (second != second_) {
      if (second_ != 0) last_ = running_;
      running_ = {};
      second_ = second;
    }
    running_.add(late_ns);
  }

  const TimingHistogram& all() const { return all_; }
  const TimingHistogram& first() const { return first_; }
  // Of the last second that had frames and is over; nothing was added when there was none but the first.
  const TimingHistogram& last() const { return last_; }
  uint64_t late() const { return late_; }
  uint64_t missed() const { return missed_; }

 private:
  TimingHistogram all_, first_, last_, running_;
  uint64_t late_ = 0, missed_ = 0, second_ = 0;
};

}  // namespace paste
