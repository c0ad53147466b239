// Kinds of ports on devices: how each is written, what makes it, and what must be there first.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/ports/port.h"
#include "core/ports/port_site.h"

namespace paste {

struct PortKind {
  const char* prefix;             // of a specification: "tap"
  layout::PortKind kind;
  bool makes_interface;           // its interface comes with the port, so nobody has to wait for it
  const char* name_ends;          // which characters end the interface's name in a specification
  // Opens the device and makes the port. System calls and milliseconds: never on a forwarding thread.
  Status (*create)(const std::string& name, const std::string& spec, const PortSite& site, std::unique_ptr<Port>* port);
};

// The kind of "tap:t0,queues=2"; null when there is none.
const PortKind* port_kind_of(const std::string& spec);
// "tap:, xdp:", for messages.
std::string port_kind_names();

struct PortInterface {
  std::string name, netns;
  // "eth0", "blue/eth0" in a network namespace; empty without an interface.
  std::string text() const { return netns.empty() ? name : netns + "/" + name; }
};
// What "xdp:eth0@1,netns=blue" stands on. A port of the kernel's own VALE ("netmap:vale0:x") has none.
PortInterface interface_of(const PortKind& kind, const std::string& spec);

}  // namespace paste
