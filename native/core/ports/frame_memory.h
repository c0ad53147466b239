// Memory for frames that a device or the kernel fills: chunks of one size, counted uses, in the store where that is possible.
//
// One per forwarding thread, shared by all ports of that thread that receive into buffers (TAP, AF_XDP): a frame that goes from one
// of them to another stays where it lies. Every call is the owner thread's unless said otherwise; none allocates or blocks.
//
// In the store, the memory is a row of the store's buffer blocks mapped one behind the other, so that it can be registered as one
// UMEM. A chunk whose bytes a record names (Frame::marked) is the log's: it comes back when the log has retired that record.
// When chunks get scarce because the log holds them, marking stops (may_mark()) and frames are packed instead.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/pmem/region.h"
#include "core/ports/frame.h"
#include "core/store/lane.h"

namespace paste {

inline constexpr uint32_t kNoChunk = ~0u;

enum class FrameMemoryPlace : uint8_t { kAuto, kStore, kDram };  // kAuto: in the store where it can be mapped and pinned

struct FrameMemoryOptions {
  uint32_t chunk_bytes = 2048;      // 2048 or 4096 (what an aligned UMEM takes)
  uint32_t chunks = 16384;          // rounded up to whole blocks
  FrameMemoryPlace place = FrameMemoryPlace::kAuto;
};

class FrameMemory {
 public:
  // `region` and `pool` are the store's, null without one; both outlive the memory. kStore fails with RESOURCE where the store
  // cannot be used so: on a disk or fs-DAX (nothing there can be pinned), or without enough free blocks; the message says which.
  static Status create(const FrameMemoryOptions& options, Region* region, BufferPool* pool,
                       std::unique_ptr<FrameMemory>* memory);
  virtual ~FrameMemory() = default;

  virtual uint8_t* base() = 0;
  virtual uint64_t size_bytes() const = 0;         // chunk_bytes * chunk_count; contiguous from base()
  virtual uint32_t chunk_bytes() const = 0;
  virtual uint32_t chunk_count() const = 0;
  virtual bool in_store() const = 0;
  virtual const std::string& why_not_store() const = 0;  // for people; empty when it is

  uint8_t* bytes(uint32_t chunk) { return base() + uint64_t{chunk} * chunk_bytes(); }
  // The chunk that an address lies in; kNoChunk when it is outside.
  virtual uint32_t chunk_of(const uint8_t* address) const = 0;

  // A free chunk with one use; kNoChunk when there is none.
  virtual uint32_t take() = 0;
  virtual void add_use(uint32_t chunk) = 0;
  // The last use gone: the chunk is free, or the log's when keep_for_log() was said of it.
  virtual void drop_use(uint32_t chunk) = 0;
  // A record names bytes of this chunk.
  virtual void keep_for_log(uint32_t chunk) = 0;
  // Chunks whose records were retired become free again; looks at a bounded number of blocks per call.
  virtual void reclaim() = 0;
  virtual uint32_t free_chunks() const = 0;
  virtual uint32_t logged_chunks() const = 0;
  // Whether the log may keep more chunks: false when free ones get scarce.
  virtual bool may_mark() const = 0;

  // How the kernel knows this memory: kept here by the first port that registers it, for the ports that come later.
  std::shared_ptr<void> registration;

  // Fills the places of a received frame: store_offset and buffer_block stay 0 outside the store or when may_mark() is false.
  virtual void place_frame(Frame& frame, const uint8_t* bytes, uint32_t length) = 0;
};

}  // namespace paste
