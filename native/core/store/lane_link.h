// What a lane and the keeper share: two queues of blocks, a doorbell, and the words by which a group commit is agreed on.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/store/directory.h"
#include "core/store/layout.h"
#include "core/store/spsc.h"

namespace paste {

inline constexpr uint32_t kSparesMax = 64;    // spare blocks ahead of one lane
inline constexpr uint32_t kClaimedMax = 64;   // blocks that one lane's uncommitted records may touch
// A lane gives back only what it was given: spares, claimed blocks and one refill fit.
inline constexpr uint32_t kFilledMax = 256;
static_assert(kFilledMax >= 2 * kSparesMax + kClaimedMax);

// Wakes the keeper with at most one system call for each of its sleeps.
class KeeperBell {
 public:
  // Any thread, after publishing what the keeper shall see.
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_relaxed) != 0) wake();
  }
  // Keeper: announce the sleep, look for work once more, then sleep (or withdraw).
  void announce() {
    sleeping_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void withdraw() { sleeping_.store(0, std::memory_order_relaxed); }
  void sleep(uint32_t timeout_ms);

 private:
  void wake();
  std::atomic<uint32_t> sleeping_{0};
};

// A block that is ready: announced in the directory, populated, with a durable header.
struct SpareBlock {
  uint32_t index = 0;
  uint64_t serial = 0;
  uint8_t* memory = nullptr;
};

struct FilledBlock {
  uint32_t index = 0;
  uint64_t serial = 0;
  BlockSummary summary;
};

struct LaneLink {
  SpscQueue<SpareBlock, kSparesMax> spares;   // keeper to lane
  SpscQueue<FilledBlock, kFilledMax> filled;  // lane to keeper, at commit: on immediate media already durable
  uint32_t spare_target = 0;

  // Keeper: nothing is free, and the policy retires nothing. While false a refused lane only waits for the keeper.
  alignas(64) std::atomic<bool> exhausted{false};
  std::atomic<bool> failed{false};            // the medium failed, finally
  std::atomic<uint64_t> durable{0};           // last sequence of this lane that is durable

  // Lane: what commit() handed to the next group commit (disk only). `appended` is stored last.
  alignas(64) std::atomic<uint64_t> position{uint64_t{layout::kNoBlock} << 32};
  std::atomic<uint64_t> appended{0};
  std::atomic<uint64_t> watermark{layout::kIdle};

  // Lane's counters, published at commit.
  alignas(64) std::atomic<uint64_t> medium_bytes{0};
  std::atomic<uint64_t> frame_bytes{0};
  std::atomic<uint64_t> commits{0};
};

}  // namespace paste
