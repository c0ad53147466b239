// A sender on an interface, as fast as the kernel takes frames from one process: AF_PACKET past the queueing discipline, 64 frames
// to a system call; or as fast as they arrive. Receivers are counted by the kernel (`ip -s link`): they cost nobody time.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace paste::bench {

struct PacketSourceOptions {
  std::string interface, netns;   // netns: of the interface; empty = the caller's
  uint32_t frame_bytes = 64;      // without the checksum of the wire: 60 to 9216
  uint64_t frames_max = 0;        // 0 = until the time is over
  uint32_t duration_ms = 1000;
  uint64_t to = 0, from = 0;      // stations: 02:00:00:00:00:00 plus the number
  std::string sink_interface, sink_netns;   // where arrivals are counted; no interface = they are not
  // So many frames may be under way to the sink; 0 = no limit. With a window smaller than every queue on the way nothing is lost, and
  // what lies between the two sets the rate.
  uint32_t window = 0;
};

struct PacketSourceResult {
  uint64_t frames = 0;            // that the kernel took
  uint64_t arrived = 0;           // at the sink
  uint64_t elapsed_ns = 0;        // until the last one arrived, or was sent where nobody counts
};

Status run_packet_source(const PacketSourceOptions& options, PacketSourceResult* result);

}  // namespace paste::bench
