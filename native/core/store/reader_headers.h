// Record headers as a reader takes them from where they lie: each byte loaded once, then only the copy counts.
#pragma once

#include <cstdint>

#include "core/store/layout.h"

namespace paste {

// Enough to share the calls' cost, too few to let the memory that was asked for wait.
inline constexpr uint32_t kHeadersAtOnce = 8;

struct HeaderTaker {
  // Copies the 64 bytes at `at`, which may change meanwhile, and returns layout::record_header_crc() of the copy under `serial`.
  uint32_t (*one)(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy);
  // Copies the headers of the plain frames that lie one behind the other in the `have` bytes at `at`, at most kHeadersAtOnce, and
  // returns how many there are before the first record that is none, is not whole, or has another checksum. `ahead`: asks for the
  // memory behind them, too.
  uint32_t (*plain_frames)(const uint8_t* at, uint32_t have, uint64_t serial, bool ahead, layout::RecordHeader* copies);
};

// The fastest one for this processor.
const HeaderTaker& header_taker();

}  // namespace paste
