#include "core/store/indexer.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "core/base/system_time.h"
#include "core/store/checksums.h"
#include "core/store/index_check.h"

namespace paste {
namespace {

constexpr uint64_t kQuietNs = 100'000'000;         // without news for so long, what there is becomes a run
constexpr uint32_t kWaitMs = 50;
constexpr uint32_t kIdleMs = 1000;
constexpr uint64_t kBuilderBytesMax = 64u << 20;
constexpr uint32_t kFreshBlocksMin = 16;
constexpr uint32_t kSmallBlocksMax = 4;            // index blocks of small runs before they are made one
constexpr uint32_t kRunBlocksMax = 4096;           // as many as a run may cover (run_layout.h)
constexpr double kFirstBytesPerRecord = 16;

// Bytes of frames that were marked in place, copied: their block may be given to somebody else while the frame is looked at.
class CopiedPlaces final : public PlacedBytes {
 public:
  CopiedPlaces(const Region& region, const Directory& directory) : region_(region), directory_(directory) {}

  const uint8_t* bytes(const layout::PlacePayload& place) const override {
    const uint32_t block = directory_.block_at(place.offset);
    if (block == layout::kNoBlock || place.length > directory_.block_bytes() ||
        place.offset + place.length > directory_.block_offset(block) + directory_.block_bytes() ||
        layout::word_kind(place.block_word) != layout::kBuffers || directory_.word(block) != place.block_word)
      return nullptr;
    copies_.emplace_back(new uint8_t[place.length]);
    std::memcpy(copies_.back().get(), region_.base() + place.offset, place.length);
    std::atomic_thread_fence(std::memory_order_acquire);
    return directory_.word(block) == place.block_word ? copies_.back().get() : nullptr;
  }

 private:
  const Region& region_;
  const Directory& directory_;
  mutable std::vector<std::unique_ptr<uint8_t[]>> copies_;
};

// Of the processor's time only what nobody else wants: forwarding and committing go first.
void lower_priority() {
  const sched_param none{};
  sched_setscheduler(0, SCHED_BATCH, &none);
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
  pthread_setname_np(pthread_self(), "paste-indexer");
}

}  // namespace

Indexer::Indexer(const IndexerSetup& setup)
    : region_(*setup.region),
      domain_(setup.region->domain()),
      directory_(*setup.directory),
      superblock_(*setup.superblock),
      space_(*setup.space),
      keeper_(*setup.keeper),
      keeper_bell_(*setup.keeper_bell),
      tunnels_(setup.tunnels),
      block_bytes_(setup.directory->block_bytes()),
      run_bytes_max_(block_bytes_ - layout::kLine),
      builder_({.tunnels = setup.tunnels, .bytes_max = run_bytes_max_}),
      copy_(static_cast<uint8_t*>(std::aligned_alloc(4096, block_bytes_)), [](void* memory) { std::free(memory); }),
      bytes_per_record_(kFirstBytesPerRecord) {
  PASTE_CHECK(copy_ != nullptr);
  std::vector<std::pair<uint64_t, uint32_t>> found;
  for (uint32_t index = 0; index < directory_.count(); ++index) {
    const uint64_t word = directory_.word(index);
    if (layout::word_kind(word) == layout::kIndex) found.push_back({layout::word_serial(word), index});
  }
  std::sort(found.begin(), found.end());
  for (const auto& [serial, index] : found) found_.push_back(index);
}

void Indexer::start() {
  manual_ = false;
  thread_ = std::thread([this] { run(); });
}

void Indexer::stop() {
  stopping_.store(true);
  space_.bell.ring();
  if (thread_.joinable()) thread_.join();
  manual_ = true;
}

void Indexer::run() {
  lower_priority();
  while (!stopping_.load()) {
    const Step done = step(false);
    if (done == Step::kWorked) continue;
    space_.bell.announce();
    const bool no_room = done == Step::kWaiting && under_way_.empty();
    if ((no_room || space_.sealed_waiting() == 0) && !stopping_.load())
      space_.bell.sleep(done == Step::kWaiting ? kWaitMs : kIdleMs);
    space_.bell.withdraw();
  }
}

void Indexer::round(bool all) {
  while (step(all) == Step::kWorked) continue;
}

void Indexer::finish(uint32_t budget_ms) {
  space_.spare_log();
  const uint64_t deadline = monotonic_ns() + uint64_t{budget_ms} * 1'000'000;
  while (monotonic_ns() < deadline && step(true) == Step::kWorked) continue;
  if (!under_way_.empty()) end_run();
  for (OpenBlock* open : {&full_, &small_open_})
    if (open->end != 0) close_block(*open);
}

Indexer::Step Indexer::step(bool all) {
  if (!usable()) return Step::kDone;
  if (!found_.empty()) {
    check_found(found_.front());
    found_.pop_front();
    return Step::kWorked;
  }
  if (under_way_.empty()) {
    if (!work_waits()) {
      pending_since_ns_.store(0, std::memory_order_relaxed);
      return Step::kDone;
    }
    if (!begin_run()) return Step::kWaiting;
  }
  SealedBlock next;
  if (next_block(&next)) {
    add(next);
    last_news_ns_ = monotonic_ns();
    if (run_full()) end_run();
    return Step::kWorked;
  }
  if (under_way_.empty()) return Step::kWorked;  // everything that waited was retired or covered meanwhile: look again
  if (!all && from_ == From::kLog && monotonic_ns() - last_news_ns_ < kQuietNs) return Step::kWaiting;
  end_run();
  return Step::kWorked;
}

// An index block that an earlier opening wrote. One that is damaged is given up whole, and what it covered is indexed anew.
void Indexer::check_found(uint32_t index) {
  if (!space_.open_found(index)) return;
  const IndexCheck check = check_index_block(region_.base() + directory_.block_offset(index), block_bytes_, directory_.entry(index));
  if (check.whole) {
    const bool hollow = check.end < block_bytes_ / 2;
    for (const IndexedBlock& block : check.blocks) {
      const Covered log{block.index, block.serial, 0};
      if (block.index >= directory_.count() || !lives(log)) continue;
      const layout::DirectoryEntry entry = directory_.entry(block.index);
      if (!layout::sealed(entry) || entry.end_bytes != block.end_bytes) continue;
      space_.cover(log.index, log.serial, index);
      if (hollow) small_.push_back(log);
    }
    small_blocks_ += hollow;
    runs_.fetch_add(check.runs, std::memory_order_relaxed);
    run_bytes_.fetch_add(check.end - layout::kLine, std::memory_order_relaxed);
  } else {
    damaged_.fetch_add(1, std::memory_order_relaxed);
  }
  space_.close(index);
}

// Sealed blocks, oldest first.
std::vector<Indexer::Covered> Indexer::list_sealed() const {
  std::vector<Covered> blocks;
  for (uint32_t index = 0; index < directory_.count(); ++index) {
    const layout::DirectoryEntry entry = directory_.entry(index);
    if (layout::sealed(entry)) blocks.push_back({index, layout::word_serial(entry.word), entry.lane % layout::kLanesMax});
  }
  std::sort(blocks.begin(), blocks.end(), [](const Covered& a, const Covered& b) { return a.serial < b.serial; });
  uint64_t newest[layout::kLanesMax] = {};
  for (Covered& block : blocks) block.previous = std::exchange(newest[block.previous], block.serial);
  return blocks;
}

void Indexer::list_unindexed() {
  std::vector<Covered> blocks = list_sealed();
  std::erase_if(blocks, [this](const Covered& block) { return space_.covered(block.index); });
  backlog_.assign(blocks.begin(), blocks.end());
  backlog_kind_ = From::kBacklog;
}

bool Indexer::work_waits() {
  if (space_.sealed_waiting() > 0 || !backlog_.empty()) return true;
  unlisted_ |= space_.take_missed();
  if (unlisted_) {
    unlisted_ = false;
    list_unindexed();
    if (!backlog_.empty()) return true;
  }
  return !small_.empty() && (small_.size() >= superblock_.segment_blocks || small_blocks_ >= kSmallBlocksMax);
}

// The small runs' log blocks, to be covered by one run. The block that small runs are added to gets none of it, so that it can go.
void Indexer::list_small() {
  if (small_open_.end != 0) close_block(small_open_);
  std::unordered_set<uint64_t> small;
  for (const Covered& block : small_) small.insert(block.serial);
  std::vector<Covered> blocks = list_sealed();
  std::erase_if(blocks, [&](const Covered& block) { return !small.contains(block.serial); });
  backlog_.assign(blocks.begin(), blocks.end());
  backlog_kind_ = From::kSmall;
  small_.clear();
  small_blocks_ = 0;
}

// A run is begun only where it will have room: without, blocks wait in the keeper's queue, and when that is full nobody remembers
// them until there is time to look through the directory.
bool Indexer::begin_run() {
  if (full_.end != 0 && block_bytes_ - full_.end < block_bytes_ / 4) close_block(full_);
  if (full_.end == 0 && !take_block(full_, false)) {
    if (pending_since_ns_.load(std::memory_order_relaxed) == 0 && space_.sealed_waiting() > 0)
      pending_since_ns_.store(wall_ns(), std::memory_order_relaxed);
    return false;
  }
  run_bytes_goal_ = (block_bytes_ - full_.end) / 8 * 7;
  if (space_.sealed_waiting() > 0) {
    pass_over_old();
    from_ = From::kLog;
    return true;
  }
  if (backlog_.empty()) list_small();
  from_ = backlog_kind_;
  return true;
}

// Where the log is faster than the index, what was sealed last serves longest: the older ones wait for a quieter time, and go first
// when the log goes round.
void Indexer::pass_over_old() {
  const uint32_t most = std::max(2 * superblock_.segment_blocks, kFreshBlocksMin);
  if (space_.sealed_waiting() <= most) return;
  for (SealedBlock old; space_.sealed_waiting() > most / 2 && space_.pop_sealed(&old);) continue;
  unlisted_ = true;
}

bool Indexer::next_block(SealedBlock* block) {
  if (from_ == From::kLog) return space_.pop_sealed(block);
  if (backlog_.empty()) return false;
  *block = {backlog_.front().index, backlog_.front().serial, backlog_.front().previous, 0};
  backlog_.pop_front();
  return true;
}

// Copied first, then looked at: what the log overwrites meanwhile must not change under the builder.
void Indexer::add(const SealedBlock& block) {
  const Covered log{block.index, block.serial, 0};
  if (from_ != From::kSmall && space_.covered(block.index)) return;
  const layout::DirectoryEntry entry = directory_.entry(block.index);
  const bool there = lives(log) && layout::sealed(entry) && entry.end_bytes >= layout::kLine && entry.end_bytes <= block_bytes_;
  if (there) std::memcpy(copy_.get(), region_.base() + directory_.block_offset(block.index), entry.end_bytes);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!there || !lives(log)) return;
  if (under_way_.empty() && from_ == From::kLog) pending_since_ns_.store(block.sealed_ns, std::memory_order_relaxed);
  // First fragments in blocks that the builder does not know may belong to fragments in this one.
  uint64_t& previous = previous_[entry.lane % layout::kLanesMax];
  if (block.previous == 0 || block.previous != previous) builder_.forget_fragments(entry.time_max_ns);
  previous = block.serial;
  builder_.add_block(block.index, block.serial, copy_.get(), entry.end_bytes, CopiedPlaces(region_, directory_));
  under_way_.push_back(log);
  summary_.span(entry);
  newest_serial_ = std::max(newest_serial_, block.serial);
}

bool Indexer::run_full() const {
  return under_way_.size() >= std::min(superblock_.segment_blocks, kRunBlocksMax) || builder_.memory_bytes() > kBuilderBytesMax ||
         static_cast<double>(builder_.records()) * bytes_per_record_ >= static_cast<double>(run_bytes_goal_);
}

void Indexer::count(StoreCounters* counters) const {
  counters->index_runs = runs_.load(std::memory_order_relaxed);
  counters->index_bytes = run_bytes_.load(std::memory_order_relaxed);
  counters->indexed_blocks = blocks_.load(std::memory_order_relaxed);
  counters->indexed_frames = frames_.load(std::memory_order_relaxed);
  counters->index_skipped_blocks = space_.unserved_blocks();
  counters->index_damaged = damaged_.load(std::memory_order_relaxed);
  const uint64_t since = pending_since_ns_.load(std::memory_order_relaxed), now = wall_ns();
  counters->index_lag_ns = since == 0 || since > now ? 0 : now - since;
}

}  // namespace paste
