// The forwarding benchmark: one thread is generator, switch and sink of vale ports with private regions, and every cost counts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/store/store.h"

namespace paste::bench {

enum class LogMode : uint8_t { kNone, kPack, kMark };

struct ForwardOptions {
  uint32_t frame_bytes = 64;
  uint32_t ports = 8;
  uint32_t slots = 1024;             // per ring: ports * 2 * slots distinct buffers
  uint32_t addresses = 100;
  uint32_t burst = 32;               // frames that each port sends before the switch looks
  uint64_t frames_per_round = 1'000'000;
  uint32_t rounds = 5;               // measured; one more runs before, and teaches the switch every address
  LogMode log = LogMode::kNone;
  bool strict = true;
  std::string store_path;            // kPack, kMark: an existing store
  uint64_t seed = 1;
};

struct ForwardResult {
  std::vector<double> ns_per_frame;  // one for each round
  uint64_t sent = 0, received = 0;   // of the measured rounds
  uint64_t logged = 0, not_logged = 0, held_back = 0;
  uint64_t bytes_wrong = 0;          // frames whose contents did not arrive as they were sent
  uint64_t buffers = 0;              // distinct packet buffers in use
  uint64_t store_bytes_written = 0;  // to the medium, of the measured rounds
};

Status run_forward(const ForwardOptions& options, ForwardResult* result);

}  // namespace paste::bench
