// Indexes what the log has sealed, behind the keeper and never in a frame's way: a thread of low priority that reads sealed blocks,
// makes runs of them (core/index/builder.h) and puts these into index blocks.
//
// A run covers about a segment, less when nothing is sealed for a while. Runs of a slow trickle lie in a block of their own; when
// a segment's worth of them has come together, or their blocks are many, the log blocks are indexed anew as one run and the
// small ones go with their block. What does not fit, or is not reached in time, stays unindexed: readers scan it.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "core/index/builder.h"
#include "core/store/block_scan.h"
#include "core/store/index_space.h"
#include "core/store/keeper.h"

namespace paste {

struct IndexerSetup {
  Region* region = nullptr;
  Directory* directory = nullptr;
  const layout::Superblock* superblock = nullptr;
  IndexSpace* space = nullptr;
  Keeper* keeper = nullptr;
  KeeperBell* keeper_bell = nullptr;
  bool tunnels = true;
};

class Indexer {
 public:
  explicit Indexer(const IndexerSetup& setup);
  ~Indexer() { stop(); }

  void start();
  // Ends the thread between two blocks; what is under way stays for finish().
  void stop();
  // Without the thread, the keeper driven from here where it must act: does what there is to do; `all`: also writes the run under way.
  void round(bool all);
  // Closing, all lanes' blocks sealed and the keeper's thread gone: indexes what was sealed, for about this long, and closes its blocks.
  void finish(uint32_t budget_ms);
  void count(StoreCounters* counters) const;

 private:
  struct Covered {
    uint32_t index = 0;
    uint64_t serial = 0;
    uint64_t previous = 0;   // as SealedBlock's
  };
  // An index block that runs are added to.
  struct OpenBlock {
    SpareBlock block;
    uint32_t end = 0;          // 0 = there is none
    BlockSummary summary;
    uint64_t held_until = 0;
  };
  enum class From : uint8_t { kLog, kBacklog, kSmall };  // where a run's blocks come from: the last two both from backlog_
  enum class Step : uint8_t { kWorked, kWaiting, kDone };

  void run();
  Step step(bool all);

  // What to index (indexer.cc)
  void check_found(uint32_t index);
  std::vector<Covered> list_sealed() const;
  void list_unindexed();
  bool work_waits();
  void list_small();
  bool begin_run();
  void pass_over_old();
  bool next_block(SealedBlock* block);
  void add(const SealedBlock& block);
  bool run_full() const;
  // False once the medium failed or the file was cut: nothing is written any more.
  bool usable() const { return !keeper_.failed() && region_.intact(); }
  bool lives(const Covered& block) const {
    return directory_.word(block.index) == layout::entry_word(block.serial, layout::kLog);
  }

  // Where runs go (index_writer.cc)
  void end_run();
  OpenBlock* find_room(bool small, uint32_t run_bytes);
  bool take_block(OpenBlock& open, bool wait);
  bool write_run(OpenBlock& open);
  void close_block(OpenBlock& open);
  bool carry_out(const IndexPiece& piece);
  void learn_size(uint64_t records);

  Region& region_;
  Domain& domain_;
  Directory& directory_;
  const layout::Superblock& superblock_;
  IndexSpace& space_;
  Keeper& keeper_;
  KeeperBell& keeper_bell_;
  const bool tunnels_;
  const uint32_t block_bytes_;
  const uint32_t run_bytes_max_;

  IndexBuilder builder_;
  From from_ = From::kLog;
  std::vector<Covered> under_way_;       // blocks in the builder
  BlockSummary summary_;                 // of those
  uint64_t newest_serial_ = 0;
  uint64_t previous_[layout::kLanesMax] = {};  // serial of the block that was given to the builder last, by lane
  uint64_t run_bytes_goal_ = 0;
  std::unique_ptr<uint8_t[], void (*)(void*)> copy_;
  std::vector<uint8_t> run_;
  double bytes_per_record_;              // of the runs lately

  OpenBlock full_, small_open_;        // small_open_: for runs that will be made one with others
  std::deque<uint32_t> found_;           // index blocks of earlier openings, to be checked
  std::deque<Covered> backlog_;          // sealed before, or missed; or covered by small runs
  From backlog_kind_ = From::kBacklog;
  std::vector<Covered> small_;           // covered by small runs
  uint32_t small_blocks_ = 0;            // index blocks that hold them
  bool unlisted_ = true;                 // there may be sealed blocks that nobody told of
  bool manual_ = true;                   // no thread: the keeper is driven from here
  uint64_t last_news_ns_ = 0;

  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> runs_{0}, blocks_{0}, frames_{0}, run_bytes_{0}, damaged_{0}, pending_since_ns_{0};
  std::thread thread_;
};

}  // namespace paste
