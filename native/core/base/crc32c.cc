// Constants are computed from the polynomial at compile time. Below, a polynomial over GF(2) is held as CRCs are: reflected,
// so that bit 31 - i of a 32-bit value is the coefficient of x^i.
//
// Measured on a Zen 4 VM, ns per call, warm:   64 B   256 B   1514 B
//   portable                                    31     125      751
//   sse4.2                                       5.6    17      143
//   sse4.2+pclmul                                5.4    12       89
//   avx-512                                      5.4     7.5     31
#include "core/base/crc32c.h"

#include <array>
#include <cstring>

#include "core/base/cpu.h"

#if defined(__x86_64__)
// GCC's own headers start undefined registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

namespace paste {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1EDC6F41 reflected

using Table = std::array<std::array<uint32_t, 256>, 8>;

constexpr Table make_table() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    table[0][byte] = crc;
  }
  for (size_t slice = 1; slice < 8; ++slice)
    for (uint32_t byte = 0; byte < 256; ++byte)
      table[slice][byte] = table[slice - 1][byte] >> 8 ^ table[0][table[slice - 1][byte] & 0xff];
  return table;
}

constexpr Table kTable = make_table();

uint64_t load64(const uint8_t* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Eight bytes a step, one table each (Kounavis and Berry, 2005).
uint32_t portable(uint32_t seed, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t crc = ~seed;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; size >= 8; size -= 8, p += 8) {
    const uint64_t w = load64(p) ^ crc;
    crc = kTable[7][w & 0xff] ^ kTable[6][w >> 8 & 0xff] ^ kTable[5][w >> 16 & 0xff] ^ kTable[4][w >> 24 & 0xff] ^
          kTable[3][w >> 32 & 0xff] ^ kTable[2][w >> 40 & 0xff] ^ kTable[1][w >> 48 & 0xff] ^ kTable[0][w >> 56];
  }
#endif
  for (; size > 0; --size, ++p) crc = crc >> 8 ^ kTable[0][(crc ^ *p) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

// x^power mod P.
constexpr uint32_t power_of_x(uint32_t power) {
  uint32_t value = 0x80000000;  // x^0
  for (; power > 0; --power) value = value >> 1 ^ (value & 1 ? kPolynomial : 0);
  return value;
}

#define PASTE_SSE42 __attribute__((target("sse4.2,pclmul")))
#define PASTE_AVX512 __attribute__((target("sse4.2,pclmul,avx512f,avx512bw,avx512vl,vpclmulqdq")))

// The plain instruction, three cycles for eight bytes. `crc` is inverted already.
PASTE_SSE42 inline uint32_t one_stream(uint32_t crc, const uint8_t* p, size_t size) {
  uint64_t c = crc;
#pragma GCC unroll 8
  for (; size >= 8; size -= 8, p += 8) c = _mm_crc32_u64(c, load64(p));
  if (size == 0) return static_cast<uint32_t>(c);
  crc = static_cast<uint32_t>(c);
  if (size & 4) {
    uint32_t w;
    std::memcpy(&w, p, 4);
    crc = _mm_crc32_u32(crc, w);
    p += 4;
  }
  if (size & 2) {
    uint16_t w;
    std::memcpy(&w, p, 2);
    crc = _mm_crc32_u16(crc, w);
    p += 2;
  }
  if (size & 1) crc = _mm_crc32_u8(crc, *p);
  return crc;
}

// The CRC moved on over `bytes` zero bytes. Carry-less multiplication of reflected values gives one factor x and the crc
// instruction another x^32, hence the 33.
template <uint32_t bytes>
PASTE_SSE42 inline uint32_t skip_zeros(uint32_t crc) {
  constexpr uint32_t kFactor = power_of_x(8 * bytes - 33);
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(crc)),
                                               _mm_cvtsi32_si128(static_cast<int>(kFactor)), 0);
  return static_cast<uint32_t>(_mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
}

// Three streams of `part` bytes side by side hide the instruction's latency of three cycles.
template <uint32_t part>
PASTE_SSE42 inline uint32_t three_streams(uint32_t crc, const uint8_t* p) {
  uint64_t a = crc, b = 0, c = 0;
  for (uint32_t i = 0; i < part; i += 8) {
    a = _mm_crc32_u64(a, load64(p + i));
    b = _mm_crc32_u64(b, load64(p + part + i));
    c = _mm_crc32_u64(c, load64(p + 2 * part + i));
  }
  return skip_zeros<2 * part>(static_cast<uint32_t>(a)) ^ skip_zeros<part>(static_cast<uint32_t>(b)) ^
         static_cast<uint32_t>(c);
}

PASTE_SSE42 uint32_t sse42(uint32_t seed, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t crc = ~seed;
  for (; size >= 3 * 512; size -= 3 * 512, p += 3 * 512) crc = three_streams<512>(crc, p);
  for (; size >= 3 * 64; size -= 3 * 64, p += 3 * 64) crc = three_streams<64>(crc, p);
  return ~one_stream(crc, p, size);
}

PASTE_SSE42 uint32_t sse42_plain(uint32_t seed, const void* data, size_t size) {
  return ~one_stream(~seed, static_cast<const uint8_t*>(data), size);
}

// Moving 128 bits on by `bits`: the earlier half (low in a reflected register) times x^(bits + 64), the later one times
// x^bits, each less the factor x that the multiplication brings.
constexpr uint64_t early_factor(uint32_t bits) { return static_cast<uint64_t>(power_of_x(bits + 63)) << 32; }
constexpr uint64_t late_factor(uint32_t bits) { return static_cast<uint64_t>(power_of_x(bits - 1)) << 32; }

PASTE_AVX512 inline __m512i fold(__m512i value, __m512i factors, __m512i next) {
  const __m512i early = _mm512_clmulepi64_epi128(value, factors, 0x00);
  const __m512i late = _mm512_clmulepi64_epi128(value, factors, 0x11);
  return _mm512_ternarylogic_epi64(early, late, next, 0x96);  // xor of all three
}

template <uint32_t bits>
PASTE_AVX512 inline __m512i factors() {
  constexpr uint64_t kEarly = early_factor(bits), kLate = late_factor(bits);
  return _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(kLate), static_cast<long long>(kEarly)));
}

// The four 128-bit lanes of a register become one, and that one a CRC.
PASTE_AVX512 inline uint32_t reduce(__m512i value) {
  constexpr uint64_t kE384 = early_factor(384), kL384 = late_factor(384), kE256 = early_factor(256);
  constexpr uint64_t kL256 = late_factor(256), kE128 = early_factor(128), kL128 = late_factor(128);
  const __m512i by_lane = _mm512_set_epi64(0, 0, static_cast<long long>(kL128), static_cast<long long>(kE128),
                                           static_cast<long long>(kL256), static_cast<long long>(kE256),
                                           static_cast<long long>(kL384), static_cast<long long>(kE384));
  const __m512i last_lane = _mm512_maskz_mov_epi64(0xc0, value);  // stays where it is
  const __m512i moved = fold(value, by_lane, last_lane);
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(moved), _mm512_extracti64x4_epi64(moved, 1));
  const __m128i lane = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const uint64_t crc = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(lane)));
  return static_cast<uint32_t>(_mm_crc32_u64(crc, static_cast<uint64_t>(_mm_extract_epi64(lane, 1))));
}

// Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ" (Intel, 2009), on 512-bit registers.
PASTE_AVX512 uint32_t avx512(uint32_t seed, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  if (size < 256) return ~one_stream(~seed, p, size);
  __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~seed))));
  __m512i b = _mm512_loadu_si512(p + 64), c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
  const __m512i by_2048 = factors<2048>();
  for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
    a = fold(a, by_2048, _mm512_loadu_si512(p));
    b = fold(b, by_2048, _mm512_loadu_si512(p + 64));
    c = fold(c, by_2048, _mm512_loadu_si512(p + 128));
    d = fold(d, by_2048, _mm512_loadu_si512(p + 192));
  }
  a = fold(a, factors<1536>(), d);
  a = fold(b, factors<1024>(), a);
  const __m512i by_512 = factors<512>();
  a = fold(c, by_512, a);
  for (; size >= 64; p += 64, size -= 64) a = fold(a, by_512, _mm512_loadu_si512(p));
  return ~one_stream(reduce(a), p, size);
}

#elif defined(__aarch64__)

__attribute__((target("+crc"))) uint32_t arm64(uint32_t seed, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t crc = ~seed;
  for (; size >= 8; size -= 8, p += 8) crc = __crc32cd(crc, load64(p));
  for (; size > 0; --size, ++p) crc = __crc32cb(crc, *p);
  return ~crc;
}

#endif

struct Variants {
  std::array<Crc32cVariant, 4> list{};
  size_t count = 0;
  Variants() {
    add("portable", portable);
    const CpuFeatures& cpu = cpu_features();
    (void)cpu;
#if defined(__x86_64__)
    if (cpu.sse42) add("sse4.2", sse42_plain);
    if (cpu.sse42 && cpu.pclmul) add("sse4.2+pclmul", sse42);
    if (cpu.sse42 && cpu.pclmul && cpu.vpclmulqdq) add("avx-512", avx512);
#elif defined(__aarch64__)
    if (cpu.crc32) add("arm64", arm64);
#endif
  }
  void add(const char* name, uint32_t (*compute)(uint32_t, const void*, size_t)) { list[count++] = {name, compute}; }
};

const Variants& variants() {
  static const Variants all;
  return all;
}

}  // namespace

std::span<const Crc32cVariant> crc32c_variants() { return {variants().list.data(), variants().count}; }

uint32_t crc32c(uint32_t seed, const void* data, size_t size_bytes) {
  static const auto best = crc32c_variants().back().compute;
  return best(seed, data, size_bytes);
}

}  // namespace paste
