#include "core/store/buffer_pool.h"

namespace paste {

StoreBufferPool::StoreBufferPool(Region& region, Directory& directory, KeeperBell& bell, uint32_t blocks_max)
    : region_(region),
      directory_(directory),
      bell_(bell),
      blocks_max_(blocks_max),
      next_(new std::atomic<uint32_t>[directory.count()]),
      uses_(new std::atomic<uint32_t>[directory.count()]),
      state_(new std::atomic<uint8_t>[directory.count()]),
      place_(directory.count(), layout::kNoBlock) {
  for (uint32_t i = 0; i < directory.count(); ++i) {
    next_[i].store(layout::kNoBlock, std::memory_order_relaxed);
    uses_[i].store(0, std::memory_order_relaxed);
    state_[i].store(kNone, std::memory_order_relaxed);
  }
}

bool StoreBufferPool::take(BufferBlock* block) {
  if (!asked_.load(std::memory_order_relaxed)) asked_.store(true, std::memory_order_relaxed);
  uint64_t top = top_.load(std::memory_order_acquire);
  uint32_t index;
  do {
    index = static_cast<uint32_t>(top);
    if (index == layout::kNoBlock) {
      bell_.ring();
      return false;
    }
  } while (!top_.compare_exchange_weak(top, ((top >> 32) + 1) << 32 | next_[index].load(std::memory_order_relaxed),
                                       std::memory_order_acq_rel, std::memory_order_acquire));
  uses_[index].store(1, std::memory_order_relaxed);
  state_[index].store(kTaken, std::memory_order_release);
  if (ready_.fetch_sub(1, std::memory_order_relaxed) <= kReadyTarget / 2) bell_.ring();
  const uint64_t offset = directory_.block_offset(index);
  *block = {region_.acquire_staging(offset, directory_.block_bytes()), offset, directory_.block_bytes(), index};
  return true;
}

void StoreBufferPool::add_uses(uint32_t index, uint32_t count) {
  PASTE_CHECK(index < directory_.count() && uses_[index].fetch_add(count, std::memory_order_relaxed) > 0);
}

void StoreBufferPool::drop_uses(uint32_t index, uint32_t count) {
  PASTE_CHECK(index < directory_.count() && uses_[index].fetch_sub(count, std::memory_order_acq_rel) >= count);
}

bool StoreBufferPool::retired(uint32_t index, uint64_t until) const {
  const uint32_t holders = directory_.holders(index);
  for (uint32_t lane = 0; lane < layout::kLanesMax; ++lane)
    if ((holders >> lane & 1) != 0 && lowest_[lane].load(std::memory_order_acquire) <= until) return false;
  return true;
}

uint32_t StoreBufferPool::wanted() const {
  const uint32_t ready = ready_.load(std::memory_order_relaxed);
  if (!asked_.load(std::memory_order_relaxed) || ready >= kReadyTarget) return 0;
  return kReadyTarget - ready;
}

void StoreBufferPool::offer(uint32_t index) {
  adopt(index);
  state_[index].store(kReady, std::memory_order_relaxed);
  ready_.fetch_add(1, std::memory_order_relaxed);
  uint64_t top = top_.load(std::memory_order_relaxed);
  do {
    next_[index].store(static_cast<uint32_t>(top), std::memory_order_relaxed);
  } while (!top_.compare_exchange_weak(top, ((top >> 32) + 1) << 32 | index, std::memory_order_release,
                                       std::memory_order_relaxed));
}

void StoreBufferPool::adopt(uint32_t index) {
  PASTE_CHECK(place_[index] == layout::kNoBlock);
  place_[index] = static_cast<uint32_t>(blocks_.size());
  blocks_.push_back(index);
  uses_[index].store(0, std::memory_order_relaxed);
  state_[index].store(kTaken, std::memory_order_relaxed);
}

void StoreBufferPool::list_unused(std::vector<uint32_t>* unused) const {
  for (const uint32_t index : blocks_)
    if (state_[index].load(std::memory_order_acquire) == kTaken && uses_[index].load(std::memory_order_acquire) == 0)
      unused->push_back(index);
}

void StoreBufferPool::forget(uint32_t index) {
  const uint32_t place = place_[index];
  PASTE_CHECK(place != layout::kNoBlock);
  const uint32_t last = blocks_.back();
  blocks_[place] = last;
  place_[last] = place;
  blocks_.pop_back();
  place_[index] = layout::kNoBlock;
  state_[index].store(kNone, std::memory_order_relaxed);
}

void StoreBufferPool::withdraw() {
  top_.store(layout::kNoBlock, std::memory_order_relaxed);
  ready_.store(0, std::memory_order_relaxed);
  asked_.store(false, std::memory_order_relaxed);
  for (const uint32_t index : blocks_) {
    uses_[index].store(0, std::memory_order_relaxed);
    state_[index].store(kTaken, std::memory_order_relaxed);
  }
}

}  // namespace paste
