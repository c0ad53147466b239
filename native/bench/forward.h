// The forwarding benchmark: one thread is generator, switch and sink of vale ports with private regions, and every cost counts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/store/store.h"

namespace paste::bench {

enum class LogMode : uint8_t { kNone, kPack, kMark };

struct ForwardOptions {
  uint32_t frame_bytes = 64;
  uint32_t ports = 8;
  uint32_t slots = 512;              // per ring: ports * 2 * slots distinct buffers
  uint32_t addresses = 100;
  uint32_t burst = 30;               // frames that each port sends before the switch looks
  uint64_t frames_per_round = 1'000'000;
  LogMode log = LogMode::kNone;
  bool strict = true;
  bool index = false;        // with the indexer beside it
  std::string store_path;            // kPack, kMark: an existing store
  uint64_t seed = 1;
};

struct ForwardResult {
  std::vector<double> ns_per_frame;  // one for each round
  uint64_t sent = 0, received = 0;
  uint64_t wrong = 0;                // frames whose contents did not arrive as they were sent
  uint64_t logged = 0, not_logged = 0, held_back_ns = 0;
  uint64_t buffers = 0;              // distinct packet buffers in use
  uint64_t medium_bytes = 0;         // written to the store's medium
};

// Runs each side's rounds in turn (A B A B ...), after a round of each that only warms up.
Status run_forward(std::span<const ForwardOptions> sides, uint32_t rounds, std::vector<ForwardResult>* results);

}  // namespace paste::bench
