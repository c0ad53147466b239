// A record header as a reader takes it from where it lies: each byte loaded once, then only the copy counts.
#pragma once

#include <cstdint>

#include "core/store/layout.h"

namespace paste {

// Copies the 64 bytes at `at`, which may change meanwhile, and returns layout::record_header_crc() of the copy under `serial`.
using TakeHeader = uint32_t (*)(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy);

// The fastest one for this processor.
TakeHeader take_header_function();

}  // namespace paste
