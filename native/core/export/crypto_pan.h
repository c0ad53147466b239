// Addresses that keep their prefixes in common and nothing else: Crypto-PAn (Xu, Fan, Ammar, Moon: "Prefix-Preserving IP Address Anonymization",
// ICNP 2002), for IPv4 as its authors' program does it, for IPv6 likewise over 128 bits; and MAC addresses under the same key.
#pragma once

#include <cstdint>
#include <vector>

#include "core/export/aes128.h"

namespace paste {

class CryptoPan {
 public:
  // key: 16 bytes for AES, 16 for the padding.
  CryptoPan(const uint8_t (&key)[32], bool keep_oui);

  // In place: 4 bytes, 16 bytes, 6 bytes.
  void ipv4(uint8_t* address);
  void ipv6(uint8_t* address);
  // Broadcast and the reserved 01:80:c2:00:00:0x stay; the individual/group and universal/local bits stay, and of group addresses for IP their
  // first bytes.
  void mac(uint8_t* address) const;

 private:
  static constexpr uint32_t kEntries = 1u << 14;
  struct Entry4 {
    uint32_t from, to;
    bool used;
  };
  struct Entry6 {
    uint8_t from[16], to[16];
    bool used;
  };
  void map_bits(const uint8_t* address, uint32_t bits, uint8_t* mapped) const;

  Aes128 aes_;
  uint8_t pad_[16];
  bool keep_oui_;
  std::vector<Entry4> cache4_;
  std::vector<Entry6> cache6_;
};

}  // namespace paste
