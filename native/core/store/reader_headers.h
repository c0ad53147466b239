// Record headers as a reader takes them from where they lie: each byte loaded once, then only the copy counts.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/cpu.h"
#include "core/store/checksums.h"
#include "core/store/layout.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define PASTE_SSE42 __attribute__((target("sse4.2")))
#endif

namespace paste {

// Copies the 64 bytes at `at`, which may change meanwhile, and returns layout::record_header_crc() of the copy under `serial`.
inline uint32_t take_header_anywhere(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy) {
  memcpy(copy, at, sizeof *copy);
  asm volatile("" : "+m"(*copy));  // from here on the copy is read, not `at` once more
  return layout::record_header_crc(*copy, serial);
}

#if defined(__x86_64__)
static_assert(offsetof(layout::RecordHeader, header_crc) == 24);

// The same, where cpu_features().sse42. The words are summed in the registers in which they were loaded: summing the copy would make
// each load wait for its store.
PASTE_SSE42 inline uint32_t take_header_sse42(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy) {
  uint64_t crc = ~layout::seed_of(serial);
  auto* const to = reinterpret_cast<uint8_t*>(copy);
#pragma GCC unroll 8
  for (uint32_t i = 0; i < sizeof *copy; i += 8) {
    uint64_t word;
    memcpy(&word, at + i, sizeof word);
    asm volatile("" : "+r"(word));
    memcpy(to + i, &word, sizeof word);
    crc = _mm_crc32_u64(crc, i == 24 ? word & ~0xffffffffull : word);
  }
  return ~static_cast<uint32_t>(crc);
}
#endif

inline uint32_t take_header(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy) {
#if defined(__x86_64__)
  if (cpu_features().sse42) return take_header_sse42(at, serial, copy);
#endif
  return take_header_anywhere(at, serial, copy);
}

}  // namespace paste
