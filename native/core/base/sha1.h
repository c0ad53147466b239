// SHA-1 (FIPS 180-4) of messages that fit one block with their length: flow tuples. For names, not for security.
#pragma once

#include <cstdint>
#include <span>

namespace paste {

inline constexpr uint32_t kSha1ShortMax = 55;

// `length` is at most kSha1ShortMax.
void sha1_short(const uint8_t* bytes, uint32_t length, uint32_t (&digest)[5]);

// One block from the initial state, by every variant that this processor can run, the portable one first; the last is what sha1_short()
// uses. For tests.
struct Sha1Variant {
  const char* name;
  void (*compute)(const uint8_t* block, uint32_t (&digest)[5]);
};
std::span<const Sha1Variant> sha1_variants();

}  // namespace paste
