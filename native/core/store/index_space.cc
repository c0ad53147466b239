#include "core/store/index_space.h"

namespace paste {

IndexSpace::IndexSpace(Region& region, Directory& directory, uint32_t blocks_max)
    : region_(region),
      directory_(directory),
      immediate_(region.domain().immediate()),
      blocks_max_(blocks_max),
      covered_(new std::atomic<uint32_t>[directory.count()]),
      serving_(new std::atomic<uint32_t>[directory.count()]),
      state_(new std::atomic<uint8_t>[directory.count()]) {
  for (uint32_t i = 0; i < directory.count(); ++i) {
    covered_[i].store(layout::kNoBlock, std::memory_order_relaxed);
    serving_[i].store(0, std::memory_order_relaxed);
    state_[i].store(kNone, std::memory_order_relaxed);
  }
}

bool IndexSpace::take(SpareBlock* block) {
  if (!ready_.pop(block)) {
    asked_.store(true, std::memory_order_release);
    return false;
  }
  state_[block->index].store(kOpen, std::memory_order_release);
  return true;
}

bool IndexSpace::open_found(uint32_t index) {
  uint8_t found = kFound;
  return state_[index].compare_exchange_strong(found, kOpen, std::memory_order_acq_rel);
}

// Whoever takes an entry of covered_ out counts it down, so that the sums hold whatever the order of indexer and keeper. The keeper
// may have retired the block before it was entered here: then the word says so.
void IndexSpace::cover(uint32_t log_block, uint64_t serial, uint32_t index_block) {
  serving_[index_block].fetch_add(1, std::memory_order_relaxed);
  const uint32_t before = covered_[log_block].exchange(index_block, std::memory_order_acq_rel);
  if (before == layout::kNoBlock)
    covered_count_.fetch_add(1, std::memory_order_relaxed);
  else
    drop(before);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (directory_.word(log_block) != layout::entry_word(serial, layout::kLog)) uncover(log_block);
}

bool IndexSpace::uncover(uint32_t log_block) {
  const uint32_t before = covered_[log_block].exchange(layout::kNoBlock, std::memory_order_acq_rel);
  if (before == layout::kNoBlock) return false;
  covered_count_.fetch_sub(1, std::memory_order_relaxed);
  drop(before);
  return true;
}

void IndexSpace::drop(uint32_t index_block) {
  if (serving_[index_block].fetch_sub(1, std::memory_order_acq_rel) == 1) sweep_.store(true, std::memory_order_release);
}

void IndexSpace::close(uint32_t index_block) {
  state_[index_block].store(kClosed, std::memory_order_release);
  if (serving_[index_block].load(std::memory_order_acquire) == 0) sweep_.store(true, std::memory_order_release);
}

void IndexSpace::apply(const IndexPiece& piece) {
  if (piece.bytes > 0) region_.domain().flush(piece.from, piece.bytes);
  if (piece.held_until != 0) directory_.hold(piece.block, piece.held_until);
  if (piece.last) directory_.seal(piece.block, piece.summary, 0);
}

uint64_t IndexSpace::post(const IndexPiece& piece) {
  PASTE_CHECK(posted_.push(piece));  // the indexer waits for each
  return ++tickets_;
}

bool IndexSpace::flush_posted() {
  IndexPiece piece;
  while (posted_.pop(&piece)) {
    apply(piece);
    under_way_.push_back(piece);
  }
  return !under_way_.empty();
}

void IndexSpace::finish_posted() {
  if (under_way_.empty()) return;
  for (const IndexPiece& piece : under_way_)
    if (piece.last) region_.release_staging(directory_.block_offset(piece.block));
  carried_out_.fetch_add(under_way_.size(), std::memory_order_release);
  under_way_.clear();
  bell.ring();
}

void IndexSpace::offer(const SpareBlock& block) {
  blocks_.push_back(block.index);
  serving_[block.index].store(0, std::memory_order_relaxed);
  state_[block.index].store(kReady, std::memory_order_relaxed);
  asked_.store(false, std::memory_order_relaxed);
  PASTE_CHECK(ready_.push(block));
  bell.ring();
}

void IndexSpace::adopt(uint32_t index) {
  blocks_.push_back(index);
  state_[index].store(kFound, std::memory_order_release);
  sweep_.store(true, std::memory_order_relaxed);
}

void IndexSpace::sealed(const SealedBlock& block) {
  if (!sealed_.push(block)) missed_.store(true, std::memory_order_release);
}

void IndexSpace::retired(uint32_t log_block) {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the word before the entry, as cover() looks at them in turn
  if (!uncover(log_block)) unserved_.fetch_add(1, std::memory_order_relaxed);
  if (found_ > 0) sweep_.store(true, std::memory_order_relaxed);
}

void IndexSpace::list_dead(uint64_t lowest_serial, std::vector<uint32_t>* dead) {
  sweep_.store(false, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  found_ = 0;
  std::erase_if(blocks_, [&](uint32_t index) {
    uint8_t state = state_[index].load(std::memory_order_acquire);
    // One that nobody has looked into yet goes by what its directory entry says.
    const bool outlived = state == kFound && directory_.entry(index).held_until < lowest_serial &&
                          state_[index].compare_exchange_strong(state, kNone, std::memory_order_acq_rel);
    const bool useless = state == kClosed && serving_[index].load(std::memory_order_acquire) == 0;
    found_ += !outlived && state == kFound;
    if (!outlived && !useless) return false;
    state_[index].store(kNone, std::memory_order_relaxed);
    dead->push_back(index);
    return true;
  });
}

}  // namespace paste
