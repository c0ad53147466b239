// The superblock: geometry, checks in their order, and the alternating write.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "core/base/status.h"
#include "core/pmem/domain.h"
#include "core/store/layout.h"

namespace paste {

struct Geometry {
  uint32_t block_bytes = 0;
  uint32_t block_count = 0;
  uint64_t blocks_offset = 0;
};

// Offset of the first block when the directory has `block_count` entries.
constexpr uint64_t blocks_offset_for(uint32_t block_bytes, uint32_t block_count) {
  const uint64_t end = layout::kDirectoryOffset + sizeof(layout::DirectoryEntry) * uint64_t{block_count};
  return (end + block_bytes - 1) / block_bytes * block_bytes;
}

// Block size for a store of this size when the user names none.
uint32_t default_block_bytes(uint64_t region_bytes);

// As many blocks as fit into region_bytes. `block_bytes` 0 = chosen from the size. Refuses sizes below the least one.
Status plan_geometry(uint64_t region_bytes, uint32_t block_bytes, const std::string& path, Geometry* geometry);

// The copy that counts: valid, with the higher turn. Checks magic, version, checksum, geometry, in this order, and the geometry
// against the file's real size. Reads only [0, 8 KiB). `path` is for the messages.
Status read_superblock(const uint8_t* base, uint64_t region_bytes, const std::string& path, layout::Superblock* superblock);

// A fresh one for a store of this geometry: two copies, so that neither place is ever blank.
Status create_superblock(Domain& domain, uint8_t* head, const Geometry& geometry, uint64_t region_bytes,
                         uint32_t segment_blocks);

// Advances the turn and writes the other copy; returns when it is persistent. The copy that counted before stays whole.
Status write_superblock(Domain& domain, uint8_t* head, layout::Superblock* superblock);

// The superblock of an open store. Serials and ids are reserved in it before they are given out, so that a crash never gives one
// twice; every write carries the sequence counter along as a lower bound. Calls may come from any thread but the hot path.
class SuperblockWriter {
 public:
  // `sequence_counter` is the store's; read at each write.
  SuperblockWriter(Domain& domain, uint8_t* head, const layout::Superblock& superblock);

  const layout::Superblock& current() const { return current_; }
  void count_sequences(const uint64_t* counter) { sequence_counter_ = counter; }

  // Opening: the next epoch, not clean, the numbers from here on. Persistent on return.
  Status open_epoch(uint32_t lanes, uint64_t next_sequence, uint64_t next_serial, uint64_t next_id);
  // Closing: everything is sealed; the exact numbers.
  Status mark_clean();
  Status mark_trimmed(uint64_t before_sequence);
  // Makes the sequence counter's value a durable lower bound.
  Status refresh();
  // 0 when the medium failed.
  uint64_t take_serial();
  uint32_t take_id();

 private:
  Status write();

  Domain& domain_;
  uint8_t* head_;
  layout::Superblock current_;
  const uint64_t* sequence_counter_ = nullptr;
  std::mutex mutex_;
  uint64_t next_serial_ = 0, next_id_ = 0;
};

}  // namespace paste
