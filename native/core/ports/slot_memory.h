// How a FrameMemory is made of slots. frame_memory.cc alone knows this.
#pragma once

#include <atomic>
#include <bit>
#include <string>
#include <vector>

#include "core/ports/frame_memory.h"

namespace paste {

// A row of slots. Free chunks of a slot are a stack, its logged ones a queue in the order in which they were marked; both run
// through next_, as a chunk is in one of them at most. Slots with free chunks are a stack, too: unlogged traffic stays in few lines.
class SlotMemory final : public FrameMemory {
 public:
  SlotMemory(uint32_t chunk_bytes, uint32_t chunks_per_slot)
      : chunk_bytes_(chunk_bytes),
        chunk_shift_(static_cast<uint32_t>(std::countr_zero(chunk_bytes))),
        per_slot_(chunks_per_slot),
        slot_shift_(static_cast<uint32_t>(std::countr_zero(chunks_per_slot * chunk_bytes))) {}
  ~SlotMemory() override;

  Status fill_from_store(const FrameMemoryOptions& options, Region* region, BufferPool* pool);
  Status fill_from_dram(uint32_t chunks);
  void say_why(std::string why) { why_ = std::move(why); }

  Status pin() override;
  uint8_t* base() override { return row_.load(std::memory_order_acquire); }
  uint64_t size_bytes() const override { return uint64_t{chunk_count()} * chunk_bytes_; }
  uint32_t chunk_bytes() const override { return chunk_bytes_; }
  uint32_t chunk_count() const override { return static_cast<uint32_t>(chunks_.size()); }
  bool in_store() const override { return pool_ != nullptr; }
  const std::string& why_not_store() const override { return why_; }
  uint8_t* bytes(uint32_t chunk) override {
    return slots_[chunk / per_slot_].memory + (uint64_t{chunk % per_slot_} << chunk_shift_);
  }
  uint32_t chunk_of(const uint8_t* address) const override;
  uint32_t take() override;
  void add_use(uint32_t chunk) override {
    PASTE_CHECK(chunks_[chunk].uses > 0);
    chunks_[chunk].uses += 1;
  }
  void drop_use(uint32_t chunk) override;
  void keep_for_log(uint32_t chunk) override {
    PASTE_CHECK(in_store() && chunks_[chunk].uses > 0);
    chunks_[chunk].kept = true;
  }
  void reclaim() override;
  uint32_t free_chunks() const override { return free_; }
  uint32_t logged_chunks() const override { return logged_; }
  bool may_mark() const override { return in_store() && free_ > reserve_; }
  // Half of what marking leaves, so that marking never drains rings either.
  bool may_post() const override { return free_ > reserve_ / 2; }
  void place_frame(Frame& frame, const uint8_t* bytes, uint32_t length) override;

 private:
  struct Chunk {
    uint64_t until = 0;      // the log's: free again when the store has retired its log blocks up to this
    uint32_t next = kNoChunk;
    uint32_t uses : 31 = 0;
    uint32_t kept : 1 = false;
  };
  struct Slot {
    uint8_t* memory = nullptr;
    uint64_t store_offset = 0;
    uint32_t block = 0;      // of the store
    uint32_t free_first = kNoChunk;
    uint32_t logged_first = kNoChunk, logged_last = kNoChunk;
    uint32_t free = 0, logged = 0;   // the others are in use
    bool ready = false;      // in ready_
    bool worn = false;       // in worn_
  };

  void set_up(uint32_t slots);
  void adopt(uint32_t slot, const BufferBlock& block);
  void fill(uint32_t slot);
  void free_chunk(uint32_t chunk, Slot& slot);
  void free_retired(uint32_t slot, uint32_t* budget);
  bool is_worn(const Slot& slot) const { return slot.free + slot.logged == per_slot_ && slot.logged >= per_slot_ - per_slot_ / 4; }
  void renew_worn();

  const uint32_t chunk_bytes_, chunk_shift_, per_slot_, slot_shift_;
  Region* region_ = nullptr;
  BufferPool* pool_ = nullptr;
  std::string why_;
  std::vector<Chunk> chunks_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> ready_;          // slots with free chunks
  std::vector<uint32_t> worn_;           // slots that the log has, to be renewed
  std::vector<uint32_t> slot_of_block_;  // kNoChunk = none
  uint8_t* blocks_start_ = nullptr;      // of the store's mapping: block 0
  uint64_t blocks_bytes_ = 0;
  uint32_t free_ = 0, logged_ = 0, reserve_ = 0;
  uint32_t next_look_ = 0;
  uint32_t looks_to_skip_ = 0;

  // pin() comes from another thread: from then on slots keep their blocks.
  std::atomic_flag changing_ = ATOMIC_FLAG_INIT;
  std::atomic<uint8_t*> row_{nullptr};
  uint8_t* mapping_ = nullptr;
  uint64_t mapping_bytes_ = 0;
  int lock_ = -1;
};

}  // namespace paste
