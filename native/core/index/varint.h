// Numbers in 7-bit groups, the lowest first; the high bit says that more follow.
#pragma once

#include <cstdint>
#include <vector>

namespace paste::index {

inline uint32_t varint_bytes(uint32_t value) {
  return value < 1u << 7 ? 1 : value < 1u << 14 ? 2 : value < 1u << 21 ? 3 : value < 1u << 28 ? 4 : 5;
}

inline uint8_t* put_varint(uint8_t* at, uint32_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<uint8_t>(value | 0x80);
  *at++ = static_cast<uint8_t>(value);
  return at;
}
inline void put_varint(std::vector<uint8_t>* to, uint32_t value) {
  for (; value >= 0x80; value >>= 7) to->push_back(static_cast<uint8_t>(value | 0x80));
  to->push_back(static_cast<uint8_t>(value));
}

// False at the end of the bytes, and for more than 32 bits.
inline bool get_varint(const uint8_t*& at, const uint8_t* end, uint32_t* value) {
  if (at < end && *at < 0x80) {
    *value = *at++;
    return true;
  }
  uint64_t all = 0;
  for (uint32_t shift = 0; shift < 35 && at < end; shift += 7) {
    const uint8_t byte = *at++;
    all |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    *value = static_cast<uint32_t>(all);
    return all <= 0xffffffff;
  }
  return false;
}

}  // namespace paste::index
