// Log blocks whose directory entry is damaged and whose own header says, beyond doubt, what the entry said.
#pragma once

#include <vector>

#include "core/store/block_scan.h"

namespace paste {

struct RestoredEntry {
  uint32_t index;
  uint32_t epoch;
  uint64_t serial;
  uint16_t lane;
  bool sealed;  // the entry's seal is that of this life, and stands
};

// False: the entry agrees with itself, and its block's header need not be looked at. Cheap, for every entry of a directory. Unsealed
// log blocks are there only in a store that was not closed.
bool entry_doubtful(const layout::DirectoryEntry& entry, bool clean);

// Of these doubtful entries the damaged ones that can be restored, in the order given: the block begins with a whole log block's
// header of this store and place; either the entry's seal is that of the header's life, or the entry has its epoch and lane and the
// word still has its kind or its serial; and no other entry has the serial. A word of zero is never restored: that block was retired,
// and its header and seal lie there as they did.
std::vector<RestoredEntry> restorable(const StoreView& view, const std::vector<uint32_t>& doubtful);

}  // namespace paste
