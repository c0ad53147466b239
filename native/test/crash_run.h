// The crash tests' driver: a seeded scenario on the real store code over simulated memory, cut at every fence and after every
// step; each cut yields crash images, each image goes through the real recovery (itself cut) and the real reader, and what they
// return is compared with the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "test/sim_memory.h"

namespace paste::test {

struct CrashConfig {
  uint64_t seed = 1;
  uint32_t lanes = 2;
  FullPolicy full = FullPolicy::kOverwrite;
  bool disk = false;
  bool index = false;          // index what is sealed, in rounds between the steps
  bool placed = true;          // also mark frames in place (immediate media only)
  uint32_t steps = 60;         // of the first life
  uint32_t images_max = 400;   // crash images taken from lives that write; those of recoveries come on top
  uint32_t look_every = 1;     // 1: crashes at every fence and after every step; n: at one in n of them, for longer scenarios
  SimFaults faults;            // of the writing lives
  bool stale_seeds = false;    // records of a block's former life pass its checksum: as if serials were not part of it
  bool stop_at_first = true;   // end at the first image that is wrong
};

struct CrashResult {
  uint64_t images = 0;            // crash images of writing lives
  uint64_t recovery_images = 0;   // crash images of recoveries and openings
  uint64_t fences = 0;            // of writing lives
  uint64_t records = 0;           // returned by readers and compared
  uint64_t acknowledged = 0;      // at the end of the first life
  uint64_t lives = 0;             // that went on behind a crash
  uint64_t retired = 0;           // blocks
  uint64_t runs = 0;              // of the index, found in images and asked
  std::vector<std::string> wrong; // seed, image and sentence
};

// `initial` holds a fresh store.
CrashResult run_crash(const CrashConfig& config, const std::vector<uint8_t>& initial);

}  // namespace paste::test
