// The two ends of the benchmark across processes: a source and a sink on ports of a running daemon.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace paste::bench {

struct EndOptions {
  std::string socket, name;      // ports.sock, "vale0:a"
  uint32_t slots = 1024;
  uint32_t frame_bytes = 64;
  uint32_t duration_ms = 1000;   // source: sends so long; sink: ends so long after the first frame
  uint32_t idle_ms = 2000;       // sink: ends after so long without a frame
  uint64_t frames_max = ~0ull;   // either: ends earlier
  uint64_t to = 2, from = 1;     // station numbers: addresses are 02:00:00:00:00:00 + number
  double frames_per_second = 0;  // source: 0 = as fast as the switch takes them
  bool busy = false;             // never sleep: spin on the ring, giving way to others
  bool announce = true;          // sink: one broadcast from `to` first, so that the switch knows the way
};

struct EndResult {
  uint64_t frames = 0, bytes = 0;
  uint64_t wrong = 0;            // sink: contents did not arrive as they were sent
  uint64_t lost = 0;             // sink: numbers that never came, up to the highest seen
  uint64_t disordered = 0;       // sink: numbers lower than one seen before
  uint64_t waits = 0;            // times it slept
  uint64_t first_ns = 0, last_ns = 0;  // monotonic: of the first and last batch
};

Status run_source(const EndOptions& options, EndResult* result);
Status run_sink(const EndOptions& options, EndResult* result);

}  // namespace paste::bench
