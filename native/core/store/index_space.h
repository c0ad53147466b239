// The index blocks of a store, as the keeper and the indexer share them: who writes which block, which runs still serve a log block,
// and what the keeper has to carry out where only it may sync.
//
// An index block is asked for, announced by the keeper like any block, open while the indexer adds runs to it, then closed. It is
// dropped whole when no log block that its runs cover is left, or is covered by it any more. Nothing here takes a lock: the
// indexer is a thread of low priority, and the keeper must never wait for one.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/store/directory.h"
#include "core/store/lane_link.h"
#include "core/store/spsc.h"

namespace paste {

// What became of a sealed log block, for the indexer.
struct SealedBlock {
  uint32_t index = 0;
  uint64_t serial = 0;
  uint64_t previous = 0;        // serial of the block sealed before it in its lane; 0 = not known
  uint64_t sealed_ns = 0;       // wall clock
};

// A change to an open index block that has to become persistent.
struct IndexPiece {
  uint32_t block = layout::kNoBlock;
  const uint8_t* from = nullptr;    // in the block's memory
  uint32_t bytes = 0;
  uint64_t held_until = 0;          // 0 = as it is
  bool last = false;                // no more runs: `summary` becomes the seal, the memory goes back
  BlockSummary summary;
};

class IndexSpace {
 public:
  // At most `blocks_max` blocks of the store hold runs.
  IndexSpace(Region& region, Directory& directory, uint32_t blocks_max);

  uint32_t blocks_max() const { return blocks_max_; }

  // Indexer only.
  // A ready block, open from now on. False: none, and one was asked for.
  bool take(SpareBlock* block);
  // Opens a block of an earlier opening for its runs to be checked; false when it is none any more.
  bool open_found(uint32_t index);
  // The open block's run serves this life of a log block from now on, instead of what served it before.
  void cover(uint32_t log_block, uint64_t serial, uint32_t index_block);
  bool covered(uint32_t log_block) const { return covered_[log_block].load(std::memory_order_acquire) != layout::kNoBlock; }
  // The index block gets no more runs.
  void close(uint32_t index_block);
  bool pop_sealed(SealedBlock* block) { return sealed_.pop(block); }
  uint32_t sealed_waiting() const { return sealed_.size(); }
  // True once when blocks were sealed that the queue had no room for.
  bool take_missed() { return missed_.exchange(false, std::memory_order_acq_rel); }
  // On media with immediate domains: done on return, but for the fence. Elsewhere: by post().
  void apply(const IndexPiece& piece);
  uint64_t post(const IndexPiece& piece);
  bool carried_out(uint64_t ticket) const { return carried_out_.load(std::memory_order_acquire) >= ticket; }

  // Keeper only, under its lock.
  bool wanted() const { return asked_.load(std::memory_order_acquire) && ready_.size() == 0 && blocks_.size() < blocks_max_; }
  void offer(const SpareBlock& block);       // announced, populated
  void adopt(uint32_t index);                // of an earlier opening
  void sealed(const SealedBlock& block);     // durably
  void retired(uint32_t log_block);
  // Takes blocks that serve nothing any more out: `lowest_serial` is a lower bound of the serials of blocks with records. The
  // caller retires them.
  bool idle() const { return !sweep_.load(std::memory_order_acquire); }
  void list_dead(uint64_t lowest_serial, std::vector<uint32_t>* dead);
  // Pieces to carry out before the next barrier, and after it.
  bool flush_posted();
  void finish_posted();
  bool posts_waiting() const { return posted_.size() > 0; }
  // Closing, the indexer done: ready blocks that nobody took.
  bool withdraw(SpareBlock* block) { return ready_.pop(block); }
  uint32_t blocks() const { return static_cast<uint32_t>(blocks_.size()); }

  // Closing: from here on an index block comes from what is free, and no log block is given up for it.
  void spare_log() { frugal_.store(true, std::memory_order_relaxed); }
  bool frugal() const { return frugal_.load(std::memory_order_relaxed); }

  // Any thread.
  uint64_t covered_blocks() const { return covered_count_.load(std::memory_order_relaxed); }
  // Log blocks that were retired without ever having been indexed.
  uint64_t unserved_blocks() const { return unserved_.load(std::memory_order_relaxed); }
  uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }
  void count_written(uint64_t size_bytes) { written_bytes_.fetch_add(size_bytes, std::memory_order_relaxed); }
  // The keeper rings when there is something for the indexer.
  KeeperBell bell;

 private:
  enum State : uint8_t { kNone, kReady, kFound, kOpen, kClosed };
  static constexpr uint32_t kReadyMax = 4;
  static constexpr uint32_t kPostedMax = 8;
  static constexpr uint32_t kSealedMax = 1024;

  bool uncover(uint32_t log_block);
  void drop(uint32_t index_block);

  Region& region_;
  Directory& directory_;
  const bool immediate_;
  const uint32_t blocks_max_;
  std::unique_ptr<std::atomic<uint32_t>[]> covered_;   // of a log block: the index block whose run serves it
  std::unique_ptr<std::atomic<uint32_t>[]> serving_;   // of an index block: how many log blocks
  std::unique_ptr<std::atomic<uint8_t>[]> state_;
  std::vector<uint32_t> blocks_;                       // all that hold or will hold runs; keeper only
  uint32_t found_ = 0;                                 // of them, nobody has looked into yet
  SpscQueue<SpareBlock, kReadyMax> ready_;
  SpscQueue<SealedBlock, kSealedMax> sealed_;
  SpscQueue<IndexPiece, kPostedMax> posted_;
  std::vector<IndexPiece> under_way_;                  // flushed, not synced; keeper only
  uint64_t tickets_ = 0;                               // indexer only
  std::atomic<uint64_t> carried_out_{0};
  std::atomic<bool> asked_{false}, missed_{false}, sweep_{false}, frugal_{false};
  std::atomic<uint64_t> covered_count_{0}, unserved_{0}, written_bytes_{0};
};

}  // namespace paste
