// What indexing costs one core (processor time): log blocks made in memory, then indexed again and again, then asked.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"

namespace paste::bench {

struct IndexBenchOptions {
  bool new_flows = false;            // every frame has addresses and ports of its own, and 64 bytes; else a mix (IMIX)
  bool ipv6 = false;                 // instead of IPv4, behind two tags: frames whose keys have further terms
  uint32_t flows = 10000;
  uint64_t segment_bytes = 32u << 20;
  uint32_t block_bytes = 1u << 20;
  uint32_t bytes_max = 1u << 20;
  uint32_t rounds = 5;
  bool tunnels = false;
};

struct IndexBenchResult {
  std::vector<double> frames_per_second;
  uint64_t frames = 0, data_bytes = 0, run_bytes = 0;
  uint32_t omitted = 0;              // fields that did not fit
  std::vector<double> absent_ns;     // asking for a host that is not there, in a run that is open
  std::vector<double> host_ns;       // for one that is, its places included
  uint64_t host_records = 0;
};

Status run_index_bench(const IndexBenchOptions& options, IndexBenchResult* result);

}  // namespace paste::bench
