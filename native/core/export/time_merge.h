// Several sources, each in its own order, as one by time: the earliest head comes first, of equal ones that of the lower source; a
// source whose times run backwards keeps its order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace paste {

// Whose turn it is among the heads that were offered, in the order of the sources.
class TimeTurn {
 public:
  static constexpr size_t kNobody = ~size_t{0};

  void offer(size_t source, uint64_t time_ns) {
    if (source_ != kNobody && time_ns_ <= time_ns) {
      until_ns_ = std::min(until_ns_, time_ns);
      return;
    }
    // Of equal times those of the lower source come first: this one goes on only below the head of one before it.
    if (source_ != kNobody) until_ns_ = std::min(until_ns_, time_ns_ - 1);
    source_ = source;
    time_ns_ = time_ns;
  }
  size_t source() const { return source_; }
  // It stays that source's turn while its heads are not above this.
  uint64_t until_ns() const { return until_ns_; }

 private:
  size_t source_ = kNobody;
  uint64_t time_ns_ = 0;
  uint64_t until_ns_ = ~0ull;
};

struct TimeColumn {
  const uint64_t* times_ns;
  size_t count;
};
struct TimeRun {
  uint32_t source, count;
};

// The order of what is in the columns, until one is used up: what comes behind it is not known. Newest first is the same backwards:
// every column begins with its newest, and of equal times those of the higher source come first.
std::vector<TimeRun> merge_times(const std::vector<TimeColumn>& columns, bool newest_first);

}  // namespace paste
