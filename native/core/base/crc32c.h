// CRC-32C (Castagnoli; RFC 3720 section 12.1), the checksum of everything in a store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace paste {

// Continues a CRC: crc32c(crc32c(0, a), b) is the CRC of a followed by b, and seed 0 gives the standard value. Two different
// seeds never give the same value for the same bytes, which is what makes a serial as seed tell a block's lives apart.
uint32_t crc32c(uint32_t seed, const void* data, size_t size_bytes);

// Every variant that this processor can run, the portable one first; the last is what crc32c() uses. For tests and bench.
struct Crc32cVariant {
  const char* name;
  uint32_t (*compute)(uint32_t seed, const void* data, size_t size_bytes);
};
std::span<const Crc32cVariant> crc32c_variants();

}  // namespace paste
