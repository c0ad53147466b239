// Room for whole frames outside of every store and frame memory, owned by one port and used by its owner thread.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "core/ports/frame.h"

namespace paste {

// Buffers for frames that are longer than a chunk, or segments of that length. Mapped, and touched when they are first used.
class LongBuffers {
 public:
  static constexpr uint32_t kBytes = (kLiveFrameBytesMax + 63) / 64 * 64;
  static constexpr uint32_t kCount = 2 * kBatchFrames;

  LongBuffers() {
    void* const memory = mmap(nullptr, size_t{kCount} * kBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    memory_ = memory == MAP_FAILED ? nullptr : static_cast<uint8_t*>(memory);
    free_.reserve(kCount);
    for (uint32_t i = kCount; i-- > 0;) free_.push_back(static_cast<uint16_t>(i));
  }
  ~LongBuffers() {
    if (memory_ != nullptr) munmap(memory_, size_t{kCount} * kBytes);
  }
  LongBuffers(const LongBuffers&) = delete;
  LongBuffers& operator=(const LongBuffers&) = delete;

  bool ok() const { return memory_ != nullptr; }
  void populate() {
    for (size_t at = 0; at < size_t{kCount} * kBytes; at += 4096) reinterpret_cast<volatile uint8_t*>(memory_)[at] = 0;
  }
  bool empty() const { return free_.empty(); }
  uint8_t* take() {
    PASTE_CHECK(!free_.empty());
    const uint32_t index = free_.back();
    free_.pop_back();
    return memory_ + size_t{index} * kBytes;
  }
  void give_back(const uint8_t* bytes) {
    const auto index = static_cast<size_t>(bytes - memory_) / kBytes;
    PASTE_CHECK(index < kCount);
    free_.push_back(static_cast<uint16_t>(index));
  }

 private:
  uint8_t* memory_;
  std::vector<uint16_t> free_;
};

}  // namespace paste
