// A bounded queue between exactly one thread that pushes and one that pops.
#pragma once

#include <atomic>
#include <cstdint>

namespace paste {

template <typename T, uint32_t kCapacity>
class SpscQueue {
  static_assert((kCapacity & (kCapacity - 1)) == 0);

 public:
  bool push(const T& item) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == kCapacity) return false;
    items_[tail & (kCapacity - 1)] = item;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  bool pop(T* item) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (tail_.load(std::memory_order_acquire) == head) return false;
    *item = items_[head & (kCapacity - 1)];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // Either side; exact on the popping one.
  uint32_t size() const {
    return static_cast<uint32_t>(tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire));
  }
  // How many were ever popped.
  uint64_t popped() const { return head_.load(std::memory_order_acquire); }

 private:
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) T items_[kCapacity];
};

}  // namespace paste
