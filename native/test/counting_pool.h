// A pool of packet buffers in plain memory, for ports under test.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "core/store/lane.h"

namespace paste::test {

// Buffer blocks as a store would give them, with exact counting.
class CountingPool final : public BufferPool {
 public:
  explicit CountingPool(uint32_t blocks, uint32_t block_bytes)
      : block_bytes_(block_bytes), memory_(size_t{blocks} * block_bytes), uses_(blocks) {}
  bool take(BufferBlock* block) override {
    for (uint32_t i = 0; i < uses_.size(); i++) {
      int32_t none = 0;
      if (!uses_[i].compare_exchange_strong(none, 1)) continue;
      *block = {memory_.data() + size_t{i} * block_bytes_, 4096 + uint64_t{i} * block_bytes_, block_bytes_, i};
      return true;
    }
    return false;
  }
  void add_uses(uint32_t index, uint32_t count) override { uses_[index] += static_cast<int32_t>(count); }
  void drop_uses(uint32_t index, uint32_t count) override { PASTE_CHECK((uses_[index] -= static_cast<int32_t>(count)) >= 0); }
  int64_t in_use() const {
    int64_t sum = 0;
    for (const auto& uses : uses_) sum += uses;
    return sum;
  }
  const uint8_t* at(uint64_t store_offset) const { return memory_.data() + (store_offset - 4096); }

 private:
  uint32_t block_bytes_;
  std::vector<uint8_t> memory_;
  std::vector<std::atomic<int32_t>> uses_;
};

}  // namespace paste::test
