// SHA-256 (FIPS 180-4), by the processor's own instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace paste {

using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void update(const uint8_t* bytes, size_t size);
  // Once, at the end.
  Digest digest();

 private:
  uint32_t state_[8];
  uint8_t rest_[64];
  size_t rest_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace paste
