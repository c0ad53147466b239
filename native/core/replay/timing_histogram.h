// How late things were: counts by size, exact to one part in 16, and the greatest value exactly.
#pragma once

#include <bit>
#include <cstdint>

namespace paste {

class TimingHistogram {
 public:
  void add(uint64_t value_ns) {
    ++counts_[bucket(value_ns)];
    ++total_;
    if (value_ns > max_ns_) max_ns_ = value_ns;
  }
  uint64_t total() const { return total_; }
  uint64_t max_ns() const { return max_ns_; }

  // The value that `per_mille` of a thousand do not exceed, rounded up to its bucket's end. 0 when nothing was added.
  uint64_t percentile_ns(double per_mille) const {
    const auto wanted = static_cast<uint64_t>(static_cast<double>(total_) * per_mille / 1000.0);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen > wanted || (seen == total_ && total_ > 0)) return end_of(i) < max_ns_ ? end_of(i) : max_ns_;
    }
    return 0;
  }

 private:
  static constexpr uint32_t kSteps = 16;  // buckets for each power of two
  static constexpr uint32_t kPowers = 44;
  static constexpr uint32_t kBuckets = kSteps * kPowers;

  static uint32_t bucket(uint64_t value) {
    if (value < kSteps) return static_cast<uint32_t>(value);
    const auto power = static_cast<uint32_t>(std::bit_width(value)) - 5;  // value >> power is 16..31
    const uint32_t index = (power + 1) * kSteps + static_cast<uint32_t>(value >> power) - kSteps;
    return index < kBuckets ? index : kBuckets - 1;
  }
  static uint64_t end_of(uint32_t index) {
    if (index < kSteps) return index;
    const uint32_t power = index / kSteps - 1;
    return ((static_cast<uint64_t>(index % kSteps) + kSteps + 1) << power) - 1;
  }

  uint64_t counts_[kBuckets] = {};
  uint64_t total_ = 0, max_ns_ = 0;
};

}  // namespace paste
