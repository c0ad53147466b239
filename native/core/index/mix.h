// Keyed hashing of keys that whoever sends frames can choose.
#pragma once

#include <cstdint>
#include <cstring>

namespace paste::index {

// The halves of a 128-bit product, folded.
inline uint64_t fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t load64(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

inline uint64_t hash_bytes(uint64_t seed, const uint8_t* at, uint32_t size_bytes) {
  uint64_t hash = seed ^ size_bytes;
  for (; size_bytes > 16; at += 16, size_bytes -= 16)
    hash = fold(load64(at) ^ 0x9e3779b97f4a7c15 ^ hash, load64(at + 8) ^ seed);
  uint64_t rest[2] = {};
  std::memcpy(rest, at, size_bytes);
  return fold(fold(rest[0] ^ 0xd6e8feb86659fd93 ^ hash, rest[1] ^ seed), seed | 1);
}

}  // namespace paste::index
