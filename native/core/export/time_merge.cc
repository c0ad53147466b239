#include "core/export/time_merge.h"

namespace paste {

std::vector<TimeRun> merge_times(const std::vector<TimeColumn>& columns, bool newest_first) {
  const uint64_t flip = newest_first ? ~0ull : 0;
  std::vector<size_t> at(columns.size());
  std::vector<TimeRun> runs;
  for (;;) {
    TimeTurn turn;
    for (size_t i = 0; i < columns.size(); ++i) {
      const size_t source = newest_first ? columns.size() - 1 - i : i;
      const TimeColumn& column = columns[source];
      if (at[source] == column.count) return runs;
      turn.offer(source, column.times_ns[at[source]] ^ flip);
    }
    if (turn.source() == TimeTurn::kNobody) return runs;
    const TimeColumn& column = columns[turn.source()];
    size_t& next = at[turn.source()];
    const size_t first = next;
    do ++next;
    while (next < column.count && (column.times_ns[next] ^ flip) <= turn.until_ns());
    runs.push_back({static_cast<uint32_t>(turn.source()), static_cast<uint32_t>(next - first)});
  }
}

}  // namespace paste
