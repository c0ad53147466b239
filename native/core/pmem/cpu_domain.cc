#include "core/pmem/cpu_domain.h"

#include <atomic>
#include <cstring>
#include <string>

#if defined(__x86_64__)
// GCC's own headers start undefined registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#endif

namespace paste {
namespace {

constexpr uintptr_t kLine = 64;

enum class WriteBack { kClwb, kClflushopt, kClflush, kDcCvap, kNone };

constexpr const char* write_back_name(WriteBack kind) {
  switch (kind) {
    case WriteBack::kClwb: return "clwb";
    case WriteBack::kClflushopt: return "clflushopt";
    case WriteBack::kClflush: return "clflush";
    case WriteBack::kDcCvap: return "dc cvap";
    case WriteBack::kNone: return "stores without write-back";
  }
  return "";
}

// Instructions are written out, so that no function needs a target attribute for one of them. The memory operand keeps
// the compiler from moving stores to the line behind its write-back.
template <WriteBack kind>
inline void write_back(const char* line) {
#if defined(__x86_64__)
  auto& whole = *reinterpret_cast<const volatile char(*)[kLine]>(line);
  if constexpr (kind == WriteBack::kClwb) asm volatile("clwb %0" : : "m"(whole) : "memory");
  if constexpr (kind == WriteBack::kClflushopt) asm volatile("clflushopt %0" : : "m"(whole) : "memory");
  if constexpr (kind == WriteBack::kClflush) asm volatile("clflush %0" : : "m"(whole) : "memory");
#elif defined(__aarch64__)
  if constexpr (kind == WriteBack::kDcCvap) asm volatile("sys #3, c7, c12, #1, %0" : : "r"(line) : "memory");  // dc cvap
#endif
  if constexpr (kind == WriteBack::kNone) asm volatile("" : : "r"(line) : "memory");
}

template <WriteBack kind>
class LineDomain : public Domain {
 public:
  LineDomain(const char* stream_name, Medium medium) : name_(write_back_name(kind)) {
    if (stream_name[0] != '\0') name_ += std::string("+") + stream_name;
    if (medium == Medium::kMemory && kind != WriteBack::kNone) name_ += " (DRAM stands for NVMM)";
  }

  bool immediate() const final { return true; }
  const char* name() const final { return name_.c_str(); }

  void store(void* to, const void* from, size_t size_bytes) final { std::memcpy(to, from, size_bytes); }

  void store64(void* to, uint64_t value) final {
    __atomic_store_n(static_cast<uint64_t*>(to), value, __ATOMIC_RELEASE);
  }

  void stream(void* to, const void* from, size_t lines) override {
    std::memcpy(to, from, lines * kLine);
    flush(to, lines * kLine);
  }

  void flush(const void* from, size_t size_bytes) final {
    const auto start = reinterpret_cast<uintptr_t>(from) & ~(kLine - 1);
    const auto end = reinterpret_cast<uintptr_t>(from) + size_bytes;
    for (uintptr_t line = start; line < end; line += kLine) write_back<kind>(reinterpret_cast<const char*>(line));
  }

  void fence() final {
#if defined(__x86_64__)
    asm volatile("sfence" : : : "memory");
#elif defined(__aarch64__)
    asm volatile("dsb sy" : : : "memory");  // completion of dc cvap needs dsb, not dmb
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }

  Status sync() final {
    fence();
    return {};
  }

 private:
  std::string name_;
};

#if defined(__x86_64__)

template <WriteBack kind>
class Sse2Domain final : public LineDomain<kind> {
 public:
  explicit Sse2Domain(Medium medium) : LineDomain<kind>("ntstore-sse2", medium) {}
  void stream(void* to, const void* from, size_t lines) override {
    auto* out = static_cast<__m128i*>(to);
    const auto* in = static_cast<const __m128i*>(from);
    for (size_t i = 0; i < lines * 4; i += 4) {
      const __m128i a = _mm_load_si128(in + i), b = _mm_load_si128(in + i + 1);
      const __m128i c = _mm_load_si128(in + i + 2), d = _mm_load_si128(in + i + 3);
      _mm_stream_si128(out + i, a);
      _mm_stream_si128(out + i + 1, b);
      _mm_stream_si128(out + i + 2, c);
      _mm_stream_si128(out + i + 3, d);
    }
  }
};

template <WriteBack kind>
class AvxDomain final : public LineDomain<kind> {
 public:
  explicit AvxDomain(Medium medium) : LineDomain<kind>("ntstore-avx", medium) {}
  __attribute__((target("avx"))) void stream(void* to, const void* from, size_t lines) override {
    auto* out = static_cast<__m256i*>(to);
    const auto* in = static_cast<const __m256i*>(from);
    for (size_t i = 0; i < lines * 2; i += 2) {
      const __m256i a = _mm256_load_si256(in + i), b = _mm256_load_si256(in + i + 1);
      _mm256_stream_si256(out + i, a);
      _mm256_stream_si256(out + i + 1, b);
    }
  }
};

template <WriteBack kind>
class Avx512Domain final : public LineDomain<kind> {
 public:
  explicit Avx512Domain(Medium medium) : LineDomain<kind>("ntstore", medium) {}
  __attribute__((target("avx512f"))) void stream(void* to, const void* from, size_t lines) override {
    auto* out = static_cast<__m512i*>(to);
    const auto* in = static_cast<const __m512i*>(from);
    for (size_t i = 0; i < lines; ++i) _mm512_stream_si512(out + i, _mm512_load_si512(in + i));
  }
};

template <WriteBack kind>
std::unique_ptr<Domain> with_stream(Medium medium, const CpuFeatures& cpu) {
  if (cpu.avx512) return std::make_unique<Avx512Domain<kind>>(medium);
  if (cpu.avx) return std::make_unique<AvxDomain<kind>>(medium);
  return std::make_unique<Sse2Domain<kind>>(medium);
}

#endif

#if !defined(__x86_64__)
template <WriteBack kind>
class PlainDomain final : public LineDomain<kind> {
 public:
  explicit PlainDomain(Medium medium) : LineDomain<kind>("", medium) {}
};
#endif

}  // namespace

Status make_cpu_domain(Medium medium, const CpuFeatures& cpu, std::unique_ptr<Domain>* domain) {
#if defined(__x86_64__)
  if (cpu.clwb)
    *domain = with_stream<WriteBack::kClwb>(medium, cpu);
  else if (cpu.clflushopt)
    *domain = with_stream<WriteBack::kClflushopt>(medium, cpu);
  else
    *domain = with_stream<WriteBack::kClflush>(medium, cpu);  // part of every x86-64
  return {};
#else
#if defined(__aarch64__)
  if (cpu.dc_cvap) {
    *domain = std::make_unique<PlainDomain<WriteBack::kDcCvap>>(medium);
    return {};
  }
#endif
  (void)cpu;
  if (medium != Medium::kMemory)
    return {Code::kStore, std::string("this processor cannot write cache lines back to ") + medium_name(medium) +
                              " from user space (dc cvap is missing): put the store on an ordinary file system"};
  *domain = std::make_unique<PlainDomain<WriteBack::kNone>>(medium);
  return {};
#endif
}

}  // namespace paste
