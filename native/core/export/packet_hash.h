// The CRC-32 of Ethernet (ISO 3309, reflected 0xedb88320), as pcapng's hash option carries it: algorithm 2, over a packet's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace paste {

uint32_t packet_crc32(const uint8_t* bytes, size_t size);

// Every variant that this processor can run, the portable one first; the last is what packet_crc32() uses. For tests.
struct PacketHashVariant {
  const char* name;
  uint32_t (*compute)(const uint8_t* bytes, size_t size);
};
std::span<const PacketHashVariant> packet_hash_variants();

}  // namespace paste
