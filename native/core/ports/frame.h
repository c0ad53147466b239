// A batch: the frames that one forwarding thread received together, and the memory that their snapshots lie in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/base/status.h"

namespace paste {

inline constexpr uint32_t kEthernetHeaderBytes = 14;
inline constexpr uint32_t kBatchFrames = 256;          // frames in a batch at most
inline constexpr uint32_t kLiveFrameBytesMax = 9216;   // longest frame of a live port: 9 KiB
inline constexpr uint32_t kArenaBytes = 512u << 10;    // snapshots of one batch; when it is full, receive stops
inline constexpr uint32_t kPortsMax = 256;             // ports of one forwarding thread

// One received frame. Everything after the snapshot reads it here and nowhere else.
struct Frame {
  const uint8_t* bytes = nullptr;  // the snapshot, contiguous; readable up to the next multiple of 64
  uint32_t length = 0;             // captured
  uint32_t wire_length = 0;        // length on the wire; >= length
  uint64_t time_ns = 0;            // wall clock at receive
  uint64_t store_offset = 0;       // where the bytes lie in the store; 0 = in the batch's arena
  uint32_t buffer_block = 0;       // store_offset != 0: index of the buffer block (one use is held until release())
  uint16_t ingress = 0;            // index of the port in its thread's table
  // 64-byte aligned, with a free line in front; in the arena also with zeroed padding up to the next line, elsewhere with room for it.
  bool framed = false;
  // Set by the switch where a port of it has VLANs, and read nowhere else: ports that copy leave an earlier frame's values here.
  uint16_t vlan = 0;               // VLAN id it was classified into, 0 = none (vlan.h)
  bool tagged = false;             // `bytes` carry an outermost 802.1Q tag of that VLAN, or a priority tag
  // store_offset != 0: a record names these bytes in place, the buffer is the log's until the record is retired. Set before release().
  bool marked = false;
};

// Bump-allocated, 64-byte aligned; reset for each batch, so that it stays in the cache.
class Arena {
 public:
  explicit Arena(size_t size_bytes = kArenaBytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Room for a snapshot of `length` bytes behind one free line, both 64-byte aligned; null when the arena is full. The
  // caller zeroes the padding up to the next line.
  uint8_t* take(uint32_t length) {
    const size_t need = 64 + ((static_cast<size_t>(length) + 63) & ~size_t{63});
    if (need > size_ - used_) return nullptr;
    uint8_t* snapshot = memory_ + used_ + 64;
    used_ += need;
    return snapshot;
  }
  bool holds(const uint8_t* bytes) const { return bytes >= memory_ && bytes < memory_ + size_; }
  void give_back_to(const uint8_t* snapshot) { used_ = static_cast<size_t>(snapshot - 64 - memory_); }
  void reset() { used_ = 0; }
  size_t room() const { return size_ - used_; }

 private:
  uint8_t* memory_;
  size_t size_;
  size_t used_ = 0;
};

struct Batch {
  Arena arena;
  uint32_t count = 0;
  Frame frames[kBatchFrames];

  bool full() const { return count == kBatchFrames; }
  void reset() {
    count = 0;
    arena.reset();
  }
};

}  // namespace paste
