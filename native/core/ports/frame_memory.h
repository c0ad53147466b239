// Memory for frames that a device or the kernel fills: chunks of one size, counted uses, in the store where that is possible.
//
// One per forwarding thread, shared by all ports of that thread that receive into buffers (TAP, AF_XDP): a frame that goes from one
// of them to another stays where it lies. Every call is the owner thread's unless said otherwise; none allocates or blocks.
//
// A chunk whose bytes a record names (Frame::marked) is the log's: it comes back when the log has retired that record, durably. In the
// store, chunks lie in buffer blocks that the memory has taken; a slot is one such block. A slot whose chunks the log keeps is
// renewed: it gets a fresh block from the store, and the store keeps the old one for as long as records name bytes in it. So marking
// goes on for as long as the store has blocks. A pinned memory (AF_XDP registers it once, as one range) cannot be renewed: its
// chunks come back one by one as the log retires their records. When free chunks get scarce because the log holds the others,
// marking stops (may_mark()) and frames are packed instead.
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
inline constexpr uint32_t kChunksDefault = 16384;

enum class FrameMemoryPlace : uint8_t { kAuto, kStore, kDram };  // kAuto: in the store where it can be

struct FrameMemoryOptions {
  uint32_t chunk_bytes = 2048;      // 2048 or 4096 (what an aligned UMEM takes)
  uint32_t chunks = 0;              // rounded up to whole blocks. 0 = kChunksDefault, in the store at most an eighth of what buffers
                                    // may have; more is taken when it is asked for, at most half of that
  uint32_t chunks_max = ~0u;        // whatever is asked for
  uint32_t sharers = 1;             // memories that share the store, this one included: they share that eighth or half
  FrameMemoryPlace place = FrameMemoryPlace::kAuto;
};

class FrameMemory {
 public:
  // `region` and `pool` are the store's, null without one; both outlive the memory. kStore fails with RESOURCE where the store
  // cannot be used so: without one, on a disk, or without enough free blocks; the message says which. Waits for the store's keeper,
  // which makes a few blocks ready at a time: some milliseconds, never on a forwarding thread.
  static Status create(const FrameMemoryOptions& options, Region* region, BufferPool* pool,
                       std::unique_ptr<FrameMemory>* memory);
  virtual ~FrameMemory() = default;

  // Makes the memory one contiguous range that stays where it is, for setsockopt(XDP_UMEM_REG): base() and size_bytes() hold from now
  // on. Once is enough. Not on a forwarding thread, but beside one that uses the memory. RESOURCE where pages cannot be pinned
  // (fs-DAX) or a block is no whole number of pages (huge pages, device-DAX): the caller then makes a memory in DRAM for itself.
  // Blocks of the store that are pinned stay locked until the process is gone, so that no device fills them for the next writer.
  virtual Status pin() = 0;
  virtual uint8_t* base() = 0;                     // null before pin()
  virtual uint64_t size_bytes() const = 0;         // chunk_bytes * chunk_count
  virtual uint32_t chunk_bytes() const = 0;
  virtual uint32_t chunk_count() const = 0;
  virtual bool in_store() const = 0;
  virtual const std::string& why_not_store() const = 0;  // for people; empty when it is

  // Of a chunk with a use. Where a pinned memory's chunk lies in the store's own mapping, too, both addresses are good.
  virtual uint8_t* bytes(uint32_t chunk) = 0;
  // Its place from base(): the UMEM address of its first byte.
  uint64_t umem_address(uint32_t chunk) const { return uint64_t{chunk} * chunk_bytes(); }
  // The chunk that an address lies in; kNoChunk when it is outside.
  virtual uint32_t chunk_of(const uint8_t* address) const = 0;

  // A free chunk with one use; kNoChunk when there is none.
  virtual uint32_t take() = 0;
  virtual void add_use(uint32_t chunk) = 0;
  // The last use gone: the chunk is free, or the log's when keep_for_log() was said of it.
  virtual void drop_use(uint32_t chunk) = 0;
  // A record that was appended names bytes of this chunk. Its user says so before dropping the use.
  virtual void keep_for_log(uint32_t chunk) = 0;
  // Chunks whose records were retired become free again, slots are renewed; looks at a bounded number of slots per call. Ports
  // call it once a round.
  virtual void reclaim() = 0;
  virtual uint32_t free_chunks() const = 0;
  virtual uint32_t logged_chunks() const = 0;
  // Whether the log may keep more chunks: false when free ones get scarce.
  virtual bool may_mark() const = 0;
  // Whether a port may have more chunks lying ready for its device: false when the free ones left are for frames on their way, so that
  // rings of many ports together never stop another port of the thread.
  virtual bool may_post() const = 0;

  // How the kernel knows this memory: kept here by the first port that registers it, for the ports that come later.
  std::shared_ptr<void> registration;

  // Fills the places of a received frame, which lies in a chunk: bytes, length, and where the log may mark it in place, store_offset
  // and buffer_block, which stay 0 outside the store or when may_mark() is false. `wire_length` is left to the caller.
  virtual void place_frame(Frame& frame, const uint8_t* bytes, uint32_t length) = 0;
};

}  // namespace paste
