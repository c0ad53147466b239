// The keeper: everything about blocks that must not happen on a forwarding thread. It seals what lanes filled, retires what the
// policy allows, makes spare blocks ready ahead of each lane, keeps packet buffers ready, gives blocks to the indexer, and on a
// disk carries out the group commits.
//
// It works in steps. Each step writes what the step before made durable enough to be written, then passes one barrier (fence, and on
// a disk sync), then hands on what the barrier made durable:
//   free -> prepared (fields, header) | barrier | announced (word) | barrier | a lane's spare, a ready buffer or index block
//   filled -> durable | barrier | sealed | barrier | may be retired
//   retired (word = 0) | barrier | free
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <queue>
#include <set>
#include <thread>
#include <vector>

#include "core/store/buffer_pool.h"
#include "core/store/directory.h"
#include "core/store/index_space.h"
#include "core/store/lane_link.h"
#include "core/store/store.h"
#include "core/store/superblock.h"

namespace paste {

struct KeeperSetup {
  Region* region = nullptr;
  Directory* directory = nullptr;
  SuperblockWriter* superblock = nullptr;
  StoreBufferPool* pool = nullptr;         // null where marking in place is off
  IndexSpace* index = nullptr;
  LaneLink* links = nullptr;
  uint32_t lanes = 0;
  KeeperBell* bell = nullptr;
  FullPolicy full = FullPolicy::kOverwrite;
  uint64_t* sequence_counter = nullptr;
};

class Keeper {
 public:
  explicit Keeper(const KeeperSetup& setup);
  ~Keeper() { stop(); }

  // Opening: takes over the directory as recovery left it: sealed log blocks, held buffer blocks, free blocks.
  void adopt();
  void start();
  void stop();
  // Steps until nothing is left to do (or for a while, when lanes go on filling).
  void round();
  uint64_t trim(uint64_t sequence);
  // Closing, lanes finished: seals the rest, frees what never held anything. `unused`: claimed blocks without records.
  Status drain(const std::vector<SpareBlock>& unused);
  void count(StoreCounters* counters);
  // Why, once it has.
  Status failure();
  bool failed() const { return failed_.load(std::memory_order_acquire); }

 private:
  struct Drained {
    uint32_t lane;
    FilledBlock block;
  };
  struct Prepared {
    SpareBlock block;
    uint32_t lane;          // kPoolLane: for the buffer pool; kIndexLane: for runs
  };
  struct LaneState {
    std::deque<SpareBlock> outstanding;  // given to the lane and not sealed yet, in order
    size_t drained = 0;                  // of them, handed back
    uint64_t sealed = 0;                 // blocks sealed in all
    uint64_t newest_sealed = 0;          // last sequence of those
    uint64_t newest_serial = 0;          // of those; 0 = none yet
    uint32_t preparing = 0;
    // Disk: how far the oldest block that is not handed back is written, and what the live page says.
    uint32_t written_bytes = 0;
    uint64_t appended = 0;               // ticket of the group commit under way
    uint64_t tail = uint64_t{layout::kNoBlock} << 32;
    uint64_t serial = 0;
  };
  static constexpr uint32_t kPoolLane = ~0u;
  static constexpr uint32_t kIndexLane = ~0u - 1;
  static constexpr uint32_t kPreparedPerStep = 8;

  bool step();
  static layout::BlockKind kind_of(const Prepared& block);
  bool pass_barrier();
  void fail(const Status& why);
  void run();

  // Log side (keeper.cc)
  bool collect(std::vector<Drained>* drained);
  bool collect_disk(uint32_t lane, size_t drained_before);
  void finish_seals(const std::vector<Drained>& sealing);
  void hand_out(const std::vector<Prepared>& announced);
  void publish_disk();
  void publish_head();
  uint64_t oldest_sequence() const;
  uint64_t oldest_time_ns() const;

  // Space (keeper_space.cc)
  uint32_t lacking(uint32_t lane) const;
  void choose_retired(std::vector<uint32_t>* retired);
  void reclaim_buffers(std::vector<uint32_t>* retired);
  void reclaim_index(std::vector<uint32_t>* retired);
  bool index_lacks() const;
  bool retire_oldest(std::vector<uint32_t>* retired);
  void retire_log(uint32_t index, std::vector<uint32_t>* retired);
  void prepare(std::vector<Prepared>* prepared);
  bool prepare_one(uint32_t lane, std::vector<Prepared>* prepared);
  bool take_free(uint32_t* index);
  void retry_hollow();
  uint64_t lowest_live_serial(uint32_t lane, const std::vector<Prepared>& prepared);
  void publish_retired(const std::vector<Prepared>& prepared);
  void note_exhaustion();

  Region& region_;
  Domain& domain_;
  Directory& directory_;
  SuperblockWriter& superblock_;
  StoreBufferPool* pool_;
  IndexSpace& index_;
  LaneLink* links_;
  const uint32_t lanes_;
  KeeperBell& bell_;
  const FullPolicy full_;
  uint64_t* sequence_counter_;

  std::mutex mutex_;                   // guards what follows: the keeper's thread, trim(), counters
  std::vector<LaneState> lane_states_;
  std::deque<uint32_t> free_;          // first in, first out, so that wear spreads
  std::vector<uint32_t> hollow_;       // free, but the file system has no space for them at present
  std::vector<bool> backed_;           // by block: had its space when it was taken last
  uint64_t hollow_since_ns_ = 0;
  std::vector<Drained> to_seal_;       // durable, not sealed
  std::vector<Prepared> to_announce_;  // prepared durably, not announced
  std::set<std::pair<uint64_t, uint32_t>> sealed_;  // first sequence, index
  using Serial = std::pair<uint64_t, uint32_t>;
  using SerialQueue = std::priority_queue<Serial, std::vector<Serial>, std::greater<>>;
  SerialQueue serials_[layout::kLanesMax];  // of sealed blocks, by lane; retired ones linger
  uint64_t highest_sealed_ = 0;        // last sequence of any sealed block
  std::vector<uint32_t> unused_;       // scratch
  bool closing_ = false;
  bool sync_pending_ = false;          // a step wrote something that no barrier has covered
  uint64_t retired_blocks_ = 0, retired_frames_ = 0, head_bytes_ = 0, barriers_ = 0;
  uint64_t first_unsealed_ = 0;        // sequence counter when the store was opened
  Status failure_;

  std::atomic<bool> failed_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace paste
