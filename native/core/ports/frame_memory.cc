#include "core/ports/slot_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace paste {
namespace {

constexpr uint32_t kChunksMin = 512;          // two full batches: with fewer a port stalls
constexpr uint32_t kDramSlotChunks = 128;
constexpr uint32_t kSlotsPerLook = 4;         // that one reclaim() looks at
constexpr uint32_t kChunksPerLook = 256;      // that it frees at most
constexpr uint32_t kLooksWithoutAsking = 64;  // after the store had no block
constexpr uint32_t kPatienceUs = 300'000;     // for the keeper to make one more block ready, at creation
// The keeper makes four blocks ready in 300 us: waiting whole milliseconds took 38 ms for the first port of a daemon that restarts.
constexpr uint32_t kPauseUs = 100;
constexpr int kHighDescriptor = 512;

void sleep_us(long us) {
  const timespec pause{0, us * 1000};
  nanosleep(&pause, nullptr);
}

uint32_t wanted_chunks(const FrameMemoryOptions& options) {
  return std::min(options.chunks == 0 ? kChunksDefault : options.chunks, options.chunks_max);
}

}  // namespace

SlotMemory::~SlotMemory() {
  registration.reset();  // first the kernel lets go of it
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
  if (pool_ != nullptr)
    for (const Slot& slot : slots_) pool_->drop_uses(slot.block, 1);
  if (lock_ >= 0) close(lock_);
}

Status SlotMemory::fill_from_store(const FrameMemoryOptions& options, Region* region, BufferPool* pool) {
  const uint32_t least = (kChunksMin + per_slot_ - 1) / per_slot_;
  const uint32_t fair = pool->limit() / (options.chunks == 0 ? 8 : 2) / std::max(options.sharers, 1u);
  const uint32_t wanted = std::min((wanted_chunks(options) + per_slot_ - 1) / per_slot_, fair);
  if (wanted < least)
    return {Code::kResource, region->path() + " is too small to receive into: " + std::to_string(fair) +
                                 " of its blocks may be frame memory, at least " + std::to_string(least) + " are needed"};
  std::vector<BufferBlock> blocks;
  for (uint32_t waited_us = 0; blocks.size() < wanted && waited_us < kPatienceUs;) {
    BufferBlock block;
    if (pool->take(&block)) {
      blocks.push_back(block);
      waited_us = 0;
    } else {
      sleep_us(kPauseUs);
      waited_us += kPauseUs;
    }
  }
  if (blocks.size() < least) {
    for (const BufferBlock& block : blocks) pool->drop_uses(block.index, 1);
    return {Code::kResource, region->path() + " has no " + std::to_string(least) + " free blocks to receive into"};
  }
  std::sort(blocks.begin(), blocks.end(), [](const BufferBlock& a, const BufferBlock& b) { return a.index < b.index; });
  region_ = region;
  pool_ = pool;
  const BufferBlock& first = blocks.front();
  blocks_start_ = first.memory - (uint64_t{first.index} << slot_shift_);
  const uint64_t start = first.store_offset - (uint64_t{first.index} << slot_shift_);
  slot_of_block_.assign((region->size_bytes() - start) >> slot_shift_, kNoChunk);
  blocks_bytes_ = uint64_t{slot_of_block_.size()} << slot_shift_;
  set_up(static_cast<uint32_t>(blocks.size()));
  for (uint32_t slot = 0; slot < blocks.size(); ++slot) adopt(slot, blocks[slot]);
  return {};
}

Status SlotMemory::fill_from_dram(uint32_t chunks) {
  const uint32_t slots = std::max((chunks + per_slot_ - 1) / per_slot_, 1u);
  mapping_bytes_ = uint64_t{slots} << slot_shift_;
  void* const memory =
      mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return {Code::kResource, "no memory for " + std::to_string(mapping_bytes_ >> 20) + " MiB of frames: " + std::strerror(errno)};
  mapping_ = static_cast<uint8_t*>(memory);
  // Advice, each may be unknown: huge pages before the first touch, frames kept out of core dumps.
  madvise(mapping_, mapping_bytes_, MADV_HUGEPAGE);
  madvise(mapping_, mapping_bytes_, MADV_DONTDUMP);
  for (uint64_t at = 0; at < mapping_bytes_; at += 4096) *(reinterpret_cast<volatile uint8_t*>(mapping_) + at) = 0;
  row_.store(mapping_, std::memory_order_release);
  set_up(slots);
  for (uint32_t slot = 0; slot < slots; ++slot)
    adopt(slot, {mapping_ + (uint64_t{slot} << slot_shift_), 0, 1u << slot_shift_, slot});
  return {};
}

void SlotMemory::set_up(uint32_t slots) {
  slots_.resize(slots);
  chunks_.resize(uint64_t{slots} * per_slot_);
  ready_.reserve(slots);
  worn_.reserve(slots);
  reserve_ = std::max(chunk_count() / 8, std::min(2 * kBatchFrames, chunk_count() / 2));
}

void SlotMemory::adopt(uint32_t slot, const BufferBlock& block) {
  PASTE_CHECK(block.size_bytes == 1u << slot_shift_);
  slots_[slot].memory = block.memory;
  slots_[slot].store_offset = block.store_offset;
  slots_[slot].block = block.index;
  if (in_store()) slot_of_block_[block.index] = slot;
  fill(slot);
}

// All chunks of the slot are free, the first on top.
void SlotMemory::fill(uint32_t slot) {
  Slot& filled = slots_[slot];
  filled.free_first = filled.logged_first = filled.logged_last = kNoChunk;
  free_ -= filled.free;
  logged_ -= filled.logged;
  filled.free = filled.logged = 0;
  for (uint32_t i = per_slot_; i-- > 0;) free_chunk(slot * per_slot_ + i, filled);
}

void SlotMemory::free_chunk(uint32_t chunk, Slot& slot) {
  chunks_[chunk].next = slot.free_first;
  slot.free_first = chunk;
  slot.free += 1;
  free_ += 1;
  if (slot.ready) return;
  slot.ready = true;
  ready_.push_back(chunk / per_slot_);
}

uint32_t SlotMemory::take() {
  while (!ready_.empty()) {
    Slot& slot = slots_[ready_.back()];
    if (slot.free == 0) {
      slot.ready = false;
      ready_.pop_back();
      continue;
    }
    const uint32_t chunk = slot.free_first;
    slot.free_first = chunks_[chunk].next;
    slot.free -= 1;
    free_ -= 1;
    chunks_[chunk].uses = 1;
    chunks_[chunk].kept = false;
    return chunk;
  }
  return kNoChunk;
}

void SlotMemory::drop_use(uint32_t chunk) {
  Chunk& dropped = chunks_[chunk];
  PASTE_CHECK(dropped.uses > 0);
  dropped.uses -= 1;
  if (dropped.uses > 0) return;
  Slot& slot = slots_[chunk / per_slot_];
  if (!dropped.kept) {
    free_chunk(chunk, slot);
  } else {
    dropped.until = pool_->held_until(slot.block);
    dropped.next = kNoChunk;
    (slot.logged_last == kNoChunk ? slot.logged_first : chunks_[slot.logged_last].next) = chunk;
    slot.logged_last = chunk;
    slot.logged += 1;
    logged_ += 1;
  }
  if (slot.worn || !is_worn(slot)) return;
  slot.worn = true;
  worn_.push_back(chunk / per_slot_);
}

void SlotMemory::reclaim() {
  if (logged_ == 0) return;
  renew_worn();
  uint32_t budget = kChunksPerLook;
  for (uint32_t looks = std::min<uint32_t>(kSlotsPerLook, static_cast<uint32_t>(slots_.size())); looks > 0; --looks) {
    next_look_ = next_look_ + 1 < slots_.size() ? next_look_ + 1 : 0;
    free_retired(next_look_, &budget);
  }
}

void SlotMemory::free_retired(uint32_t index, uint32_t* budget) {
  Slot& slot = slots_[index];
  while (slot.logged_first != kNoChunk && *budget > 0 && pool_->retired(slot.block, chunks_[slot.logged_first].until)) {
    const uint32_t chunk = slot.logged_first;
    slot.logged_first = chunks_[chunk].next;
    if (slot.logged_first == kNoChunk) slot.logged_last = kNoChunk;
    slot.logged -= 1;
    logged_ -= 1;
    *budget -= 1;
    free_chunk(chunk, slot);
  }
}

// A fresh block for a slot that the log has nearly all of. The store keeps the old one for as long as its records live.
void SlotMemory::renew_worn() {
  if (worn_.empty()) return;
  if (looks_to_skip_ > 0) {
    looks_to_skip_ -= 1;
    return;
  }
  if (changing_.test_and_set(std::memory_order_acquire)) return;  // pinned, or about to be
  for (uint32_t renewed = 0; renewed < kSlotsPerLook && !worn_.empty();) {
    const uint32_t index = worn_.back();
    Slot& slot = slots_[index];
    BufferBlock block;
    if (is_worn(slot)) {
      if (!pool_->take(&block)) {
        looks_to_skip_ = kLooksWithoutAsking;
        break;
      }
      slot_of_block_[slot.block] = kNoChunk;
      pool_->drop_uses(slot.block, 1);
      adopt(index, block);
      renewed += 1;
    }
    slot.worn = false;
    worn_.pop_back();
  }
  changing_.clear(std::memory_order_release);
}

uint32_t SlotMemory::chunk_of(const uint8_t* address) const {
  const uint8_t* const row = row_.load(std::memory_order_relaxed);
  if (row != nullptr && address >= row && address < row + size_bytes())
    return static_cast<uint32_t>(static_cast<uint64_t>(address - row) >> chunk_shift_);
  if (address < blocks_start_ || address >= blocks_start_ + blocks_bytes_) return kNoChunk;
  const auto offset = static_cast<uint64_t>(address - blocks_start_);
  const uint32_t slot = slot_of_block_[offset >> slot_shift_];
  if (slot == kNoChunk) return kNoChunk;
  return slot * per_slot_ + static_cast<uint32_t>((offset & ((uint64_t{1} << slot_shift_) - 1)) >> chunk_shift_);
}

void SlotMemory::place_frame(Frame& frame, const uint8_t* bytes, uint32_t length) {
  frame.bytes = bytes;
  frame.length = length;
  const uint64_t in_chunk = reinterpret_cast<uintptr_t>(bytes) & (chunk_bytes_ - 1);
  frame.framed = in_chunk % 64 == 0 && in_chunk >= 64 && in_chunk + ((length + 63) & ~63u) <= chunk_bytes_;
  frame.marked = false;
  frame.store_offset = 0;
  frame.buffer_block = 0;
  if (!may_mark()) return;
  const uint32_t chunk = chunk_of(bytes);
  PASTE_CHECK(chunk != kNoChunk);
  const Slot& slot = slots_[chunk / per_slot_];
  // Both mappings of a block are aligned alike: the chunk's place in the slot, the frame's place in the chunk.
  frame.store_offset = slot.store_offset + (uint64_t{chunk % per_slot_} << chunk_shift_) + in_chunk;
  frame.buffer_block = slot.block;
}

Status SlotMemory::pin() {
  if (base() != nullptr) return {};
  const uint64_t page = region_->page_bytes();
  const std::string what = region_->path() + ": frames cannot be received into it by AF_XDP: ";
  if (region_->descriptor() < 0) return {Code::kResource, what + "it is no file"};
  if (region_->medium() == Medium::kDaxFile)
    return {Code::kResource, what + "pages of a file system on DAX cannot be pinned"};
  if ((1u << slot_shift_) % page != 0)
    return {Code::kResource, what + "a block of " + std::to_string((1u << slot_shift_) >> 10) + " KiB is no whole number of " +
                                 std::to_string(page >> 10) + " KiB pages"};
  while (changing_.test_and_set(std::memory_order_acquire)) {
    if (base() != nullptr) return {};
    sleep_us(1000);
  }
  // Never cleared once the row stands: slots keep their blocks.
  mapping_bytes_ = size_bytes() + page;
  void* const space = mmap(nullptr, mapping_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  bool mapped = space != MAP_FAILED;
  uint8_t* const row = mapped ? reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(space) + page - 1) / page * page) : nullptr;
  for (size_t slot = 0; mapped && slot < slots_.size(); ++slot)
    mapped = mmap(row + (slot << slot_shift_), size_t{1} << slot_shift_, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_FIXED | MAP_POPULATE, region_->descriptor(),
                  static_cast<off_t>(slots_[slot].store_offset)) != MAP_FAILED;
  if (!mapped) {
    const std::string reason = std::strerror(errno);
    if (space != MAP_FAILED) munmap(space, mapping_bytes_);
    changing_.clear(std::memory_order_release);
    return {Code::kResource, what + "its blocks cannot be mapped in a row: " + reason};
  }
  madvise(row, size_bytes(), MADV_DONTDUMP);
  // A process that dies closes its descriptors in order: this one, behind the sockets', keeps the store's lock (flock belongs to the
  // open file) until no device writes here any more.
  lock_ = fcntl(region_->descriptor(), F_DUPFD_CLOEXEC, kHighDescriptor);
  if (lock_ < 0) lock_ = fcntl(region_->descriptor(), F_DUPFD_CLOEXEC, 3);
  mapping_ = static_cast<uint8_t*>(space);
  row_.store(row, std::memory_order_release);
  return {};
}

Status FrameMemory::create(const FrameMemoryOptions& options, Region* region, BufferPool* pool,
                           std::unique_ptr<FrameMemory>* memory) {
  if (options.chunk_bytes != 2048 && options.chunk_bytes != 4096)
    return {Code::kUsage, "frame memory has chunks of 2048 or 4096 bytes, not " + std::to_string(options.chunk_bytes)};
  Status refused;
  if (options.place != FrameMemoryPlace::kDram) {
    if (region == nullptr) {
      refused = {Code::kResource, "there is no store"};
    } else if (pool == nullptr) {
      refused = {Code::kResource, region->path() + " is on a disk (" + region->file_system() +
                                      "): nothing is received there directly, frames are packed"};
    } else {
      auto made = std::make_unique<SlotMemory>(options.chunk_bytes, pool->block_bytes() / options.chunk_bytes);
      refused = made->fill_from_store(options, region, pool);
      if (refused.ok()) {
        *memory = std::move(made);
        return {};
      }
    }
    if (options.place == FrameMemoryPlace::kStore) return refused;
  }
  auto made = std::make_unique<SlotMemory>(options.chunk_bytes, kDramSlotChunks);
  if (Status status = made->fill_from_dram(wanted_chunks(options)); !status.ok()) return status;
  made->say_why(options.place == FrameMemoryPlace::kDram ? "memory in DRAM was asked for" : refused.message());
  *memory = std::move(made);
  return {};
}

}  // namespace paste
