// The broker: a small process that keeps the few capabilities which the daemon gave up, and opens devices for it.
#pragma once

#include <string>
#include <vector>

#include "core/devices/devices.h"

namespace paste {

// Which devices the daemon may have: globs (* and ?) over "tap:NAME", "xdp:INTERFACE", "netmap:*" (all or nothing: the broker
// cannot see which interface is registered through /dev/netmap), and "netns:NAME" for any of them in another namespace.
class AllowList {
 public:
  explicit AllowList(std::vector<std::string> globs) : globs_(std::move(globs)) {}
  bool allows(const std::string& device) const;
  // Whether devices in other network namespaces can be allowed at all.
  bool any_netns() const;

 private:
  std::vector<std::string> globs_;
};

// Answers requests that come in at `socket`, one at a time, until the other end is gone.
void serve_devices(int socket, Devices& devices, const AllowList& allowed);

}  // namespace paste
