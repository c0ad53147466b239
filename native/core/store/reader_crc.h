// A record header's checksum, many times over: layout::record_header_crc() without the copy that it needs to blank the field.
#pragma once

#include <cstdint>

namespace paste {

// Of the 64 bytes at `header` with header_crc taken as zero, seeded with the serial.
using HeaderCrc = uint32_t (*)(const uint8_t* header, uint64_t serial);

// The fastest one for this processor.
HeaderCrc header_crc_function();

}  // namespace paste
