#include "core/base/cpu.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace paste {

#if defined(__x86_64__)

namespace {

// The register state that the operating system saves. Only callable when CPUID says OSXSAVE.
uint64_t saved_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool bit(uint32_t word, int index) { return (word >> index & 1) != 0; }

// Bit numbers: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
CpuFeatures detect() {
  CpuFeatures f;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  f.clflush = bit(d, 19);
  f.pclmul = bit(c, 1);
  f.sse42 = bit(c, 20);
  f.aes = bit(c, 25);
  const uint64_t state = bit(c, 27) ? saved_state() : 0;
  const bool ymm_saved = (state & 0x6) == 0x6;
  const bool zmm_saved = (state & 0xe6) == 0xe6;
  f.avx = bit(c, 28) && ymm_saved;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    f.avx2 = bit(b, 5) && ymm_saved;
    f.avx512 = bit(b, 16) && bit(b, 30) && bit(b, 31) && zmm_saved;
    f.vpclmulqdq = f.avx512 && bit(c, 10);
    f.sha = bit(b, 29) && f.sse42;
    f.clflushopt = bit(b, 23);
    f.clwb = bit(b, 24);
  }
  if (__get_cpuid(0x80000007, &a, &b, &c, &d)) f.invariant_counter = bit(d, 8);
  return f;
}

}  // namespace

#elif defined(__aarch64__)

namespace {

CpuFeatures detect() {
  constexpr unsigned long kHwcapCrc32 = 1ul << 7;    // HWCAP_CRC32, asm/hwcap.h
  constexpr unsigned long kHwcapDcPop = 1ul << 16;   // HWCAP_DCPOP: dc cvap
  CpuFeatures f;
  const unsigned long caps = getauxval(AT_HWCAP);
  f.crc32 = (caps & kHwcapCrc32) != 0;
  f.dc_cvap = (caps & kHwcapDcPop) != 0;
  f.invariant_counter = true;  // the generic timer is one by its architecture
  return f;
}

}  // namespace

#else

namespace {
CpuFeatures detect() { return {}; }
}  // namespace

#endif

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace paste
