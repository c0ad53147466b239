// The keeper's space: who gets free blocks, and what is retired for them.
//
// Log, buffers and index share the blocks. The log always gets free blocks first, buffers never get more than the pool's bound (three
// quarters of the blocks), and the index has a sixteenth at most, so none can starve the other: the log keeps three sixteenths to
// itself, and buffer and index blocks come free as the log blocks that they serve are retired. Within the bounds the division
// follows the traffic.
#include <algorithm>
#include <utility>

#include "core/base/system_time.h"
#include "core/store/keeper.h"

namespace paste {
namespace {

constexpr uint64_t kHollowRetryNs = 1'000'000'000;  // between two looks for space that the file system did not have

}  // namespace

// Spare blocks that a lane is short of, those under way counted as there.
uint32_t Keeper::lacking(uint32_t lane) const {
  const uint32_t there = links_[lane].spares.size() + lane_states_[lane].preparing;
  return there < links_[lane].spare_target ? links_[lane].spare_target - there : 0;
}

void Keeper::choose_retired(std::vector<uint32_t>* retired) {
  uint32_t log_lacks = 0;
  for (uint32_t lane = 0; lane < lanes_; ++lane) log_lacks += lacking(lane);
  const uint32_t pool_lacks = pool_ != nullptr ? pool_->wanted() : 0;
  const bool buffers_wanted = pool_lacks > 0 || (pool_ != nullptr && free_.size() < log_lacks);
  // Before any log block is retired in this step: a buffer block is let go only when the retirement of every block that held it
  // has passed a barrier, else a crash between the two could keep the record and lose its bytes.
  if (buffers_wanted) reclaim_buffers(retired);
  if (!index_.idle()) reclaim_index(retired);
  if (full_ != FullPolicy::kOverwrite) return;
  const uint32_t needed = log_lacks + (index_lacks() && !index_.frugal() ? 1 : 0);
  while (free_.size() + retired->size() < needed && retire_oldest(retired)) continue;
  // The pool takes the log's oldest block; at its bound only buffers that the log alone holds can help, and they come free by
  // retiring that block, too. One a step, as it may free many.
  if (pool_lacks == 0) return;
  const bool stuck = pool_->allowed() > 0 ? free_.size() + retired->size() <= log_lacks : !unused_.empty();
  if (stuck) retire_oldest(retired);
}

// Buffer blocks that nobody uses and no live record names. In this order: uses, then what is retired, then held_until; a block
// that is marked in between still has a use.
void Keeper::reclaim_buffers(std::vector<uint32_t>* retired) {
  unused_.clear();
  pool_->list_unused(&unused_);
  std::erase_if(unused_, [&](uint32_t index) {
    if (!pool_->retired(index, pool_->held_until(index))) return false;
    pool_->forget(index);
    directory_.retire(index);
    retired->push_back(index);
    return true;
  });
}

// Runs only say what the log holds: blocks with them go at any time, in any order.
void Keeper::reclaim_index(std::vector<uint32_t>* retired) {
  uint64_t lowest = ~0ull;
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) lowest = std::min(lowest, lowest_live_serial(lane, {}));
  const size_t before = retired->size();
  index_.list_dead(lowest, retired);
  for (size_t i = before; i < retired->size(); ++i) directory_.retire((*retired)[i]);
}

// One block at a time, and none while one is on its way.
bool Keeper::index_lacks() const {
  if (!index_.wanted()) return false;
  return std::none_of(to_announce_.begin(), to_announce_.end(), [](const Prepared& block) { return block.lane == kIndexLane; });
}

// A lower bound of the serials of a lane's blocks that hold records, or will: what it was given or is about to be given, too.
uint64_t Keeper::lowest_live_serial(uint32_t lane, const std::vector<Prepared>& prepared) {
  SerialQueue& sealed = serials_[lane];
  while (!sealed.empty() && directory_.word(sealed.top().second) != layout::entry_word(sealed.top().first, layout::kLog))
    sealed.pop();
  uint64_t lowest = sealed.empty() ? ~0ull : sealed.top().first;
  if (lane < lanes_ && !lane_states_[lane].outstanding.empty())
    lowest = std::min(lowest, lane_states_[lane].outstanding.front().serial);
  for (const std::vector<Prepared>* list : {&std::as_const(to_announce_), &prepared})
    for (const Prepared& block : *list)
      if (block.lane == lane) lowest = std::min(lowest, block.block.serial);
  return lowest;
}

// Behind a barrier that covers every retirement so far, and before a lane gets new blocks: whoever asks about a record that it wrote
// there finds a bound that knows of them.
void Keeper::publish_retired(const std::vector<Prepared>& prepared) {
  if (pool_ == nullptr) return;
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane) pool_->publish_lowest(lane, lowest_live_serial(lane, prepared));
}

// The sealed block whose first record is the oldest goes first. The one with the newest record of all goes only after the superblock
// has that sequence as its lower bound: else a crash could forget that the number was given.
bool Keeper::retire_oldest(std::vector<uint32_t>* retired) {
  if (sealed_.empty()) return false;
  const uint32_t index = sealed_.begin()->second;
  if (directory_.entry(index).last_sequence == highest_sealed_)
    if (Status status = superblock_.refresh(); !status.ok()) {
      fail(status);
      return false;
    }
  retire_log(index, retired);
  return true;
}

void Keeper::retire_log(uint32_t index, std::vector<uint32_t>* retired) {
  const layout::DirectoryEntry& entry = directory_.entry(index);
  sealed_.erase({entry.first_sequence, index});
  retired_blocks_ += 1;
  retired_frames_ += entry.frame_count;
  directory_.retire(index);
  index_.retired(index);
  retired->push_back(index);
}

void Keeper::prepare(std::vector<Prepared>* prepared) {
  // On immediate media a few at a time, so that the first are ready soon; a disk's barrier is worth a full load.
  const uint32_t most = domain_.immediate() ? kPreparedPerStep : ~0u;
  while (!free_.empty() && prepared->size() < most) {
    uint32_t neediest = 0;
    for (uint32_t lane = 1; lane < lanes_; ++lane)
      if (lacking(lane) > lacking(neediest)) neediest = lane;
    if (lacking(neediest) == 0) break;
    if (!prepare_one(neediest, prepared)) return;
  }
  if (index_lacks() && !free_.empty() && !prepare_one(kIndexLane, prepared)) return;
  if (pool_ == nullptr) return;
  uint32_t under_way = 0;
  for (const Prepared& block : to_announce_) under_way += block.lane == kPoolLane;
  const uint32_t wanted = std::min(pool_->wanted(), pool_->allowed());
  for (; under_way < wanted && !free_.empty(); ++under_way)
    if (!prepare_one(kPoolLane, prepared)) return;
}

bool Keeper::prepare_one(uint32_t lane, std::vector<Prepared>* prepared) {
  const bool for_log = lane < layout::kLanesMax;
  uint32_t index;
  if (!take_free(&index)) return false;
  const uint64_t serial = superblock_.take_serial();
  if (serial == 0) {
    fail(domain_.sync());  // its failure stays
    return false;
  }
  const uint64_t offset = directory_.block_offset(index);
  uint8_t* const memory = region_.acquire_staging(offset, directory_.block_bytes());
  prepared->push_back({{index, serial, memory}, lane});
  directory_.prepare(index, serial, kind_of(prepared->back()), static_cast<uint16_t>(for_log ? lane : 0), wall_ns(), memory);
  if (for_log) lane_states_[lane].preparing += 1;
  return true;
}

// The next free block that has space. In a sparse file on a full file system the others wait: the store is smaller meanwhile. Each
// try may reserve most of a block before it is refused, so one is made for all that never had space, and retry_hollow() makes the next.
bool Keeper::take_free(uint32_t* index) {
  while (!free_.empty()) {
    *index = free_.front();
    free_.pop_front();
    if (region_.populate(directory_.block_offset(*index), directory_.block_bytes())) {
      backed_[*index] = true;
      return true;
    }
    hollow_since_ns_ = wall_ns();
    hollow_.push_back(*index);
    std::erase_if(free_, [this](uint32_t block) {
      if (!backed_[block]) hollow_.push_back(block);
      return !backed_[block];
    });
  }
  return false;
}

void Keeper::retry_hollow() {
  if (hollow_.empty() || wall_ns() - hollow_since_ns_ < kHollowRetryNs) return;
  hollow_since_ns_ = wall_ns();
  if (!region_.populate(directory_.block_offset(hollow_.front()), directory_.block_bytes())) return;
  backed_[hollow_.front()] = true;
  free_.insert(free_.begin(), hollow_.begin(), hollow_.end());
  hollow_.clear();
}

// Lanes that find no spare wait for a keeper that is only late, but not for one that has nothing to give.
void Keeper::note_exhaustion() {
  const bool under_way = !to_announce_.empty() || !to_seal_.empty() || !free_.empty();
  const bool can_retire = full_ == FullPolicy::kOverwrite && !sealed_.empty();
  for (uint32_t lane = 0; lane < lanes_; ++lane)
    links_[lane].exhausted.store(lacking(lane) > 0 && !under_way && !can_retire, std::memory_order_release);
}

uint64_t Keeper::trim(uint64_t sequence) {
  std::lock_guard lock(mutex_);
  // What does not exist yet cannot be given up.
  sequence = std::min(sequence, __atomic_load_n(sequence_counter_, __ATOMIC_ACQUIRE));
  if (failed() || !superblock_.mark_trimmed(sequence).ok()) return 0;
  std::vector<uint32_t> retired;
  for (auto at = sealed_.begin(); at != sealed_.end() && at->first < sequence;) {
    const uint32_t index = at->second;
    ++at;
    if (directory_.entry(index).last_sequence < sequence) retire_log(index, &retired);
  }
  if (!retired.empty() && pass_barrier()) {
    free_.insert(free_.end(), retired.begin(), retired.end());
    publish_retired({});
  }
  for (uint32_t i = 0; i < 4 && step(); ++i) continue;
  note_exhaustion();
  publish_head();
  return retired.size();
}

}  // namespace paste
