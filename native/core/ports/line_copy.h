// Copying frames by whole cache lines, with the last line's padding zeroed: what a snapshot and a receive slot both want.
#pragma once

#include <cstdint>
#include <cstring>

namespace paste {

alignas(64) inline constexpr struct TailMask {
  uint8_t bytes[128];
  constexpr TailMask() : bytes() {
    for (int i = 0; i < 64; i++) bytes[i] = 0xff;
  }
} kTailMask;

// Copies 1..64 bytes and zeroes the rest of the line: reads and writes 64 bytes, without a branch.
inline void copy_tail(uint8_t* to, const uint8_t* from, uint32_t length) {
  typedef uint8_t Vector __attribute__((vector_size(16), aligned(1), may_alias));
  const uint8_t* mask = kTailMask.bytes + 64 - length;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++)
    reinterpret_cast<Vector*>(to)[i] =
        reinterpret_cast<const Vector*>(from)[i] & reinterpret_cast<const Vector*>(mask)[i];
}

// Copies `length` > 64 bytes; reads and writes up to the next multiple of 64, the padding is written as zeros.
using LongCopy = void (*)(uint8_t* to, const uint8_t* from, uint32_t length);
LongCopy choose_long_copy();  // the widest that this CPU has

inline void copy_lines(LongCopy copy_long, uint8_t* to, const uint8_t* from, uint32_t length) {
  if (__builtin_expect(length - 1 < 64, 1))
    copy_tail(to, from, length);
  else if (length != 0)
    copy_long(to, from, length);
}

inline void prefetch_line(const void* address) { __builtin_prefetch(address, 0, 3); }

// For a line that will be written: it comes over from another core's cache as owned, not shared.
inline void prefetch_line_owned(void* address) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<char*>(address)));
#else
  __builtin_prefetch(address, 1, 3);
#endif
}

}  // namespace paste
