#include "core/export/aes128.h"

#include <array>
#include <cstring>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paste {
namespace {

constexpr uint8_t times2(uint8_t x) { return static_cast<uint8_t>(x << 1 ^ (x & 0x80 ? 0x1b : 0)); }
constexpr uint8_t rotated(uint8_t x, int by) { return static_cast<uint8_t>(x << by | x >> (8 - by)); }

// FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map. p runs through all powers of 3, q through their inverses.
constexpr std::array<uint8_t, 256> make_s_box() {
  std::array<uint8_t, 256> box{};
  uint8_t p = 1, q = 1;
  do {
    p = static_cast<uint8_t>(p ^ times2(p));
    q = static_cast<uint8_t>(q ^ q << 1);
    q = static_cast<uint8_t>(q ^ q << 2);
    q = static_cast<uint8_t>(q ^ q << 4);
    if (q & 0x80) q ^= 0x09;
    box[p] = static_cast<uint8_t>(q ^ rotated(q, 1) ^ rotated(q, 2) ^ rotated(q, 3) ^ rotated(q, 4) ^ 0x63);
  } while (p != 1);
  box[0] = 0x63;
  return box;
}
constexpr std::array<uint8_t, 256> kBox = make_s_box();
static_assert(kBox[0x53] == 0xed && kBox[0xff] == 0x16);

void encrypt_portable(const uint8_t (&keys)[11][16], const uint8_t (&in)[16], uint8_t (&out)[16]) {
  uint8_t s[16], t[16];
  for (int i = 0; i < 16; ++i) s[i] = in[i] ^ keys[0][i];
  for (int round = 1; round <= 10; ++round) {
    // SubBytes and ShiftRows: row r of column c comes from column c + r.
    for (int c = 0; c < 4; ++c)
      for (int r = 0; r < 4; ++r) t[4 * c + r] = kBox[s[4 * ((c + r) & 3) + r]];
    for (int c = 0; c < 4 && round < 10; ++c) {
      uint8_t* const a = t + 4 * c;
      const uint8_t all = a[0] ^ a[1] ^ a[2] ^ a[3], first = a[0];
      for (int r = 0; r < 4; ++r) a[r] = static_cast<uint8_t>(a[r] ^ all ^ times2(a[r] ^ (r < 3 ? a[r + 1] : first)));
    }
    for (int i = 0; i < 16; ++i) s[i] = t[i] ^ keys[round][i];
  }
  memcpy(out, s, sizeof s);
}

#if defined(__x86_64__)
__attribute__((target("aes,sse4.1"))) void encrypt_native(const uint8_t (&keys)[11][16], const uint8_t (&in)[16], uint8_t (&out)[16]) {
  const auto key = [&](int i) { return _mm_load_si128(reinterpret_cast<const __m128i*>(keys[i])); };
  __m128i x = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)), key(0));
  for (int round = 1; round < 10; ++round) x = _mm_aesenc_si128(x, key(round));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_aesenclast_si128(x, key(10)));
}
#endif

}  // namespace

Aes128::Aes128(const uint8_t (&key)[16]) {
  memcpy(round_keys_[0], key, sizeof key);
  uint8_t constant = 1;
  for (int round = 1; round <= 10; ++round, constant = times2(constant)) {
    const uint8_t* const before = round_keys_[round - 1];
    uint8_t* const now = round_keys_[round];
    for (int i = 0; i < 4; ++i) now[i] = static_cast<uint8_t>(before[i] ^ kBox[before[12 + ((i + 1) & 3)]] ^ (i == 0 ? constant : 0));
    for (int i = 4; i < 16; ++i) now[i] = before[i] ^ now[i - 4];
  }
  native_ = cpu_features().aes && cpu_features().sse42;
}

void Aes128::encrypt(const uint8_t (&in)[16], uint8_t (&out)[16]) const {
#if defined(__x86_64__)
  if (native_) return encrypt_native(round_keys_, in, out);
#endif
  encrypt_portable(round_keys_, in, out);
}

}  // namespace paste
