#include "core/ports/line_copy.h"

namespace paste {

namespace {

#if defined(__x86_64__)
__attribute__((target("avx2"))) void copy_long_avx2(uint8_t* to, const uint8_t* from, uint32_t length) {
  typedef uint8_t Wide __attribute__((vector_size(32), aligned(1), may_alias));
  uint32_t left = length;
  for (; left > 64; left -= 64, to += 64, from += 64) {
    const Wide low = reinterpret_cast<const Wide*>(from)[0];
    const Wide high = reinterpret_cast<const Wide*>(from)[1];
    reinterpret_cast<Wide*>(to)[0] = low;
    reinterpret_cast<Wide*>(to)[1] = high;
  }
  const Wide* mask = reinterpret_cast<const Wide*>(kTailMask.bytes + 64 - left);
  reinterpret_cast<Wide*>(to)[0] = reinterpret_cast<const Wide*>(from)[0] & mask[0];
  reinterpret_cast<Wide*>(to)[1] = reinterpret_cast<const Wide*>(from)[1] & mask[1];
}
#endif

void copy_long_plain(uint8_t* to, const uint8_t* from, uint32_t length) {
  uint32_t left = length;
  for (; left > 64; left -= 64, to += 64, from += 64) std::memcpy(to, from, 64);
  copy_tail(to, from, left);
}

}  // namespace

LongCopy choose_long_copy() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return copy_long_avx2;
#endif
  return copy_long_plain;
}

}  // namespace paste
