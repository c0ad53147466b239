// The block directory as its writer uses it: every change flushed here, every fence left to the caller, who batches them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "core/pmem/region.h"
#include "core/store/layout.h"

namespace paste {

// What a log block holds, or what an index block covers; becomes its seal.
struct BlockSummary {
  uint64_t first_sequence = 0, last_sequence = 0;
  uint64_t time_min_ns = 0, time_max_ns = 0;
  uint64_t frame_bytes = 0;
  uint32_t end_bytes = 0;
  uint32_t record_count = 0, frame_count = 0;

  // What another block holds, too; its bytes and records apart.
  template <typename Other>  // BlockSummary, or a DirectoryEntry with a seal
  void span(const Other& sealed) {
    frame_bytes += sealed.frame_bytes;
    frame_count += sealed.frame_count;
    if (sealed.first_sequence == 0) return;
    const bool first = first_sequence == 0;
    first_sequence = first ? sealed.first_sequence : std::min(first_sequence, sealed.first_sequence);
    last_sequence = std::max(last_sequence, sealed.last_sequence);
    time_min_ns = first ? sealed.time_min_ns : std::min(time_min_ns, sealed.time_min_ns);
    time_max_ns = std::max(time_max_ns, sealed.time_max_ns);
  }
  void count(uint64_t sequence, uint64_t time_ns) {
    if (first_sequence == 0) {
      first_sequence = sequence;
      time_min_ns = time_max_ns = time_ns;
    }
    last_sequence = sequence;
    if (time_ns < time_min_ns) time_min_ns = time_ns;
    if (time_ns > time_max_ns) time_max_ns = time_ns;
  }
};

class Directory {
 public:
  // `head` is the region's writable head; `superblock` outlives this.
  Directory(Region& region, uint8_t* head, const layout::Superblock& superblock)
      : region_(region), head_(head), superblock_(superblock), holders_(new std::atomic<uint16_t>[superblock.block_count]) {
    for (uint32_t i = 0; i < superblock.block_count; ++i) holders_[i].store(kAnyLane, std::memory_order_relaxed);
  }

  uint32_t count() const { return superblock_.block_count; }
  uint32_t block_bytes() const { return superblock_.block_bytes; }
  uint64_t block_offset(uint32_t index) const {
    return superblock_.blocks_offset + uint64_t{index} * superblock_.block_bytes;
  }
  // Of the block that holds this offset of the store; kNoBlock outside of the blocks.
  uint32_t block_at(uint64_t offset) const {
    if (offset < superblock_.blocks_offset) return layout::kNoBlock;
    const uint64_t index = (offset - superblock_.blocks_offset) / superblock_.block_bytes;
    return index < superblock_.block_count ? static_cast<uint32_t>(index) : layout::kNoBlock;
  }
  const layout::DirectoryEntry& entry(uint32_t index) const {
    return reinterpret_cast<const layout::DirectoryEntry*>(head_ + layout::kDirectoryOffset)[index];
  }
  uint64_t word(uint32_t index) const { return __atomic_load_n(&entry(index).word, __ATOMIC_ACQUIRE); }
  layout::LivePage& live() { return *reinterpret_cast<layout::LivePage*>(head_ + layout::kLiveOffset); }

  // A free block's new life, in two steps with a fence between them: first everything that the word will vouch for (the
  // entry's fields and, of log and index blocks, the header in `memory`), then the word.
  void prepare(uint32_t index, uint64_t serial, layout::BlockKind kind, uint16_t lane, uint64_t now_ns, uint8_t* memory);
  void announce(uint32_t index, uint64_t serial, layout::BlockKind kind);
  // Fenced before a byte of the block is written again.
  void retire(uint32_t index);
  // The records it vouches for are persistent.
  void seal(uint32_t index, const BlockSummary& summary, uint32_t flags);
  // Writes a damaged entry anew, all but its seal: recovery's.
  void restore(uint32_t index, uint64_t serial, uint32_t epoch, uint16_t lane);
  // Raises held_until to `serial`, a block of `lane`; lower ones are ignored. By lanes on immediate media.
  void hold(uint32_t index, uint64_t serial, uint32_t lane);
  // The same by recovery, which does not ask whose log block it was.
  void hold(uint32_t index, uint64_t serial);
  // The lanes whose log blocks may name bytes in a buffer block, a bit each: all of them for one of an earlier opening. Serials of
  // one lane's blocks grow with time, those of two lanes' need not: a lane that is idle would hold back what others retired.
  uint16_t holders(uint32_t index) const { return holders_[index].load(std::memory_order_acquire); }

 private:
  layout::DirectoryEntry& at(uint32_t index) { return const_cast<layout::DirectoryEntry&>(entry(index)); }

  Region& region_;
  uint8_t* head_;
  const layout::Superblock& superblock_;
  static constexpr uint16_t kAnyLane = 0xffff;
  static_assert(layout::kLanesMax == 16);
  std::unique_ptr<std::atomic<uint16_t>[]> holders_;
};

}  // namespace paste
