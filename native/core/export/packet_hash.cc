#include "core/export/packet_hash.h"

#include <array>
#include <cstring>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

constexpr uint32_t kPolynomial = 0xedb88320;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte)
    for (size_t table = 1; table < 8; ++table)
      tables[table][byte] = tables[table - 1][byte] >> 8 ^ tables[0][tables[table - 1][byte] & 255];
  return tables;
}
constexpr Tables kTables = make_tables();

// Eight bytes at a time. `crc` is the state, not yet complemented.
uint32_t by_tables(uint32_t crc, const uint8_t* bytes, size_t size) {
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    word ^= crc;
    crc = 0;
    for (int i = 0; i < 8; ++i) crc ^= kTables[7 - i][word >> 8 * i & 255];
  }
  for (; size > 0; --size, ++bytes) crc = crc >> 8 ^ kTables[0][(crc ^ *bytes) & 255];
  return crc;
}

#if defined(__x86_64__)

// x^n mod P, reflected: "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Gopal et al., Intel 2009.
alignas(16) constexpr uint64_t kFold64[2] = {0x0154442bd4, 0x01c6e41596};
alignas(16) constexpr uint64_t kFold16[2] = {0x01751997d0, 0x00ccaa009e};
alignas(16) constexpr uint64_t kTo64[2] = {0x0163cd6124, 0};
alignas(16) constexpr uint64_t kBarrett[2] = {0x01db710641, 0x01f7011641};

__attribute__((target("pclmul,sse4.2"))) inline __m128i fold(__m128i x, __m128i by, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

// size >= 16.
__attribute__((target("pclmul,sse4.2"))) uint32_t by_folding(uint32_t crc, const uint8_t* bytes, size_t size) {
  const auto load = [](const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); };
  const __m128i by64 = load(kFold64), by16 = load(kFold16);
  __m128i x[4];
  x[0] = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128(static_cast<int>(crc)));
  if (size < 64) {
    bytes += 16, size -= 16;
  } else {
    for (int i = 1; i < 4; ++i) x[i] = load(bytes + 16 * i);
    for (bytes += 64, size -= 64; size >= 64; bytes += 64, size -= 64)
      for (int i = 0; i < 4; ++i) x[i] = fold(x[i], by64, load(bytes + 16 * i));
    for (int i = 1; i < 4; ++i) x[0] = fold(x[0], by16, x[i]);
  }
  for (; size >= 16; bytes += 16, size -= 16) x[0] = fold(x[0], by16, load(bytes));
  // 128 bits to 64, to 32.
  const __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
  __m128i y = _mm_xor_si128(_mm_clmulepi64_si128(x[0], by16, 0x10), _mm_srli_si128(x[0], 8));
  y = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(y, low32), load(kTo64), 0x00), _mm_srli_si128(y, 4));
  const __m128i barrett = load(kBarrett);
  __m128i t = _mm_clmulepi64_si128(_mm_and_si128(y, low32), barrett, 0x10);
  t = _mm_clmulepi64_si128(_mm_and_si128(t, low32), barrett, 0x00);
  const auto folded = static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(y, t), 1));
  return by_tables(folded, bytes, size);
}

#endif

}  // namespace

uint32_t packet_crc32(const uint8_t* bytes, size_t size) {
#if defined(__x86_64__)
  if (size >= 16 && cpu_features().pclmul && cpu_features().sse42) return ~by_folding(~0u, bytes, size);
#endif
  return ~by_tables(~0u, bytes, size);
}

}  // namespace paste
