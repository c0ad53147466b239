#include "core/export/crypto_pan.h"

#include <cstring>

namespace paste {
namespace {

struct Halves {
  uint8_t aes[16], pad[16];
};

Halves halves_of(const uint8_t (&key)[32]) {
  Halves halves;
  memcpy(halves.aes, key, 16);
  memcpy(halves.pad, key + 16, 16);
  return halves;
}

uint32_t slot_of(uint64_t word, uint32_t entries) {
  return static_cast<uint32_t>(word * 0x9e3779b97f4a7c15u >> 40) & (entries - 1);
}

}  // namespace

CryptoPan::CryptoPan(const uint8_t (&key)[32], bool keep_oui)
    : aes_(halves_of(key).aes), keep_oui_(keep_oui), cache4_(kEntries), cache6_(kEntries) {
  const Halves halves = halves_of(key);
  aes_.encrypt(halves.pad, pad_);
}

// Bit i of the result: bit i of the address, flipped by a pseudo-random function of the i bits before it.
void CryptoPan::map_bits(const uint8_t* address, uint32_t bits, uint8_t* mapped) const {
  uint8_t in[16], out[16];
  memcpy(in, pad_, sizeof in);
  memcpy(mapped, address, bits / 8);
  for (uint32_t i = 0; i < bits; ++i) {
    aes_.encrypt(in, out);
    mapped[i / 8] ^= static_cast<uint8_t>((out[0] & 0x80) >> i % 8);
    const auto bit = static_cast<uint8_t>(0x80 >> i % 8);
    in[i / 8] = static_cast<uint8_t>((in[i / 8] & ~bit) | (address[i / 8] & bit));
  }
}

void CryptoPan::ipv4(uint8_t* address) {
  uint32_t word;
  memcpy(&word, address, 4);
  Entry4& entry = cache4_[slot_of(word, kEntries)];
  if (!entry.used || entry.from != word) {
    uint8_t mapped[4];
    map_bits(address, 32, mapped);
    entry = Entry4{word, 0, true};
    memcpy(&entry.to, mapped, 4);
  }
  memcpy(address, &entry.to, 4);
}

void CryptoPan::ipv6(uint8_t* address) {
  uint64_t words[2];
  memcpy(words, address, 16);
  Entry6& entry = cache6_[slot_of(words[0] ^ words[1] * 3, kEntries)];
  if (!entry.used || memcmp(entry.from, address, 16) != 0) {
    entry.used = true;
    memcpy(entry.from, address, 16);
    map_bits(address, 128, entry.to);
  }
  memcpy(address, entry.to, 16);
}

void CryptoPan::mac(uint8_t* address) const {
  static constexpr uint8_t kEveryone[6] = {255, 255, 255, 255, 255, 255}, kReserved[5] = {1, 0x80, 0xc2, 0, 0};
  static constexpr uint8_t kGroup4[3] = {1, 0, 0x5e}, kGroup6[2] = {0x33, 0x33};
  if (memcmp(address, kEveryone, 6) == 0) return;
  if (memcmp(address, kReserved, 5) == 0 && address[5] < 16) return;
  uint32_t kept = keep_oui_ ? 3 : 0;
  if (memcmp(address, kGroup4, 3) == 0) kept = 3;
  if (memcmp(address, kGroup6, 2) == 0) kept = 2;
  uint8_t in[16], out[16];
  memcpy(in, pad_, sizeof in);
  for (int i = 0; i < 6; ++i) in[i + 10] = address[i];
  in[0] ^= 0x4d;  // a function of its own beside that of the IP addresses
  aes_.encrypt(in, out);
  if (kept == 0) {
    out[0] = static_cast<uint8_t>((out[0] & 0xfc) | (address[0] & 3));
  }
  memcpy(address + kept, out + kept, 6 - kept);
}

}  // namespace paste
