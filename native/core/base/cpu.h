// What this processor can do, asked once: everything that is chosen at run time is chosen from here.
#pragma once

namespace paste {

struct CpuFeatures {
  // x86-64. A vector feature counts only when the operating system keeps its registers (XCR0).
  bool aes = false;            // AES-NI
  bool sse42 = false, pclmul = false, avx = false, avx2 = false;
  bool avx512 = false;         // F, BW and VL together
  bool vpclmulqdq = false;     // on 512-bit registers
  bool sha = false;            // SHA-1's and SHA-256's instructions, and SSE 4.1
  bool clflush = false, clflushopt = false, clwb = false;
  // arm64.
  bool crc32 = false, dc_cvap = false;
  // The cycle or time counter ticks at one rate, whatever the core's frequency and sleep state.
  bool invariant_counter = false;
};

const CpuFeatures& cpu_features();

// Between two looks at what another core will change.
inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace paste
