// What a store holds and whether it is whole: info and verify. Both look at the store as it is now, beside any reading.
#pragma once

#include <vector>

#include "core/store/reader.h"
#include "core/store/reader_source.h"

namespace paste {

Reader::Info read_info(ReaderSource& source);
std::vector<BlockProblem> verify_store(ReaderSource& source, uint32_t limit, ReadCounters* counters);

}  // namespace paste
