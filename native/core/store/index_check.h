// Whether the runs of an index block are whole: every byte of them under its checksum. For opening and recovery.
#pragma once

#include <cstdint>
#include <vector>

#include "core/index/run.h"
#include "core/store/layout.h"

namespace paste {

struct IndexCheck {
  bool whole = false;                  // false: something in it is damaged
  uint32_t end = 0;                    // behind the last run, from the block's start
  uint32_t runs = 0;
  std::vector<IndexedBlock> blocks;    // that its runs cover, retired ones too
};

// `block` is the block's memory, which nobody writes meanwhile; `entry` its directory entry.
IndexCheck check_index_block(const uint8_t* block, uint32_t block_bytes, const layout::DirectoryEntry& entry);

}  // namespace paste
