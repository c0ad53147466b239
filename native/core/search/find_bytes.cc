#include "core/search/find_bytes.h"

#include <cstring>
#include <utility>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

bool find_plainly(const uint8_t* bytes, uint32_t length, const std::string& needle) {
  return needle.empty() || (length > 0 && memmem(bytes, length, needle.data(), needle.size()) != nullptr);
}

#if defined(__x86_64__)

// Places where the needle's first and last byte both stand are compared in full; what is left for less than a register goes
// plainly. 32 places at a time.
__attribute__((target("avx2"))) bool find_avx2(const uint8_t* bytes, uint32_t length, const std::string& needle) {
  const uint32_t size = static_cast<uint32_t>(needle.size());
  if (length < size) return false;
  const __m256i first = _mm256_set1_epi8(needle.front());
  const __m256i last = _mm256_set1_epi8(needle.back());
  uint32_t at = 0;
  for (; at + size - 1 + 32 <= length; at += 32) {
    const auto* const here = reinterpret_cast<const __m256i*>(bytes + at);
    const auto* const end = reinterpret_cast<const __m256i*>(bytes + at + size - 1);
    const __m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_loadu_si256(here), first),
                                          _mm256_cmpeq_epi8(_mm256_loadu_si256(end), last));
    for (auto places = static_cast<uint32_t>(_mm256_movemask_epi8(both)); places != 0; places &= places - 1)
      if (memcmp(bytes + at + __builtin_ctz(places), needle.data(), size) == 0) return true;
  }
  return find_plainly(bytes + at, length - at, needle);
}

#endif

}  // namespace

FindBytes::FindBytes(std::string needle) : needle_(std::move(needle)), find_(find_plainly) {
#if defined(__x86_64__)
  if (cpu_features().avx2 && !needle_.empty()) find_ = find_avx2;
#endif
}

}  // namespace paste
