// A store open for writing: superblock, directory, lanes, keeper. One per file at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/pmem/region.h"
#include "core/store/lane.h"

namespace paste {

enum class FullPolicy : uint8_t { kOverwrite, kStop, kBlock };

struct StoreOptions {
  uint32_t lanes = 1;                    // 1..layout::kLanesMax
  FullPolicy full = FullPolicy::kOverwrite;
  uint32_t block_timeout_ms = 1000;      // FullPolicy::kBlock: afterwards frames are forwarded unlogged until there is room
  uint32_t keeper_grace_ms = 1000;       // how long a lane without spares waits (kBlock) for a keeper that is only late
  uint32_t spare_blocks = 4;             // free blocks kept ready ahead of each lane
  bool start_keeper = true;              // false: the caller drives keeper_round() itself (tests)
  bool boot_record = true;               // false: maintenance that appends nothing (offline trim)
  bool index = true;                     // index what is sealed, by a thread of low priority behind the keeper
  bool index_tunnels = true;             // headers inside of tunnels, too
  uint32_t index_close_ms = 1000;        // how long closing may take to index what is sealed by then; the next opening does the rest
  bool exact_times = false;              // imports: lanes keep times that run backwards instead of clamping them
  std::string writer = "paste-switch";   // name and version, for the boot record
};

struct CreateStoreOptions {
  uint64_t size_bytes = 0;               // at least layout::kStoreBytesMin (tests may go below through geometry)
  uint32_t block_bytes = 0;              // 0 = chosen from the size: 64 KiB below 64 MiB, 256 KiB below 512 MiB, else 1 MiB
  uint32_t segment_blocks = 0;           // 0 = chosen: about 32 MiB, an eighth of the blocks at most
  bool sparse = false;
  uint32_t mode = 0600;
};

struct RecoveryReport {
  bool was_clean = false;
  uint32_t epoch = 0;                    // the new one
  uint64_t first_sequence = 0, last_sequence = 0;
  uint64_t blocks_scanned = 0, blocks_sealed = 0, blocks_freed = 0, buffer_blocks_freed = 0;
  uint64_t blocks_restored = 0;                // log blocks whose damaged directory entries their own headers replaced
  uint64_t index_blocks = 0, index_blocks_freed = 0;
  uint64_t index_blocks_damaged = 0;           // recover() looks, open() leaves it to the indexer
  uint64_t records_kept = 0, frames_kept = 0;  // in the blocks that were scanned
  uint64_t bytes_discarded = 0;                // behind the first bad record of a scanned block, as far as it looked like records
  uint64_t records_discarded = 0;
  std::vector<std::string> reasons;            // one line each: block, offset, why; at most 64, then a count
  uint64_t reasons_left_out = 0;
  struct Gap { uint64_t from, to; };           // sequences that are missing inside the scanned range
  std::vector<Gap> gaps;
};

struct StoreCounters {
  uint64_t medium_bytes = 0;             // written to the medium in all
  uint64_t frame_bytes = 0;              // bytes of frames among them
  uint64_t blocks_free = 0, blocks_log = 0, blocks_buffers = 0, blocks_index = 0;
  uint64_t retired_blocks = 0, retired_frames = 0;
  uint64_t commits = 0;                  // fences or group commits
  uint64_t first_sequence = 0, durable_sequence = 0, next_sequence = 0;
  uint64_t oldest_time_ns = 0;
  // The index. What this opening did, or found and checked: runs and their bytes; log blocks and frames that were indexed; log blocks
  // that were overwritten or trimmed without having been indexed; index blocks found damaged and given up.
  uint64_t index_runs = 0, index_bytes = 0;
  uint64_t indexed_blocks = 0, indexed_frames = 0;
  uint64_t index_skipped_blocks = 0, index_damaged = 0;
  // As it is now: sealed log blocks that no run covers, and how long the oldest one sealed lately has been waiting.
  uint64_t index_lag_blocks = 0, index_lag_ns = 0;
  // Blocks that the file system had no space for when they were last tried: the store is that much smaller (sparse files).
  uint64_t blocks_hollow = 0;
  bool sync_failed = false;
  std::string failure;                   // then: what failed, and what to do
};

class Store {
 public:
  // Creates file and geometry. Fails (kStore/kResource/kPrivilege) with everything as it was before.
  static Status create(const std::string& path, const CreateStoreOptions& options);
  // Opens for writing: lock, checks, recovery (always before anything may be written), a new epoch, the boot record.
  static Status open(const std::string& path, const StoreOptions& options, std::unique_ptr<Store>* store, RecoveryReport* report);
  // The same recovery without opening: `dry_run` writes nothing.
  static Status recover(const std::string& path, bool dry_run, RecoveryReport* report);
  // Opens, recovers if need be, trims (see below) and closes, without appending a record.
  static Status trim_closed(const std::string& path, uint64_t sequence, uint64_t* retired_blocks);

  // create(), open() and recover() on a region that is there already. A new store's region holds zeros.
  static Status create_region(Region& region, const CreateStoreOptions& options);
  static Status open_region(std::unique_ptr<Region> region, const StoreOptions& options, std::unique_ptr<Store>* store,
                            RecoveryReport* report);
  static Status recover_region(Region& region, bool dry_run, RecoveryReport* report);

  virtual ~Store() = default;

  virtual Lane& lane(uint32_t index) = 0;
  // Null on media whose domain is not immediate: marking in place is off there.
  virtual BufferPool* buffers() = 0;
  virtual Region& region() = 0;
  virtual const layout::Superblock& superblock() const = 0;
  // A fresh id for an attachment of a port or for a rule: unique in the store's life. Any thread but the hot path.
  virtual uint32_t take_id() = 0;
  virtual uint32_t epoch() const = 0;
  virtual StoreCounters counters() const = 0;
  // Retires sealed blocks whose records all lie before `sequence`. Returns how many. Any thread but the hot path.
  virtual uint64_t trim(uint64_t sequence) = 0;
  // One round of the keeper: seal what is full, retire what the policy allows, make spare blocks ready, group commit.
  virtual void keeper_round() = 0;
  // Where no keeper runs: indexes what is sealed, driving the keeper where it is needed; `all`: also what is less than a segment.
  virtual void index_round(bool all) = 0;
  // Lanes quiet: seals the open blocks, writes the clean mark. After it only destruction is allowed.
  virtual Status close() = 0;
};

}  // namespace paste
