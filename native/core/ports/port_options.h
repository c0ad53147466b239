// What a port is told when it is attached, whatever its kind: its VLANs, and whether it listens to others.
#pragma once

#include <string>
#include <vector>

#include "core/ports/vlan.h"

namespace paste {

inline constexpr uint32_t kMirrorsMax = 64;  // mirror ports of an engine

// A mirror port (SPAN) gets copies of other ports' traffic and is no destination otherwise: nothing floods to it, nothing is learned
// behind it, what it sends is dropped. A frame gives one copy to each mirror port, however many of its ports saw it, with the
// bytes as they were received: a tag that the egress port removes or adds does not show.
struct MirrorOptions {
  std::vector<std::string> ports;  // of its own switch: names, or globs as a rule's; empty = no mirror port
  bool in = true;                  // frames that those ports gave, those that were dropped then, too
  bool out = true;                 // frames that one of those ports had room for

  bool listens() const { return !ports.empty(); }
};

struct PortOptions {
  VlanConfig vlan;
  MirrorOptions mirror;
};

// Says what is wrong: a VLAN id that is none, a mirror port with VLANs, of another switch's ports, or without a direction.
Status check_port_options(const std::string& port, const PortOptions& options);

}  // namespace paste
