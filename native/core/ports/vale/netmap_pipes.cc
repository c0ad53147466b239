// Pipes and monitors: ports that hang on another port.
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ports/vale/netmap_records.h"

namespace paste {

using namespace ports_protocol;

NetmapControl::Pipe::~Pipe() {
  for (const PortRings& end : ends)
    if (end.geometry.tx_rings != 0) region->give_back_rings(end);
  for (const int bell : bells)
    if (bell >= 0) close(bell);
}

// --- pipes -------------------------------------------------------------------------------------------------------------------

std::shared_ptr<ValeRegion> NetmapControl::region_of_pipes(const std::string& parent) const {
  for (const auto& [name, port] : ports_)
    if (port->pipe && port->pipe->parent == parent) return port->region;
  return nullptr;
}

// The first end that is opened makes both. Its region is the parent's, which need not be open.
bool NetmapControl::make_pipe(ControlCall& call, netmap::Register& reg, Grant* grant) {
  const std::string name = call.name();
  const size_t at = name.find_first_of("{}");
  const std::string parent = name.substr(0, at), id = name.substr(at + 1);
  const std::shared_ptr<Port> owner = port_of(parent);
  // A parent that is not there needs no switch either: netmap makes a persistent port of its name for as long as the pipe stands.
  const bool named = owner || check_vale_name(parent).ok() || (!parent.starts_with("vale") && check_vale_name("vale:" + parent).ok());
  if (!check_vale_name("vale:" + id).ok() || !named)
    return call.refuse(EINVAL, Code::kUsage, "a pipe is called vale0:a{ID (one end) and vale0:a}ID (the other)"), false;
  if (owner && owner->uid != call.client.uid && call.client.uid != 0)
    return call.refuse(EPERM, Code::kPrivilege, parent + " is another user's port"), false;
  RegionGeometry geometry = netmap_geometry(reg, call.request.buffer_bytes);
  if (owner && reg.nr_tx_slots == 0) geometry.tx_slots = owner->rings.geometry.tx_slots;
  if (owner && reg.nr_rx_slots == 0) geometry.rx_slots = owner->rings.geometry.rx_slots;
  if (Status status = check_geometry(geometry); !status.ok()) return call.refuse(status), false;
  grant->region = owner ? owner->region : region_of_pipes(parent);
  if (grant->region && call.offered >= 0 && grant->region->is_same(call.offered)) call.reply.flags |= kAdopted;
  if (!grant->region && !region_for(call, reg.nr_mem_id, geometry, reg.nr_extra_bufs, &grant->region)) return false;

  auto pipe = std::make_shared<Pipe>();
  pipe->parent = parent;
  pipe->region = grant->region;
  for (PortRings& end : pipe->ends) end.geometry.tx_rings = 0;
  const uint32_t mine = name[at] == '{' ? 0 : 1;
  if (!take_rings(call, reg, geometry, grant)) return false;
  pipe->ends[mine] = grant->rings;
  // The other end sends what this one receives; in adopted memory it lies where this end's rings say.
  geometry = {geometry.rx_rings, geometry.tx_rings, geometry.rx_slots, geometry.tx_slots, grant->rings.geometry.buffer_bytes};
  if (Status status = grant->region->take_rings(geometry, grant->peer_before, &pipe->ends[1 - mine]); !status.ok()) {
    pipe->ends[1 - mine].geometry.tx_rings = 0;
    return call.refuse(status), false;
  }
  for (uint32_t i = 0; i < geometry.rx_rings; i++) grant->region->link_rings(grant->rings.tx(i), pipe->ends[1 - mine].rx(i));
  for (uint32_t i = 0; i < geometry.tx_rings; i++) grant->region->link_rings(grant->rings.rx(i), pipe->ends[1 - mine].tx(i));
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pipe->bells) != 0)
    return call.refuse(ENOMEM, Code::kResource, std::string("the daemon has no descriptors left (") + std::strerror(errno) + ")"), false;
  grant->port = new_port(call, *grant);
  grant->port->pipe = std::move(pipe);
  grant->port->pipe_end = mine;
  return true;
}

// Registers both ends' names with the first; each later opening finds its own.
void NetmapControl::join_pipe(const Grant& grant) {
  const std::shared_ptr<Port>& port = grant.port;
  if (ports_.contains(port->name)) {
    for (uint32_t i = 0; i < port->rings.count(); i++)
      if (!is_held(*port)) port->region->renew_ring(port->rings.first_ring + i);
    return;
  }
  auto other = std::make_shared<Port>();
  const size_t at = port->name.find_first_of("{}");
  other->name = port->name;
  other->name[at] = port->name[at] == '{' ? '}' : '{';
  other->uid = port->uid;
  other->region = port->region;
  other->pipe = port->pipe;
  other->pipe_end = 1 - port->pipe_end;
  other->rings = port->pipe->ends[other->pipe_end];
  ports_[other->name] = other;
  ports_[port->name] = port;
}

// An end that goes leaves the other alive, and what lies in the rings; with the second the pipe goes.
void NetmapControl::leave_pipe(Port& port) {
  const std::shared_ptr<Pipe> pipe = port.pipe;
  for (const auto& [session, holding] : holdings_)
    if (holding->port && holding->port->pipe == pipe) return;
  std::erase_if(ports_, [&](const auto& entry) { return entry.second->pipe == pipe; });
}

// --- monitors ----------------------------------------------------------------------------------------------------------------

// A port of its own that only listens: receive rings, and copies on the switch's mirror mechanism. netmap's words are the
// monitored port's: what it transmits enters the switch.
bool NetmapControl::make_monitor(ControlCall& call, netmap::Register& reg, Grant* grant) {
  const std::string name = call.name();
  std::shared_ptr<Port> watched = port_of(name);
  const std::string full_name = watched && !watched->full_name.empty() ? watched->full_name : name;
  if (Status status = check_vale_name(full_name); !status.ok() || (watched && watched->full_name.empty()))
    return call.refuse(EOPNOTSUPP, Code::kUsage, name + ": ports on a switch can be monitored"), false;
  // A port that is not a client's (a device, say) belongs to the daemon's user.
  const int32_t owner = watched ? watched->uid : static_cast<int32_t>(geteuid());
  if (owner != call.client.uid && call.client.uid != 0)
    return call.refuse(EPERM, Code::kPrivilege, name + " is another user's port"), false;
  const RegionGeometry geometry = netmap_geometry(reg, call.request.buffer_bytes);
  if (Status status = check_geometry(geometry); !status.ok()) return call.refuse(status), false;
  if (!region_for(call, reg.nr_mem_id, geometry, reg.nr_extra_bufs, &grant->region) || !take_rings(call, reg, geometry, grant))
    return false;
  grant->mirror.ports = {full_name};
  grant->mirror.in = reg.nr_flags & netmap::kMonitorTx;
  grant->mirror.out = reg.nr_flags & netmap::kMonitorRx;
  reg.nr_flags |= netmap::kRxRingsOnly;
  grant->port = new_port(call, *grant);
  grant->port->name = grant->port->full_name = full_name + "/" + std::to_string(++monitors_);
  grant->made = std::make_unique<ValePort>(grant->port->name, grant->region, grant->rings, clock_, call.client.session, false);
  return true;
}

}  // namespace paste
