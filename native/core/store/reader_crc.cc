#include "core/store/reader_crc.h"

#include <cstring>

#include "core/base/cpu.h"
#include "core/store/checksums.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace paste {
namespace {

uint32_t any_processor(const uint8_t* header, uint64_t serial) {
  layout::RecordHeader copy;
  memcpy(&copy, header, sizeof copy);
  return layout::record_header_crc(copy, serial);
}

#if defined(__x86_64__)
static_assert(offsetof(layout::RecordHeader, header_crc) == 24);

// Blanking the field in a copy would make the load of its word wait for the store: it is masked in the register instead.
__attribute__((target("sse4.2"))) uint32_t sse42(const uint8_t* header, uint64_t serial) {
  uint64_t words[8];
  memcpy(words, header, sizeof words);
  uint64_t crc = ~layout::seed_of(serial);
  crc = _mm_crc32_u64(crc, words[0]);
  crc = _mm_crc32_u64(crc, words[1]);
  crc = _mm_crc32_u64(crc, words[2]);
  crc = _mm_crc32_u64(crc, words[3] & ~0xffffffffull);
  crc = _mm_crc32_u64(crc, words[4]);
  crc = _mm_crc32_u64(crc, words[5]);
  crc = _mm_crc32_u64(crc, words[6]);
  crc = _mm_crc32_u64(crc, words[7]);
  return ~static_cast<uint32_t>(crc);
}
#endif

}  // namespace

HeaderCrc header_crc_function() {
#if defined(__x86_64__)
  if (cpu_features().sse42) return sse42;
#endif
  return any_processor;
}

}  // namespace paste
