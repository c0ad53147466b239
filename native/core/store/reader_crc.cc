#include "core/store/reader_crc.h"

#include <cstring>

#include "core/base/cpu.h"
#include "core/store/checksums.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace paste {
namespace {

uint32_t any_processor(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy) {
  memcpy(copy, at, sizeof *copy);
  asm volatile("" : "+m"(*copy));  // from here on the copy is read, not `at` once more
  return layout::record_header_crc(*copy, serial);
}

#if defined(__x86_64__)
static_assert(offsetof(layout::RecordHeader, header_crc) == 24);

// The words are summed in the registers in which they were loaded: summing the copy would make each load wait for its store.
__attribute__((target("sse4.2"))) uint32_t sse42(const uint8_t* at, uint64_t serial, layout::RecordHeader* copy) {
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

}  // namespace

TakeHeader take_header_function() {
#if defined(__x86_64__)
  if (cpu_features().sse42) return sse42;
#endif
  return any_processor;
}

}  // namespace paste
