#include "core/export/packet_hash.h"

#include <array>
#include <cstring>

#include "core/base/cpu.h"

#if defined(__x86_64__)
// GCC's own headers start undefined registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
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

// "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Gopal et al., Intel 2009.
#define PASTE_PCLMUL __attribute__((target("sse4.2,pclmul")))
#define PASTE_AVX512 __attribute__((target("sse4.2,pclmul,avx512f,avx512bw,avx512vl,vpclmulqdq")))

// x^power mod P, reflected; a carry-less product of reflected values lacks a factor x, hence the shift.
constexpr uint64_t power_of_x(uint32_t power) {
  uint32_t value = 0x80000000;
  for (; power > 0; --power) value = value >> 1 ^ (value & 1 ? kPolynomial : 0);
  return uint64_t{value} << 1;
}

// What moves 16 bytes on over so many.
struct alignas(16) Fold {
  constexpr explicit Fold(uint32_t bytes) : early(power_of_x(8 * bytes + 32)), late(power_of_x(8 * bytes - 32)) {}
  uint64_t early, late;
};
constexpr Fold kFold256(256), kFold64(64), kFold16(16);
alignas(16) constexpr uint64_t kTo64[2] = {power_of_x(64), 0};
alignas(16) constexpr uint64_t kBarrett[2] = {0x01db710641, 0x01f7011641};
// Loaded from 16 - n on, it moves a register's bytes up by n in a shuffle, from 16 + n on down; 0x80 makes a zero.
alignas(16) constexpr uint8_t kMove[48] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,    1,    2,    3,    4,    5,    6,    7,
    8,    9,    10,   11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

PASTE_PCLMUL inline __m128i load(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

PASTE_PCLMUL inline __m128i fold(__m128i x, __m128i by, __m128i next) {
  const __m128i early = _mm_clmulepi64_si128(x, by, 0x00), late = _mm_clmulepi64_si128(x, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(early, late), next);
}

// `x` stands for all bytes before `bytes`, at least 16.
PASTE_PCLMUL inline uint32_t finish(__m128i x, const uint8_t* bytes, size_t size) {
  const __m128i by16 = load(&kFold16);
  for (; size >= 16; bytes += 16, size -= 16) x = fold(x, by16, load(bytes));
  if (size > 0) {
    const __m128i up = load(kMove + size), rest = _mm_shuffle_epi8(x, load(kMove + 16 + size));
    x = fold(_mm_shuffle_epi8(x, up), by16, _mm_blendv_epi8(load(bytes + size - 16), rest, up));
  }
  // 128 bits to 64, to 32.
  const __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
  __m128i y = _mm_xor_si128(_mm_clmulepi64_si128(x, by16, 0x10), _mm_srli_si128(x, 8));
  y = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(y, low32), load(kTo64), 0x00), _mm_srli_si128(y, 4));
  const __m128i barrett = load(kBarrett);
  __m128i t = _mm_clmulepi64_si128(_mm_and_si128(y, low32), barrett, 0x10);
  t = _mm_clmulepi64_si128(_mm_and_si128(t, low32), barrett, 0x00);
  return static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(y, t), 1));
}

// size >= 16.
PASTE_PCLMUL uint32_t by_folding(uint32_t crc, const uint8_t* bytes, size_t size) {
  const __m128i by64 = load(&kFold64), by16 = load(&kFold16);
  __m128i x[4];
  x[0] = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128(static_cast<int>(crc)));
  if (size < 64) return finish(x[0], bytes + 16, size - 16);
  for (int i = 1; i < 4; ++i) x[i] = load(bytes + 16 * i);
  for (bytes += 64, size -= 64; size >= 64; bytes += 64, size -= 64)
    for (int i = 0; i < 4; ++i) x[i] = fold(x[i], by64, load(bytes + 16 * i));
  for (int i = 1; i < 4; ++i) x[0] = fold(x[0], by16, x[i]);
  return finish(x[0], bytes, size);
}

PASTE_AVX512 inline __m512i fold(__m512i x, __m512i by, __m512i next) {
  const __m512i early = _mm512_clmulepi64_epi128(x, by, 0x00), late = _mm512_clmulepi64_epi128(x, by, 0x11);
  return _mm512_ternarylogic_epi64(early, late, next, 0x96);  // xor of all three
}

// size >= 256.
PASTE_AVX512 uint32_t by_wide_folding(uint32_t crc, const uint8_t* bytes, size_t size) {
  const __m512i by256 = _mm512_broadcast_i32x4(load(&kFold256)), by64 = _mm512_broadcast_i32x4(load(&kFold64));
  __m512i x[4];
  for (int i = 0; i < 4; ++i) x[i] = _mm512_loadu_si512(bytes + 64 * i);
  x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc))));
  for (bytes += 256, size -= 256; size >= 256; bytes += 256, size -= 256)
    for (int i = 0; i < 4; ++i) x[i] = fold(x[i], by256, _mm512_loadu_si512(bytes + 64 * i));
  for (int i = 1; i < 4; ++i) x[0] = fold(x[0], by64, x[i]);
  for (; size >= 64; bytes += 64, size -= 64) x[0] = fold(x[0], by64, _mm512_loadu_si512(bytes));
  const __m128i by16 = load(&kFold16);
  __m128i y = fold(_mm512_castsi512_si128(x[0]), by16, _mm512_extracti32x4_epi32(x[0], 1));
  y = fold(y, by16, _mm512_extracti32x4_epi32(x[0], 2));
  return finish(fold(y, by16, _mm512_extracti32x4_epi32(x[0], 3)), bytes, size);
}

#endif

uint32_t portable(const uint8_t* bytes, size_t size) { return ~by_tables(~0u, bytes, size); }

#if defined(__x86_64__)
uint32_t pclmul(const uint8_t* bytes, size_t size) {
  return size >= 16 ? ~by_folding(~0u, bytes, size) : portable(bytes, size);
}
uint32_t avx512(const uint8_t* bytes, size_t size) {
  return size >= 256 ? ~by_wide_folding(~0u, bytes, size) : pclmul(bytes, size);
}
#endif

struct Variants {
  std::array<PacketHashVariant, 3> list{};
  size_t count = 0;
  Variants() {
    list[count++] = {"portable", portable};
#if defined(__x86_64__)
    const CpuFeatures& cpu = cpu_features();
    if (cpu.sse42 && cpu.pclmul) list[count++] = {"pclmul", pclmul};
    if (cpu.sse42 && cpu.pclmul && cpu.vpclmulqdq) list[count++] = {"avx-512", avx512};
#endif
  }
};

}  // namespace

std::span<const PacketHashVariant> packet_hash_variants() {
  static const Variants all;
  return {all.list.data(), all.count};
}

uint32_t packet_crc32(const uint8_t* bytes, size_t size) {
  static const auto best = packet_hash_variants().back().compute;
  return best(bytes, size);
}

}  // namespace paste
