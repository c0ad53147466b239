// AES-128, one block at a time (FIPS 197): by the processor's own instructions where it has them.
#pragma once

#include <cstdint>

namespace paste {

class Aes128 {
 public:
  explicit Aes128(const uint8_t (&key)[16]);
  // in and out may be the same.
  void encrypt(const uint8_t (&in)[16], uint8_t (&out)[16]) const;

 private:
  alignas(16) uint8_t round_keys_[11][16];
  bool native_;
};

}  // namespace paste
