// The CRC-32 of Ethernet (ISO 3309, reflected 0xedb88320), as pcapng's hash option carries it: algorithm 2, over a packet's bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste {

uint32_t packet_crc32(const uint8_t* bytes, size_t size);

}  // namespace paste
