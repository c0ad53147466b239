// Recovery: what a store whose writer died holds, and what to do about it. Planning only reads; applying writes what the plan says,
// and a crash while it does so leads to the same plan again (DESIGN.md 3.2).
#pragma once

#include <vector>

#include "core/store/block_scan.h"
#include "core/store/directory.h"
#include "core/store/entry_restore.h"
#include "core/store/store.h"

namespace paste {

struct RecoveryPlan {
  struct Seal {
    uint32_t index;
    BlockSummary summary;
  };
  struct Hold {
    uint32_t index;     // of the buffer block
    uint64_t serial;    // of the log block whose record names bytes in it
  };
  std::vector<RestoredEntry> restored;  // log blocks by their own headers; planned for as any other
  std::vector<Seal> seals;            // unsealed log blocks with records
  std::vector<Hold> holds;            // for the records that are kept
  std::vector<uint32_t> empty;        // unsealed log blocks without, and entries that make no sense
  std::vector<uint32_t> buffers;      // buffer blocks that no kept record names
  std::vector<uint32_t> indexes;      // index blocks whose runs cover nothing that is kept, or are damaged
  uint64_t next_sequence = 1;         // above everything ever seen, discarded records included
  uint64_t next_serial = 1;
  RecoveryReport report;

  bool changes_nothing() const {
    return restored.empty() && seals.empty() && holds.empty() && empty.empty() && buffers.empty() && indexes.empty();
  }
};

// `check_index`: also looks whether index blocks are damaged, which takes reading all of them; an indexer does that by itself.
RecoveryPlan plan_recovery(const StoreView& view, bool check_index);

// Each stage is persistent before the next: restored entries and holds, then seals and emptied blocks, then freed buffers and index blocks.
Status apply_recovery(const RecoveryPlan& plan, Directory& directory, Domain& domain);

}  // namespace paste
