#include "core/base/sha1.h"

#include <bit>
#include <cstring>

#include "core/base/cpu.h"
#include "core/base/status.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

constexpr uint32_t kStart[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

uint32_t word(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, 4);
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

void portable(const uint8_t* block, uint32_t (&digest)[5]) {
  uint32_t w[80];
  for (uint32_t i = 0; i < 16; ++i) w[i] = word(block + i * 4);
  for (uint32_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  uint32_t a = kStart[0], b = kStart[1], c = kStart[2], d = kStart[3], e = kStart[4];
  for (uint32_t i = 0; i < 80; ++i) {
    const uint32_t mixed = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                           : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                           : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                    : (b ^ c ^ d) + 0xca62c1d6;
    const uint32_t next = std::rotl(a, 5) + mixed + e + w[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  const uint32_t sums[5] = {a, b, c, d, e};
  for (uint32_t i = 0; i < 5; ++i) digest[i] = kStart[i] + sums[i];
}

#if defined(__x86_64__)

// Four rounds an instruction (Intel SDM volume 2, SHA1RNDS4 and its companions). Five groups of four rounds share a function.
template <int kFunction>
[[gnu::target("sha,sse4.1,ssse3")]] inline void groups(uint32_t first, __m128i* w, __m128i* abcd, __m128i* before) {
  for (uint32_t g = first; g < kFunction * 5u + 5; g++) {
    __m128i& own = w[g % 4];
    if (g >= 4)
      own = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(own, w[(g + 1) % 4]), w[(g + 2) % 4]), w[(g + 3) % 4]);
    const __m128i sum = _mm_sha1nexte_epu32(*before, own);
    *before = *abcd;
    *abcd = _mm_sha1rnds4_epu32(*abcd, sum, kFunction);
  }
}

[[gnu::target("sha,sse4.1,ssse3")]] void sha_instructions(const uint8_t* block, uint32_t (&digest)[5]) {
  const __m128i swap = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  __m128i w[4];
  for (int i = 0; i < 4; i++)
    w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i), swap);
  const __m128i start = _mm_set_epi32(static_cast<int>(kStart[0]), static_cast<int>(kStart[1]),
                                      static_cast<int>(kStart[2]), static_cast<int>(kStart[3]));
  const __m128i e = _mm_set_epi32(static_cast<int>(kStart[4]), 0, 0, 0);
  __m128i before = start, abcd = _mm_sha1rnds4_epu32(start, _mm_add_epi32(e, w[0]), 0);
  groups<0>(1, w, &abcd, &before);
  groups<1>(5, w, &abcd, &before);
  groups<2>(10, w, &abcd, &before);
  groups<3>(15, w, &abcd, &before);
  const __m128i last = _mm_sha1nexte_epu32(before, e);
  abcd = _mm_add_epi32(abcd, start);
  digest[0] = static_cast<uint32_t>(_mm_extract_epi32(abcd, 3));
  digest[1] = static_cast<uint32_t>(_mm_extract_epi32(abcd, 2));
  digest[2] = static_cast<uint32_t>(_mm_extract_epi32(abcd, 1));
  digest[3] = static_cast<uint32_t>(_mm_extract_epi32(abcd, 0));
  digest[4] = static_cast<uint32_t>(_mm_extract_epi32(last, 3));
}

constexpr Sha1Variant kVariants[] = {{"portable", portable}, {"sha", sha_instructions}};
uint32_t variant_count() { return cpu_features().sha ? 2 : 1; }

#else

constexpr Sha1Variant kVariants[] = {{"portable", portable}};
uint32_t variant_count() { return 1; }

#endif

}  // namespace

std::span<const Sha1Variant> sha1_variants() { return {kVariants, variant_count()}; }

void sha1_short(const uint8_t* bytes, uint32_t length, uint32_t (&digest)[5]) {
  PASTE_CHECK(length <= kSha1ShortMax);
  uint8_t block[64] = {};
  std::memcpy(block, bytes, length);
  block[length] = 0x80;
  block[62] = static_cast<uint8_t>(length * 8 >> 8);
  block[63] = static_cast<uint8_t>(length * 8);
  kVariants[variant_count() - 1].compute(block, digest);
}

}  // namespace paste
