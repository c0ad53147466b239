// Walks the records of one life of a log block, checking everything, trusting nothing, writing nothing.
#pragma once

#include <cstdint>
#include <string>

#include "core/store/layout.h"

namespace paste {

// A store as it lies in memory, for reading.
struct StoreView {
  const uint8_t* base = nullptr;
  const layout::Superblock* superblock = nullptr;

  uint64_t block_offset(uint32_t index) const {
    return superblock->blocks_offset + uint64_t{index} * superblock->block_bytes;
  }
  const uint8_t* block(uint32_t index) const { return base + block_offset(index); }
  const layout::DirectoryEntry& entry(uint32_t index) const {
    return reinterpret_cast<const layout::DirectoryEntry*>(base + layout::kDirectoryOffset)[index];
  }
};

class BlockScan {
 public:
  BlockScan(const StoreView& view, uint32_t index, uint64_t serial, uint32_t offset = layout::kLine);

  // The next whole, valid record, or false where the records of this life end; then offset() is that place.
  bool next(layout::RecordHeader* header);
  uint32_t offset() const { return offset_; }        // behind the record that next() gave
  uint32_t start() const { return start_; }          // of that record
  const uint8_t* payload() const;                    // its bytes, wherever they lie
  uint32_t payload_bytes() const { return payload_bytes_; }
  uint32_t placed_in() const { return placed_in_; }  // index of the buffer block, kNoBlock = packed
  // Why the scan ended: empty = no record of this life begins here.
  const std::string& why() const { return why_; }

  // Behind the end: how many headers of this life can still be read, their lines, and the highest sequence among them.
  struct Rest {
    uint64_t records = 0, bytes = 0, highest_sequence = 0;
  };
  Rest look_behind() const;

  // True when the block's own header is that of this life.
  bool header_valid() const;

 private:
  bool read_header(uint32_t offset, layout::RecordHeader* header) const;
  bool check(const layout::RecordHeader& header);
  bool check_placed(const layout::RecordHeader& header);

  const StoreView& view_;
  const uint32_t index_;
  const uint64_t serial_;
  const uint8_t* const memory_;
  uint32_t offset_, start_ = 0;
  const uint8_t* payload_ = nullptr;
  uint32_t payload_bytes_ = 0, placed_in_ = layout::kNoBlock;
  std::string why_;
};

}  // namespace paste
