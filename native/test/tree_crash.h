// Crash images of the tree: seeded batches on simulated memory, cut at every fence; each image must hold exactly the last committed
// state or the one that was being committed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace paste::test {

// What is deliberately broken.
enum class TreeFault : uint32_t {
  kNone,
  kPagesNotFlushed,
  kPagesNotFenced,  // the root may become persistent before what it reaches
  kRootNotFlushed,
  kRootNotFenced,
};

struct TreeCrashConfig {
  uint64_t seed = 1;
  uint32_t pages = 160;
  uint32_t steps = 120;     // batches of a life
  uint32_t lives = 4;       // each goes on from a crash image of the one before
  uint32_t keys = 600;      // different ones
  bool disk = false;
  TreeFault fault = TreeFault::kNone;
};

struct TreeCrashResult {
  uint64_t images = 0, commits = 0, lives = 0, full = 0, entries_max = 0;
  std::vector<std::string> wrong;  // seed, image and sentence
};

TreeCrashResult run_tree_crash(const TreeCrashConfig& config);

}  // namespace paste::test
