// What a reader knows of a store at one moment: which blocks there are, lane by lane, and how far each may be read.
//
// Nothing here is trusted: every number was checked against the geometry before it got in, and a block's directory word is
// loaded again after its bytes were copied.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "core/store/layout.h"
#include "core/store/reader_source.h"

namespace paste {

struct BlockRef {
  uint64_t serial = 0;
  uint32_t index = 0;
  bool sealed = false;          // when the directory was read; then:
  uint64_t first_sequence = 0;  // 0 = no sequenced record
  uint64_t last_sequence = 0;
  uint64_t time_min_ns = 0;     // over the same records, in whatever order
  uint64_t time_max_ns = 0;
};

// An index block, as the directory shows it.
struct IndexBlockRef {
  uint64_t serial = 0;
  uint32_t index = 0;
  bool sealed = false;           // no run will be added; else what follows says "anything"
  uint32_t end_bytes = 0;        // behind the last run
  uint32_t runs = 0;
  uint64_t first_sequence = 0;   // over what its runs cover
  uint64_t last_sequence = ~0ull;
};

// How far a block may be read.
struct Extent {
  uint32_t end = 0;       // bytes from the block's start; 0: nothing of it is visible yet
  bool exact = false;     // every record below `end` must be valid; else the first bad one ends the block
  bool sealed = false;    // nothing will be added to it
  bool abandoned = false; // its writer died: records count up to the first bad one, bytes included (as in recovery)
};

class ReaderView {
 public:
  explicit ReaderView(ReaderSource& source) : source_(source) {}

  // Reads and checks the superblock. kStore when the file is none of ours or its geometry makes no sense.
  Status open();
  // Takes a new look at the live page and, where blocks were added, at the directory. False: nothing has changed.
  bool refresh();
  // The same, and everything is read anew where anything can have changed. Not ok when the store is none any more.
  Status reload();

  const layout::Superblock& superblock() const { return superblock_; }
  bool writer_alive() const { return alive_; }
  // Records below this sequence are complete in all lanes; ~0 when nobody writes.
  uint64_t horizon() const { return horizon_; }
  uint64_t next_sequence() const { return next_sequence_; }
  uint64_t durable_sequence() const { return durable_sequence_; }
  uint64_t oldest_sequence() const { return page_.oldest_sequence; }  // as the live page says; records below it are retired

  // Log blocks of a lane in serial order.
  const std::vector<BlockRef>& blocks(uint32_t lane) const { return lanes_[lane].blocks; }
  // Whether the lane's writer has come to the block of this serial, as far as was seen: those behind it lie ready and hold nothing.
  bool reached(uint32_t lane, uint64_t serial) const { return serial <= lanes_[lane].live_serial; }
  const std::vector<IndexBlockRef>& index_blocks() const { return index_blocks_; }
  // Blocks of which the directory says what cannot be: what they held is not read.
  const std::vector<uint32_t>& damaged_entries() const { return damaged_entries_; }
  Extent extent(uint32_t lane, const BlockRef& block, const layout::DirectoryEntry& entry) const;

  uint64_t block_offset(uint32_t index) const {
    return superblock_.blocks_offset + static_cast<uint64_t>(index) * superblock_.block_bytes;
  }
  static uint64_t entry_offset(uint32_t index) {
    return layout::kDirectoryOffset + static_cast<uint64_t>(index) * sizeof(layout::DirectoryEntry);
  }
  bool read_entry(uint32_t index, layout::DirectoryEntry* entry) {
    return source_.copy(entry_offset(index), entry, sizeof *entry);
  }
  uint64_t entry_word(uint32_t index) { return source_.word(entry_offset(index)); }
  ReaderSource& source() { return source_; }

 private:
  struct LaneView {
    std::vector<BlockRef> blocks;
    uint64_t live_serial = 0;
    uint32_t live_block = layout::kNoBlock;
    uint32_t live_bytes = 0;
    bool live = false;  // live_* make sense
  };

  Status read_superblock();
  bool settled();
  bool look_alive(const layout::LivePage& page);
  void read_live(const layout::LivePage& watermarks);
  bool read_tails(layout::LivePage* page);
  void read_directory();
  void add_index_block(const layout::DirectoryEntry& entry, uint32_t index);
  void add_blocks(const layout::DirectoryEntry* entries, uint32_t first, uint32_t count);

  ReaderSource& source_;
  layout::Superblock superblock_{};
  layout::LivePage page_{};        // as it was at the last look, to tell whether anything has changed
  LaneView lanes_[layout::kLanesMax];
  std::vector<IndexBlockRef> index_blocks_;
  std::vector<uint32_t> damaged_entries_;
  uint64_t horizon_ = ~0ull;
  uint64_t next_sequence_ = 0;
  uint64_t durable_sequence_ = 0;
  uint64_t lock_checked_ns_ = 0;
  bool alive_ = false;
  bool lock_held_ = false;
  bool directory_read_ = false;    // since reload() began
};

}  // namespace paste
