// Bytes that grow at their end and are never zeroed. The memory can be shared with whoever shows it to JavaScript: when it has
// to grow, what was shared stays as it was and the bytes go on elsewhere.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

namespace paste {

class EncodedBytes {
 public:
  EncodedBytes() = default;
  explicit EncodedBytes(size_t capacity) { reserve(capacity); }

  uint8_t* data() { return memory_.get(); }
  const uint8_t* data() const { return memory_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() { size_ = 0; }
  const std::shared_ptr<uint8_t[]>& memory() const { return memory_; }
  size_t capacity() const { return capacity_; }

  void reserve(size_t capacity) {
    if (capacity > capacity_) move_to(capacity);
  }
  // Room for so many more bytes, which the caller fills.
  uint8_t* extend(size_t size) {
    if (size > capacity_ - size_) move_to((size_ + size) * 2);
    uint8_t* const at = memory_.get() + size_;
    size_ += size;
    return at;
  }

 private:
  void move_to(size_t capacity) {
    std::shared_ptr<uint8_t[]> memory(new uint8_t[capacity]);
    if (size_ > 0) memcpy(memory.get(), memory_.get(), size_);
    memory_ = std::move(memory);
    capacity_ = capacity;
  }

  std::shared_ptr<uint8_t[]> memory_;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace paste
