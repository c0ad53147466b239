#include "core/store/keeper.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/system_time.h"

namespace paste {
namespace {

constexpr uint32_t kIdleMs = 20;          // longest sleep: heartbeat, and what a missed bell costs
constexpr uint32_t kStepsPerRound = 64;
constexpr uint64_t kNoTail = uint64_t{layout::kNoBlock} << 32;

}  // namespace

void KeeperBell::wake() {
  if (sleeping_.exchange(0, std::memory_order_acq_rel) == 0) return;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&sleeping_), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void KeeperBell::sleep(uint32_t timeout_ms) {
  const timespec timeout{static_cast<time_t>(timeout_ms / 1000), static_cast<long>(timeout_ms % 1000) * 1'000'000};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&sleeping_), FUTEX_WAIT_PRIVATE, 1, &timeout, nullptr, 0);
}

Keeper::Keeper(const KeeperSetup& setup)
    : region_(*setup.region),
      domain_(setup.region->domain()),
      directory_(*setup.directory),
      superblock_(*setup.superblock),
      pool_(setup.pool),
      index_(*setup.index),
      links_(setup.links),
      lanes_(setup.lanes),
      bell_(*setup.bell),
      full_(setup.full),
      sequence_counter_(setup.sequence_counter),
      lane_states_(setup.lanes),
      backed_(setup.directory->count()),
      first_unsealed_(__atomic_load_n(setup.sequence_counter, __ATOMIC_RELAXED)) {}

void Keeper::adopt() {
  std::lock_guard lock(mutex_);
  for (uint32_t index = 0; index < directory_.count(); ++index) {
    const layout::DirectoryEntry& entry = directory_.entry(index);
    backed_[index] = layout::word_kind(entry.word) != layout::kFree;
    switch (layout::word_kind(entry.word)) {
      case layout::kFree: free_.push_back(index); break;
      case layout::kBuffers:
        // Without a pool (a disk) nobody places bytes; blocks of such a store's life on another medium stay as they are.
        if (pool_ != nullptr) pool_->adopt(index);
        break;
      case layout::kIndex: index_.adopt(index); break;
      case layout::kLog:
        sealed_.insert({entry.first_sequence, index});
        serials_[entry.lane % layout::kLanesMax].push({layout::word_serial(entry.word), index});
        highest_sealed_ = std::max(highest_sealed_, entry.last_sequence);
        break;
    }
  }
  publish_retired({});
}

void Keeper::start() {
  thread_ = std::thread([this] { run(); });
}

void Keeper::stop() {
  stopping_.store(true);
  bell_.ring();
  if (thread_.joinable()) thread_.join();
}

void Keeper::run() {
  while (!stopping_.load()) {
    round();
    bell_.announce();
    bool work = stopping_.load() || index_.posts_waiting();
    for (uint32_t lane = 0; lane < lanes_ && !failed(); ++lane)
      work |= links_[lane].filled.size() > 0 ||
              (!domain_.immediate() && links_[lane].appended.load() != links_[lane].durable.load());
    if (!work) bell_.sleep(kIdleMs);
    bell_.withdraw();
  }
}

void Keeper::round() {
  std::lock_guard lock(mutex_);
  if (!failed() && !region_.intact())
    fail({Code::kStore, region_.path() + " was cut shorter while it was open; nothing is acknowledged any more: restore it from a copy"});
  retry_hollow();
  for (uint32_t i = 0; i < kStepsPerRound && step(); ++i) continue;
  note_exhaustion();
  publish_head();
}

bool Keeper::step() {
  if (failed()) return false;
  std::vector<Drained> drained;
  std::vector<uint32_t> retired;
  std::vector<Prepared> prepared;
  bool changed = collect(&drained);
  changed |= index_.flush_posted();
  for (const Drained& full : to_seal_) directory_.seal(full.block.index, full.block.summary, 0);
  for (const Prepared& block : to_announce_)
    directory_.announce(block.block.index, block.block.serial, kind_of(block));
  if (!closing_) {
    choose_retired(&retired);
    prepare(&prepared);
  }
  changed |= !drained.empty() || !to_seal_.empty() || !to_announce_.empty() || !retired.empty() || !prepared.empty();
  if (!changed || failed()) return false;
  if (!pass_barrier()) return false;

  index_.finish_posted();
  finish_seals(to_seal_);
  publish_retired(prepared);
  hand_out(to_announce_);
  free_.insert(free_.end(), retired.begin(), retired.end());
  to_seal_ = std::move(drained);
  to_announce_ = std::move(prepared);
  if (!domain_.immediate()) publish_disk();
  return true;
}

layout::BlockKind Keeper::kind_of(const Prepared& block) {
  return block.lane == kPoolLane ? layout::kBuffers : block.lane == kIndexLane ? layout::kIndex : layout::kLog;
}

bool Keeper::pass_barrier() {
  domain_.fence();
  ++barriers_;
  const Status status = domain_.sync();
  if (!status.ok()) fail(status);
  return status.ok();
}

// Final: what was not acknowledged by now never will be. A second sync may succeed without having written what the first one lost.
void Keeper::fail(const Status& why) {
  if (failure_.ok()) failure_ = why;
  failed_.store(true, std::memory_order_release);
  for (uint32_t lane = 0; lane < lanes_; ++lane) links_[lane].failed.store(true, std::memory_order_release);
}

// Takes filled blocks over. On immediate media they are durable already; on a disk what lanes committed since the last step is
// flushed here, so that the barrier makes it durable, and its tickets with it.
bool Keeper::collect(std::vector<Drained>* drained) {
  bool changed = false;
  for (uint32_t lane = 0; lane < lanes_; ++lane) {
    LaneState& state = lane_states_[lane];
    LaneLink& link = links_[lane];
    const bool immediate = domain_.immediate();
    // The ticket first: everything it covers is in the position and the queue that are read after it.
    const uint64_t appended = immediate ? 0 : link.appended.load(std::memory_order_acquire);
    const uint64_t position = immediate ? kNoTail : link.position.load(std::memory_order_acquire);
    FilledBlock block;
    while (link.filled.pop(&block)) {
      PASTE_CHECK(state.drained < state.outstanding.size() && state.outstanding[state.drained].serial == block.serial);
      if (!immediate) {
        const uint8_t* const memory = state.outstanding[state.drained].memory;
        domain_.flush(memory + state.written_bytes, block.summary.end_bytes - state.written_bytes);
        state.written_bytes = 0;
        state.tail = uint64_t{block.index} << 32 | block.summary.end_bytes;
        state.serial = block.serial;
        changed = true;
      }
      state.drained += 1;
      drained->push_back({lane, block});
    }
    if (immediate) continue;
    changed |= appended != state.appended;
    state.appended = appended;
    if (state.drained >= state.outstanding.size()) continue;
    const SpareBlock& open = state.outstanding[state.drained];
    const auto bytes = static_cast<uint32_t>(position);
    if (open.index != position >> 32 || bytes <= state.written_bytes) continue;
    domain_.flush(open.memory + state.written_bytes, bytes - state.written_bytes);
    state.written_bytes = bytes;
    state.tail = position;
    state.serial = open.serial;
    changed = true;
  }
  return changed;
}

void Keeper::finish_seals(const std::vector<Drained>& sealing) {
  if (sealing.empty()) return;
  const uint64_t now = wall_ns();
  for (const Drained& full : sealing) {
    LaneState& state = lane_states_[full.lane];
    PASTE_CHECK(!state.outstanding.empty() && state.outstanding.front().serial == full.block.serial && state.drained > 0);
    state.outstanding.pop_front();
    state.drained -= 1;
    state.sealed += 1;
    state.newest_sealed = full.block.summary.last_sequence;
    sealed_.insert({full.block.summary.first_sequence, full.block.index});
    serials_[full.lane].push({full.block.serial, full.block.index});
    highest_sealed_ = std::max(highest_sealed_, full.block.summary.last_sequence);
    head_bytes_ += layout::kLine;
    region_.release_staging(directory_.block_offset(full.block.index));
    index_.sealed({full.block.index, full.block.serial, state.newest_serial, now});
    state.newest_serial = full.block.serial;
  }
  index_.bell.ring();
}

void Keeper::hand_out(const std::vector<Prepared>& announced) {
  for (const Prepared& ready : announced) {
    head_bytes_ += 2 * layout::kLine;
    if (ready.lane == kPoolLane) {
      pool_->offer(ready.block.index);
      continue;
    }
    if (ready.lane == kIndexLane) {
      index_.offer(ready.block);
      continue;
    }
    LaneState& state = lane_states_[ready.lane];
    state.preparing -= 1;
    state.outstanding.push_back(ready.block);
    PASTE_CHECK(links_[ready.lane].spares.push(ready.block));
    links_[ready.lane].exhausted.store(false, std::memory_order_release);
  }
}

// After a group commit, in this order: the lanes' lines, the store's sequence, the tickets. A reader that sees the new sequence
// sees the lanes as they were at least then; a lane that is told of durability was published before.
void Keeper::publish_disk() {
  layout::LivePage& live = directory_.live();
  const uint64_t next = __atomic_load_n(sequence_counter_, __ATOMIC_SEQ_CST);
  for (uint32_t lane = 0; lane < lanes_; ++lane) {
    const LaneState& state = lane_states_[lane];
    layout::LiveLane& line = live.lanes[lane];
    const uint64_t watermark = links_[lane].watermark.load(std::memory_order_acquire);
    const bool idle = watermark == layout::kIdle && links_[lane].appended.load(std::memory_order_acquire) == state.appended;
    if (line.serial != state.serial) domain_.store64(&line.tail, kNoTail);
    domain_.store64(&line.serial, state.serial);
    domain_.store64(&line.tail, state.tail);
    domain_.store64(&line.durable_sequence, state.appended);
    domain_.store64(&line.watermark, idle ? layout::kIdle : std::max(state.appended + 1, first_unsealed_));
  }
  region_.publish(layout::kLiveOffset + layout::kLine, lanes_ * layout::kLine);
  domain_.store64(&live.next_sequence, next);
  publish_head();
  for (uint32_t lane = 0; lane < lanes_; ++lane)
    links_[lane].durable.store(lane_states_[lane].appended, std::memory_order_release);
}

void Keeper::publish_head() {
  layout::LivePage& live = directory_.live();
  domain_.store64(&live.oldest_sequence, oldest_sequence());
  domain_.store64(&live.heartbeat_ns, wall_ns());
  region_.publish(layout::kLiveOffset, layout::kLine);
}

// A lower bound: lanes may hold records from behind the newest one of theirs that is sealed.
uint64_t Keeper::oldest_sequence() const {
  uint64_t oldest = __atomic_load_n(sequence_counter_, __ATOMIC_ACQUIRE);
  for (uint32_t lane = 0; lane < lanes_; ++lane)
    if (links_[lane].spares.popped() > lane_states_[lane].sealed)
      oldest = std::min(oldest, std::max(lane_states_[lane].newest_sealed + 1, first_unsealed_));
  if (!sealed_.empty()) oldest = std::min(oldest, sealed_.begin()->first);
  return oldest;
}

// Of the oldest sealed block; before there is one, of the first records in the lanes' open blocks. 0 = there are no records.
uint64_t Keeper::oldest_time_ns() const {
  if (!sealed_.empty()) return directory_.entry(sealed_.begin()->second).time_min_ns;
  uint64_t oldest = 0;
  for (uint32_t lane = 0; lane < lanes_; ++lane) {
    if (lane_states_[lane].outstanding.empty()) continue;
    const SpareBlock& first = lane_states_[lane].outstanding.front();
    const layout::LiveLane& line = directory_.live().lanes[lane];
    const uint64_t tail = __atomic_load_n(&line.tail, __ATOMIC_ACQUIRE);
    // The durable tail is in this block, behind its first record, or has left it behind.
    const bool started = tail >> 32 == first.index && static_cast<uint32_t>(tail) > sizeof(layout::BlockHeader);
    const bool passed = tail >> 32 != first.index && tail >> 32 != layout::kNoBlock &&
                        links_[lane].spares.popped() > lane_states_[lane].sealed + 1;
    if (!started && !passed) continue;
    const auto* record = reinterpret_cast<const layout::RecordHeader*>(first.memory + sizeof(layout::BlockHeader));
    const uint64_t time_ns = __atomic_load_n(&record->time_ns, __ATOMIC_RELAXED);
    if (oldest == 0 || time_ns < oldest) oldest = time_ns;
  }
  return oldest;
}

Status Keeper::drain(const std::vector<SpareBlock>& unused) {
  std::lock_guard lock(mutex_);
  closing_ = true;
  while (step()) continue;
  for (const SpareBlock& block : unused) directory_.retire(block.index);
  for (uint32_t lane = 0; lane < lanes_; ++lane) {
    SpareBlock spare;
    while (links_[lane].spares.pop(&spare)) directory_.retire(spare.index);
    lane_states_[lane].outstanding.clear();
  }
  for (SpareBlock ready; index_.withdraw(&ready);) directory_.retire(ready.index);
  publish_retired({});
  std::vector<uint32_t> retired;
  reclaim_index(&retired);
  if (pool_ != nullptr) {
    pool_->withdraw();
    reclaim_buffers(&retired);
  }
  if (failed() || !pass_barrier())
    return {failure_.code(), failure_.message() + " (the store is left as after a crash, and recovery will say what it kept)"};
  return {};
}

Status Keeper::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

void Keeper::count(StoreCounters* counters) {
  std::lock_guard lock(mutex_);
  counters->medium_bytes += head_bytes_ + index_.written_bytes();
  counters->commits += barriers_;
  counters->blocks_free = free_.size();
  counters->blocks_buffers = pool_ != nullptr ? pool_->blocks() : 0;
  counters->blocks_index = index_.blocks();
  counters->blocks_log =
      directory_.count() - counters->blocks_free - counters->blocks_buffers - counters->blocks_index - hollow_.size();
  counters->index_lag_blocks = sealed_.size() - std::min<uint64_t>(sealed_.size(), index_.covered_blocks());
  counters->retired_blocks = retired_blocks_;
  counters->retired_frames = retired_frames_;
  counters->first_sequence = oldest_sequence();
  counters->oldest_time_ns = oldest_time_ns();
  counters->blocks_hollow = hollow_.size();
  counters->sync_failed = failed();
  counters->failure = failure_.message();
}

}  // namespace paste
