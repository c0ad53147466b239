// One life of a writing process on simulated memory: opens the store, works in seeded steps, and is looked at by its run
// before every fence and after every step.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "test/crash_model.h"
#include "test/crash_run.h"
#include "test/sim_region.h"

namespace paste::test {

class CrashLife {
 public:
  using Look = std::function<void(CrashLife&)>;
  // `image` is what the machine holds, `model` what it should hold. `look` is called at every place where a crash may happen.
  CrashLife(const CrashConfig& config, uint64_t seed, const std::vector<uint8_t>& image, uint64_t blocks_offset, CrashModel model,
            Look look);

  Status open();
  void step();
  uint64_t retired();

  SimMemory& memory() { return memory_; }
  CrashModel& model() { return model_; }
  // Directory words as the writer has them now.
  std::vector<uint64_t> words() const { return directory_words(region_->head(), block_count_); }
  // Bytes stored past the domain; "" when there are none.
  std::string untracked() const;

 private:
  struct Arena {  // frames of one batch, as ports hand them over
    std::vector<std::unique_ptr<uint8_t[], void (*)(void*)>> memory;
    std::vector<FrameRecord> frames;
    std::vector<ModelRecord> models;
  };
  void append(uint32_t lane);
  void event(uint32_t lane);
  void commit(uint32_t lane);
  void trim();
  void reopen();
  void describe(uint32_t lane);
  void make_frame(Arena& arena);
  void place(FrameRecord& frame, ModelRecord& model);
  void note_streamed(uint64_t offset, const uint8_t* lines, size_t count);
  void acknowledge();
  uint64_t pick(uint64_t below) { return random_() % below; }

  const CrashConfig& config_;
  std::mt19937_64 random_;
  uint64_t blocks_offset_;
  SimMemory memory_;
  CrashModel model_;
  Look look_;
  uint32_t block_count_ = 0, block_bytes_ = 0;
  SimRegion* region_ = nullptr;   // the store's
  std::unique_ptr<Store> store_;
  // Where records were streamed to since the last append: a life for each part.
  struct Streamed { uint64_t sequence; uint8_t type; ModelRecord::Life life; };
  std::vector<Streamed> streamed_;
  std::vector<uint32_t> described_;   // port ids
  BufferBlock buffers_;               // the block that "devices" fill now
  uint32_t buffers_used_ = 0;
  std::vector<uint32_t> full_buffers_;
  bool has_buffers_ = false;
  uint64_t time_ns_ = 2'000'000'000'000'000'000;  // beyond any real clock: lanes never take a time back
};

}  // namespace paste::test
