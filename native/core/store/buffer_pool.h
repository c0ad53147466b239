// Buffer blocks of a store on an immediate medium: a stack of ready ones that ports take from, and how many pieces of each are in
// use. The keeper fills the stack and takes blocks back.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "core/store/directory.h"
#include "core/store/lane.h"
#include "core/store/lane_link.h"

namespace paste {

class StoreBufferPool final : public BufferPool {
 public:
  // At most `blocks_max` blocks of the store serve as buffers; the rest is the log's.
  StoreBufferPool(Region& region, Directory& directory, KeeperBell& bell, uint32_t blocks_max);

  bool take(BufferBlock* block) override;
  void add_uses(uint32_t index, uint32_t count) override;
  void drop_uses(uint32_t index, uint32_t count) override;
  uint32_t block_bytes() const override { return directory_.block_bytes(); }
  uint32_t limit() const override { return blocks_max_; }
  uint64_t held_until(uint32_t index) const override {
    return __atomic_load_n(&directory_.entry(index).held_until, __ATOMIC_ACQUIRE);
  }
  bool retired(uint32_t index, uint64_t until) const override;

  // Keeper only, all of what follows.
  // How many ready blocks are missing; 0 until somebody asked for the first one.
  uint32_t wanted() const;
  // How many more blocks may become buffers.
  uint32_t allowed() const { return blocks_max_ - blocks(); }
  uint32_t blocks() const { return static_cast<uint32_t>(blocks_.size()); }
  // An announced, populated block becomes takeable.
  void offer(uint32_t index);
  // A buffer block of an earlier opening: nobody uses it, live records may hold it.
  void adopt(uint32_t index);
  // Blocks that nobody uses any more. They stay listed until forget().
  void list_unused(std::vector<uint32_t>* unused) const;
  void forget(uint32_t index);
  // Closing: every block is unused now.
  void withdraw();
  // Below `serial` every log block of the lane is retired, durably.
  void publish_lowest(uint32_t lane, uint64_t serial) { lowest_[lane].store(serial, std::memory_order_release); }

 private:
  enum State : uint8_t { kNone, kReady, kTaken };
  static constexpr uint32_t kReadyTarget = 4;

  Region& region_;
  Directory& directory_;
  KeeperBell& bell_;
  const uint32_t blocks_max_;
  // A stack through next_, its top tagged against reuse: tag << 32 | index, kNoBlock = empty.
  std::atomic<uint64_t> top_{layout::kNoBlock};
  std::atomic<uint32_t> ready_{0};
  std::atomic<bool> asked_{false};
  std::unique_ptr<std::atomic<uint32_t>[]> next_, uses_;
  std::unique_ptr<std::atomic<uint8_t>[]> state_;
  std::atomic<uint64_t> lowest_[layout::kLanesMax] = {};
  std::vector<uint32_t> blocks_;   // all that serve as buffers
  std::vector<uint32_t> place_;    // of a block in blocks_
};

}  // namespace paste
