// The daemon's side of a live tap's memory (live_tap.h).
#pragma once

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/lent_memory.h"
#include "core/base/status.h"
#include "core/ports/vale/live_tap.h"

namespace paste {

// One ring, for one forwarding thread. Bounded work, and nobody to wait for.
class TapRing {
 public:
  TapRing(live_tap::RingHead* head, uint8_t* bytes, uint32_t size) : head_(head), bytes_(bytes), size_(size) {}

  // `record`: all but size and number. Its `length` bytes are at `bytes`.
  void push(live_tap::Record record, const uint8_t* bytes) {
    record.size = live_tap::record_bytes(record.length);
    record.number = frames_++;
    const uint32_t left = live_tap::kChunkBytes - static_cast<uint32_t>(at_ & (live_tap::kChunkBytes - 1));
    const uint32_t skipped = left < record.size ? left : 0;
    // Who copies what we are about to write over must see this word first.
    __atomic_store_n(&head_->reserved, at_ + skipped + record.size, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (skipped != 0) {
      const uint32_t end_of_chunk = 0;
      std::memcpy(place(), &end_of_chunk, sizeof end_of_chunk);
      at_ += skipped;
    }
    uint8_t* to = place();
    // A ring is larger than a cache: the lines of the frames that come next are asked for while this one is copied.
    for (uint32_t line = 0; line < record.size; line += 64)
      __builtin_prefetch(bytes_ + ((at_ + kAheadBytes + line) & (size_ - 1)), 1);
    std::memcpy(to, &record, sizeof record);
    std::memcpy(to + sizeof record, bytes, record.length);
    at_ += record.size;
  }
  // What was pushed can be read now.
  void publish() {
    if (at_ == published_) return;
    published_ = at_;
    __atomic_store_n(&head_->frames, frames_, __ATOMIC_RELAXED);
    __atomic_store_n(&head_->written, at_, __ATOMIC_RELEASE);
  }

 private:
  static constexpr uint32_t kAheadBytes = 1024;
  uint8_t* place() const { return bytes_ + (at_ & (size_ - 1)); }

  live_tap::RingHead* head_;
  uint8_t* bytes_;
  uint32_t size_;
  uint64_t at_ = 0, published_ = 0, frames_ = 0;
};

class TapMemory {
 public:
  // Every page is there when it returns: no forwarding thread takes a fault. `ring_bytes`: as TapWish says.
  static Status create(uint32_t threads, uint32_t ring_bytes, std::unique_ptr<TapMemory>* memory);
  ~TapMemory();
  TapMemory(const TapMemory&) = delete;
  TapMemory& operator=(const TapMemory&) = delete;

  const LentMemory& file() const { return file_; }
  // No ring may be used any more.
  void unmap();
  uint64_t size_bytes() const { return size_bytes_; }
  TapRing& ring(uint32_t thread) { return rings_[thread]; }
  // One thread at a time.
  void add_name(uint32_t id, std::string_view name);

 private:
  TapMemory() = default;

  LentMemory file_;
  uint8_t* memory_ = nullptr;
  uint64_t size_bytes_ = 0;
  std::vector<TapRing> rings_;
};

}  // namespace paste
