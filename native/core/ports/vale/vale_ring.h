// One ring of a vale port as the daemon sees it: what it keeps for itself, and how it reads and writes shared memory.
#pragma once

#include <cstdint>

#include "core/ports/netmap_abi.h"

namespace paste {

// A slot but for its `ptr`, which vale ports have no use for: one aligned 8-byte word, so that one load reads it whole. It stays
// a word in memory, too: fields stored apart and loaded together would stall each frame for a dozen cycles.
class SlotWord {
 public:
  SlotWord() = default;
  explicit SlotWord(uint64_t word) : word_(word) {}
  SlotWord(uint32_t buffer, uint32_t length, uint32_t flags)
      : word_(uint64_t{buffer} | uint64_t{length} << 32 | uint64_t{flags} << 48) {}
  uint64_t word() const { return word_; }
  uint32_t buffer() const { return static_cast<uint32_t>(word_); }
  uint32_t length() const { return static_cast<uint16_t>(word_ >> 32); }
  uint32_t flags() const { return static_cast<uint32_t>(word_ >> 48); }

 private:
  uint64_t word_;
};

inline SlotWord load_slot(const netmap::Slot* slot) {
  return SlotWord(__atomic_load_n(reinterpret_cast<const uint64_t*>(slot), __ATOMIC_RELAXED));
}

inline void store_slot(netmap::Slot* slot, SlotWord word) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(slot), word.word(), __ATOMIC_RELAXED);
}

inline uint32_t load_acquire(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_ACQUIRE); }
inline uint32_t load_relaxed(const uint32_t& field) { return __atomic_load_n(&field, __ATOMIC_RELAXED); }
inline void store_release(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELEASE); }
inline void store_relaxed(uint32_t& field, uint32_t value) { __atomic_store_n(&field, value, __ATOMIC_RELAXED); }

struct RingView {
  netmap::Ring* ring = nullptr;
  netmap::RingSync* sync = nullptr;
  netmap::Slot* slot = nullptr;
  uint32_t slots = 0;
  uint32_t first_buffer = 0;
  uint32_t bound = 0;        // attachments that have it
  uint32_t next(uint32_t i) const { return i + 1 == slots ? 0 : i + 1; }
  uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + slots - from; }
  uint32_t advance(uint32_t i, uint32_t by) const { return i + by >= slots ? i + by - slots : i + by; }
};

struct TxView : RingView {
  uint32_t released = 0;      // hwcur as published: the client owns everything behind it
  uint32_t taken = 0;         // next slot to take; released <= taken <= client.head
  uint32_t counted_slots = 0; // slots from `taken` on that were taken back: their faults are counted already
};

struct RxView : RingView {
  uint32_t head = 0;         // what the client has given back, as last checked
  uint32_t tail = 0;         // hwtail as published: the next slot to fill
  uint32_t promised = 0;     // slots from `tail` on that reserve() promised
  bool unnotified = false;   // deliveries were published since the last notify()
};

}  // namespace paste
