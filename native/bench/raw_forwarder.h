// Frames from each of two devices to the other, and nothing else: no table, no log, no counters. What is left is the kernel's own way
// (AF_XDP in copy mode, or one read and one write of a TAP descriptor), which a switch on the same devices cannot beat.
#pragma once

#include <functional>
#include <string>

#include "core/base/status.h"

namespace paste::bench {

struct RawForwarderOptions {
  std::string kind;                    // "xdp" or "tap"
  std::string interfaces[2];
  std::string namespaces[2];           // of the devices; empty = the caller's
  std::function<void()> ready;         // called once, when frames pass
};

// Forwards until the process ends. Returns failures of opening only: USAGE, PORT, PRIVILEGE, RESOURCE.
Status run_raw_forwarder(const RawForwarderOptions& options);

}  // namespace paste::bench
