#include "core/export/sha256.h"

#include <algorithm>
#include <cstring>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t right(uint32_t x, int by) { return x >> by | x << (32 - by); }

void blocks_portable(uint32_t (&state)[8], const uint8_t* bytes, size_t count) {
  for (; count > 0; --count, bytes += 64) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
      memcpy(&w[i], bytes + 4 * i, 4);
      w[i] = __builtin_bswap32(w[i]);
    }
    for (int i = 16; i < 64; ++i) {
      const uint32_t s0 = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3;
      const uint32_t s1 = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; ++i) {
      const uint32_t s1 = right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25);
      const uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + kRound[i] + w[i];
      const uint32_t s0 = right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22);
      const uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      memmove(v + 1, v, 7 * sizeof v[0]);
      v[4] += t1;
      v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; ++i) state[i] += v[i];
  }
}

#if defined(__x86_64__)
// Four rounds a step; the message schedule runs in m, four words a register. Intel, "SHA Extensions", 2013.
__attribute__((target("sha,ssse3,sse4.1"))) void blocks_native(uint32_t (&state)[8], const uint8_t* bytes, size_t count) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const auto load = [](const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); };
  const __m128i cdab = _mm_shuffle_epi32(load(state), 0xb1), efgh = _mm_shuffle_epi32(load(state + 4), 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; count > 0; --count, bytes += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i m[4];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      __m128i& now = m[i & 3];
      if (i < 4) {
        now = _mm_shuffle_epi8(load(bytes + 16 * i), big_endian);
      } else {
        const __m128i last = m[(i + 3) & 3];
        const __m128i mixed = _mm_add_epi32(_mm_sha256msg1_epu32(now, m[(i + 1) & 3]), _mm_alignr_epi8(last, m[(i + 2) & 3], 4));
        now = _mm_sha256msg2_epu32(mixed, last);
      }
      const __m128i k = _mm_add_epi32(now, load(kRound + 4 * i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#endif

void blocks(uint32_t (&state)[8], const uint8_t* bytes, size_t count) {
#if defined(__x86_64__)
  if (cpu_features().sha && cpu_features().sse42) return blocks_native(state, bytes, count);
#endif
  blocks_portable(state, bytes, count);
}

}  // namespace

Sha256::Sha256() : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::update(const uint8_t* bytes, size_t size) {
  total_bytes_ += size;
  if (rest_bytes_ > 0) {
    const size_t taken = std::min(size, sizeof rest_ - rest_bytes_);
    memcpy(rest_ + rest_bytes_, bytes, taken);
    rest_bytes_ += taken;
    bytes += taken;
    size -= taken;
    if (rest_bytes_ < sizeof rest_) return;
    blocks(state_, rest_, 1);
    rest_bytes_ = 0;
  }
  blocks(state_, bytes, size / 64);
  rest_bytes_ = size % 64;
  if (rest_bytes_ > 0) memcpy(rest_, bytes + size - rest_bytes_, rest_bytes_);
}

Digest Sha256::digest() {
  uint8_t end[128] = {};
  memcpy(end, rest_, rest_bytes_);
  end[rest_bytes_] = 0x80;
  const size_t size = rest_bytes_ < 56 ? 64 : 128;
  const uint64_t bits = __builtin_bswap64(total_bytes_ * 8);
  memcpy(end + size - 8, &bits, 8);
  blocks(state_, end, size / 64);
  Digest digest;
  for (int i = 0; i < 8; ++i) {
    const uint32_t word = __builtin_bswap32(state_[i]);
    memcpy(digest.data() + 4 * i, &word, 4);
  }
  return digest;
}

}  // namespace paste
