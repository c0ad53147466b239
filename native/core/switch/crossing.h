// Frames on their way from one forwarding thread to another: a byte ring with one writer and one reader per pair of threads,
// and the fates of frames whose copies several threads deliver.
//
// A frame crosses by one copy into the ring; the reader delivers it from there to its own ports. The writer reserves room
// before it logs, as at any destination, and publishes when the record is durable. A full ring refuses the copies by name.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "core/ports/frame.h"
#include "core/switch/pending.h"

namespace paste {

inline constexpr uint32_t kCrossingBytes = 512u << 10;
inline constexpr uint32_t kFates = 4096;      // frames of one thread that may be on their way to others
inline constexpr uint16_t kNoFate = 0xffff;

// One frame, counted once, by whichever thread is the last to be done with it.
class Fates {
 public:
  // An unused fate with one party, this thread; kNoFate when all are in use.
  uint16_t take() {
    const uint32_t fate = next_ % kFates;
    if ((fates_[fate].word.load(std::memory_order_acquire) & kParties) != 0) return kNoFate;
    fates_[fate].word.store(1, std::memory_order_relaxed);
    fates_[fate].mirrors.store(0, std::memory_order_relaxed);
    next_++;
    return static_cast<uint16_t>(fate);
  }
  void add_party(uint16_t fate) { fates_[fate].word.fetch_add(1, std::memory_order_relaxed); }
  // One party is done: `delivered` any copy, refused others for the reasons `why`. True for the last one, with the sum of all.
  bool finish(uint16_t fate, bool* delivered, uint16_t* why) {
    std::atomic<uint32_t>& word = fates_[fate].word;
    word.fetch_or((*delivered ? kDelivered : 0) | static_cast<uint32_t>(*why) << kWhyShift, std::memory_order_relaxed);
    const uint32_t before = word.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & kParties) != 1) return false;
    *delivered = (before & kDelivered) != 0;
    *why = static_cast<uint16_t>(before >> kWhyShift & 0xffff);
    return true;
  }
  // Which of these mirror ports nobody has seen to yet, as far as this frame is concerned: now the caller has. Parties only.
  uint64_t claim_mirrors(uint16_t fate, uint64_t mirrors) {
    return mirrors & ~fates_[fate].mirrors.fetch_or(mirrors, std::memory_order_relaxed);
  }
  // Owner only: how many were ever taken, and whether all up to some number are done.
  uint64_t taken() const { return next_; }
  bool done_before(uint64_t number) {
    while (oldest_ < number && (fates_[oldest_ % kFates].word.load(std::memory_order_acquire) & kParties) == 0) oldest_++;
    return oldest_ >= number;
  }

 private:
  static constexpr uint32_t kParties = 0xff, kWhyShift = 8, kDelivered = 1u << 31;
  struct Fate {
    std::atomic<uint64_t> mirrors{0};
    std::atomic<uint32_t> word{0};
  };
  Fate fates_[kFates];
  uint64_t next_ = 0, oldest_ = 0;
};

struct alignas(64) CrossingEntry {
  uint32_t length;             // of the frame behind this line; 0 = the rest of the ring is unused, go on at its start
  uint16_t ingress;            // number of the port
  uint16_t destination;        // number of the port, or kFlood: every port of the switch that takes frames
  uint32_t destination_id;     // of the port's attachment
  uint32_t switch_index;
  uint32_t wire_length;        // Frame::wire_length, Frame::time_ns
  uint64_t time_ns;
  uint16_t fate;
  uint16_t vlan;               // Frame::vlan
  bool tagged;                 // Frame::tagged
  bool mirror;                 // a copy for a mirror port: no fate depends on it
};
static_assert(sizeof(CrossingEntry) == 64);

class Crossing {
 public:
  Crossing() : memory_(new(std::align_val_t{64}) uint8_t[kCrossingBytes]()) {}
  ~Crossing() { operator delete[](memory_, std::align_val_t{64}); }
  Crossing(const Crossing&) = delete;
  Crossing& operator=(const Crossing&) = delete;

  // --- writer ---
  // Room for one more frame, at worst with the end of the ring skipped. Promises are filled in order by push(). `keep_free`: bytes that
  // this frame must leave to others.
  bool reserve(uint32_t length, uint32_t keep_free = 0) {
    const uint32_t need = 2 * bytes_for(length);
    if (tail_ + promised_ + need + keep_free > head_.load(std::memory_order_acquire) + kCrossingBytes) return false;
    promised_ += need;
    return true;
  }
  void cancel(uint32_t length) { promised_ -= 2 * bytes_for(length); }
  void push(const CrossingEntry& entry, const uint8_t* bytes) {
    promised_ -= 2 * bytes_for(entry.length);
    const uint32_t need = bytes_for(entry.length);
    if (const uint32_t left = kCrossingBytes - tail_ % kCrossingBytes; left < need) {
      at(tail_)->length = 0;
      tail_ += left;
    }
    *at(tail_) = entry;
    std::memcpy(at(tail_) + 1, bytes, (entry.length + 63) & ~63u);
    tail_ += need;
  }
  void publish() { published_.store(tail_, std::memory_order_seq_cst); }

  // --- reader ---
  bool empty() const { return read_ == published_.load(std::memory_order_seq_cst); }
  // The next entry, its frame behind it; null when there is none. It stays until release().
  const CrossingEntry* next() {
    if (empty()) return nullptr;
    if (at(read_)->length == 0) read_ += kCrossingBytes - read_ % kCrossingBytes;
    const CrossingEntry* entry = at(read_);
    read_ += bytes_for(entry->length);
    return entry;
  }
  void release() { head_.store(read_, std::memory_order_release); }

  // Anybody: nothing was published that the reader has not released.
  bool idle() const {
    return head_.load(std::memory_order_acquire) == published_.load(std::memory_order_acquire);
  }

 private:
  static uint32_t bytes_for(uint32_t length) { return 64 + ((length + 63) & ~63u); }
  CrossingEntry* at(uint64_t position) const {
    return reinterpret_cast<CrossingEntry*>(memory_ + position % kCrossingBytes);
  }

  uint8_t* memory_;
  alignas(64) uint64_t tail_ = 0;
  uint64_t promised_ = 0;
  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) uint64_t read_ = 0;
};

}  // namespace paste
