// A switch as one forwarding thread sees it: where frames of a VLAN may go, and who listens to which port. Never changed: the
// control thread makes new views when ports come or go.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/ports/port_options.h"
#include "core/switch/mac_table.h"
#include "core/switch/rule_set.h"

namespace paste {

// Ports that frames may leave by.
struct Members {
  struct Elsewhere { uint16_t thread, sinks; };
  std::vector<uint16_t> sinks;        // indexes of this thread's ports that take frames
  PortBits sink_bits;                 // of all threads
  std::vector<Elsewhere> elsewhere;   // threads with ports that take frames
};

struct SwitchView : Members {  // those of every VLAN
  MacTable* table = nullptr;
  uint32_t index = 0;

  // Some port has VLANs of its own: frames are classified, and leave by members of their VLAN only. VLANs with the same members share
  // them, so that a thousand VLANs of one trunk are one entry.
  bool vlan_aware = false;
  std::vector<uint16_t> members_of;   // by VLAN id, into vlan_members
  std::vector<Members> vlan_members;
  const Members& members(uint16_t vlan) const { return vlan_aware ? vlan_members[members_of[vlan]] : *this; }

  // Mirror ports that listen to a port of this thread, by its index: a bit for each (its index among all mirror ports). Empty: nobody
  // listens in this switch.
  struct Listeners { uint64_t in = 0, out = 0; };
  std::vector<Listeners> listeners;
};

// What a view has to know of a port.
struct ViewPort {
  const std::string* name;
  uint32_t number;                    // thread << 8 | index
  bool sink;
  const VlanConfig* vlan;
  const MirrorOptions* mirror;
  uint32_t mirror_index;              // when it listens
};

// One for each thread.
std::vector<std::unique_ptr<SwitchView>> make_switch_views(std::span<const ViewPort> ports, uint32_t threads, MacTable* table,
                                                           uint32_t index);

}  // namespace paste
