#include "core/ports/vale/netmap_control.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ports/vale/netmap_records.h"

namespace paste {

using namespace ports_protocol;

namespace {

constexpr uint8_t kNoToken[kTokenBytes] = {};
constexpr uint32_t kExtraMax = 128 * 4096;  // as netmap

int errno_of(Code code) {
  switch (code) {
    case Code::kOk: return 0;
    case Code::kUsage: return EINVAL;
    case Code::kPort: return EBUSY;
    case Code::kPrivilege: return EPERM;
    case Code::kResource: return ENOMEM;
    default: return EIO;
  }
}

// Which rings a mode names. False: none such.
bool rings_of(const netmap::Register& reg, const RegionGeometry& g, BoundRings* bound) {
  *bound = BoundRings::all(g);
  if (reg.nr_mode == netmap::kOneNic) {
    if (reg.nr_ringid >= g.tx_rings && reg.nr_ringid >= g.rx_rings) return false;
    // As netmap: a direction that has no ring of this number gives its first.
    *bound = {reg.nr_ringid < g.tx_rings ? reg.nr_ringid : 0u, 1, reg.nr_ringid < g.rx_rings ? reg.nr_ringid : 0u, 1};
  }
  if (reg.nr_flags & netmap::kRxRingsOnly) bound->tx_count = 0;
  if (reg.nr_flags & netmap::kTxRingsOnly) bound->rx_count = 0;
  return true;
}

bool overlap(uint32_t first, uint32_t count, uint32_t other, uint32_t other_count) {
  return first < other + other_count && other < first + count;
}

bool too_many(ControlCall& call, const std::string& port) {
  call.refuse(ENOMEM, Code::kResource, port + " has " + std::to_string(ValePort::kAttachmentsMax) + " programs, no more are possible");
  return false;
}

bool no_descriptors(ControlCall& call) {
  call.refuse(ENOMEM, Code::kResource, std::string("the daemon has no descriptors left (") + std::strerror(errno) + ")");
  return false;
}

}  // namespace

ControlCall::~ControlCall() {
  for (const int fd : {offered, give[0], give[1]})
    if (fd >= 0) close(fd);
}

void ControlCall::refuse(int error, Code code, const std::string& why) {
  reply.error = static_cast<uint32_t>(error);
  reply.code = static_cast<uint32_t>(code);
  std::strncpy(reply.text, why.c_str(), sizeof reply.text - 1);
}

void ControlCall::refuse(const Status& status) { refuse(errno_of(status.code()), status.code(), status.message()); }

NetmapControl::NetmapControl(const PortsServerOptions& options, const Clock& clock, PortsHost& host)
    : options_(options), clock_(clock), host_(host) {}
NetmapControl::~NetmapControl() = default;

void NetmapControl::serve(ControlCall& call) {
  std::memcpy(call.reply.name, call.request.name, sizeof call.reply.name);
  std::memcpy(call.reply.body, call.request.body, sizeof call.reply.body);
  if (call.request.api < netmap::kApiMin || call.request.api > netmap::kApiMax)
    return call.refuse(EINVAL, Code::kUsage, "netmap API " + std::to_string(call.request.api) + ": 14 and 15 are spoken here");
  switch (call.request.reqtype) {
    case netmap::kRegister: return register_port(call);
    case kAttachmentGet: return attachment_again(call);
    case netmap::kPortInfoGet: return port_info(call);
    case netmap::kPoolsInfoGet: return pools_info(call);
    case netmap::kPortHdrSet:
    case netmap::kPortHdrGet: return port_header(call);
    case netmap::kValeNewIf: return new_interface(call);
    case netmap::kValeDelIf: return delete_interface(call);
    case netmap::kValeAttach: return attach_interface(call);
    case netmap::kValeDetach: return detach_interface(call);
    case netmap::kValeList: return list_ports(call);
    case netmap::kPollingEnable:
    case netmap::kPollingDisable:
    case netmap::kSyncKloopStart:
    case netmap::kSyncKloopStop:
    case netmap::kCsbEnable:
      return call.refuse(EOPNOTSUPP, Code::kUsage, "this request of netmap's is not served in user space");
    default: return call.refuse(EINVAL, Code::kUsage, "no request of netmap's");
  }
}

// --- register ----------------------------------------------------------------------------------------------------------------

void NetmapControl::register_port(ControlCall& call) {
  auto reg = call.body<netmap::Register>();
  if (holdings_.contains(call.client.session)) return call.refuse(EBUSY, Code::kUsage, "this connection registered a port already");
  switch (reg.nr_mode) {
    case netmap::kAllNic:
    case netmap::kOneNic:
    case netmap::kNull: break;
    default: return call.refuse(EINVAL, Code::kUsage, "a vale port has no host rings, and no such mode");
  }
  if (reg.nr_flags & netmap::kZcopyMonitor)
    return call.refuse(EOPNOTSUPP, Code::kUsage, "of monitors, those that copy are served in user space");
  reg.nr_extra_bufs = std::min(reg.nr_extra_bufs, kExtraMax);
  if (reg.nr_mode == netmap::kNull) return register_null(call, reg);
  Grant grant;
  if (!find_port(call, reg, &grant)) return;
  Port& port = *grant.port;
  if (!rings_of(reg, port.rings.geometry, &grant.bound)) return call.refuse(EINVAL, Code::kUsage, "the port has no ring of this number");
  if (port.header_bytes != 0 && !(reg.nr_flags & netmap::kAcceptVnetHdr))
    return call.refuse(EIO, Code::kUsage, port.name + " has virtio-net headers, which the client does not accept");
  if (!rings_are_free(port, grant.bound, reg.nr_flags & netmap::kExclusive))
    return call.refuse(EBUSY, Code::kPort, port.name + " is in use");
  if (!make_interface(call, reg, &grant)) return;
  if (!join(call, grant)) {
    grant.region->give_back_extra(grant.interface);
    grant.region->give_back_interface(grant.interface);
    return;
  }
  hand_over(call, reg, std::move(grant));
}

// netmap's null ports: memory and extra buffers, no rings, no switch. They need a memory id.
void NetmapControl::register_null(ControlCall& call, netmap::Register& reg) {
  if (reg.nr_mem_id == 0) return call.refuse(EINVAL, Code::kUsage, "a port without rings needs a memory id");
  Grant grant;
  const RegionGeometry geometry = netmap_geometry(reg, call.request.buffer_bytes);
  if (!region_for(call, reg.nr_mem_id, geometry, 0, &grant.region)) return;
  grant.rings.geometry = geometry;
  if (!make_interface(call, reg, &grant)) return;
  hand_over(call, reg, std::move(grant));
}

// The port of this name, or a new one.
bool NetmapControl::find_port(ControlCall& call, netmap::Register& reg, Grant* grant) {
  const std::string name = call.name();
  if (reg.nr_flags & (netmap::kMonitorRx | netmap::kMonitorTx)) return make_monitor(call, reg, grant);
  std::shared_ptr<Port> port = port_of(name);
  if (port && !still_there(*port) && !port->persistent) {
    ports_.erase(port->name);
    port = nullptr;
  }
  if (port) {
    if (port->uid != call.client.uid && call.client.uid != 0)
      return call.refuse(EBUSY, Code::kPort, name + " is in use"), false;
    if (reg.nr_mem_id != 0 && reg.nr_mem_id != port->region->id() && !(call.request.flags & kOffersMemory))
      return call.refuse(EINVAL, Code::kUsage, name + " has its memory in another region"), false;
    if (call.offered >= 0 && port->region->is_same(call.offered)) call.reply.flags |= kAdopted;
    grant->port = std::move(port);
    grant->region = grant->port->region;
    grant->rings = grant->port->rings;
    return true;
  }
  if (name.find_first_of("{}") != std::string::npos) return make_pipe(call, reg, grant);
  if (Status status = check_vale_name(name); !status.ok()) {
    const bool vale = name.starts_with("vale");
    return call.refuse(vale ? EINVAL : ENXIO, Code::kUsage, status.message()), false;
  }
  return make_port(call, reg, grant);
}

// Pipes of a port that is not open have its region already.
bool NetmapControl::make_port(ControlCall& call, netmap::Register& reg, Grant* grant) {
  RegionGeometry geometry = netmap_geometry(reg, call.request.buffer_bytes);
  if (Status status = check_geometry(geometry); !status.ok()) return call.refuse(status), false;
  if (reg.nr_mem_id == 0) grant->region = region_of_pipes(call.name());
  if (!grant->region && !region_for(call, reg.nr_mem_id, geometry, reg.nr_extra_bufs, &grant->region)) return false;
  if (!take_rings(call, reg, geometry, grant)) return false;
  grant->port = new_port(call, *grant);
  grant->port->full_name = call.name();
  // From here on it gives the rings back when it goes.
  grant->made = std::make_unique<ValePort>(call.name(), grant->region, grant->rings, clock_, call.client.session, false);
  return true;
}

// Fresh ones, or in adopted memory those that the interface of the earlier life named.
bool NetmapControl::take_rings(ControlCall& call, const netmap::Register& reg, RegionGeometry geometry, Grant* grant) {
  geometry.buffer_bytes = grant->region->layout().pools.buffer_bytes;
  const uint64_t before = call.request.flags & kOffersMemory ? reg.nr_offset : ~0ull;
  const uint32_t place = grant->region->place_before(before, geometry);
  if (place != ValeRegion::kAnywhere) grant->peer_before = grant->region->peer_before(place, geometry);
  if (Status status = grant->region->take_rings(geometry, place, &grant->rings); !status.ok())
    return call.refuse(status), false;
  return true;
}

std::shared_ptr<NetmapControl::Port> NetmapControl::new_port(const ControlCall& call, const Grant& grant) const {
  auto port = std::make_shared<Port>();
  port->name = call.name();
  port->session = call.client.session;
  port->uid = call.client.uid;
  port->region = grant.region;
  port->rings = grant.rings;
  return port;
}

bool NetmapControl::rings_are_free(const Port& port, const BoundRings& wanted, bool exclusive) const {
  for (const auto& [session, holding] : holdings_) {
    if (holding->port.get() != &port || !(exclusive || holding->exclusive)) continue;
    const BoundRings& bound = holding->bound;
    if (overlap(bound.tx_first, bound.tx_count, wanted.tx_first, wanted.tx_count) ||
        overlap(bound.rx_first, bound.rx_count, wanted.rx_first, wanted.rx_count))
      return false;
  }
  return true;
}

// The client's end of its doorbell; a pipe's is there, and leads to the other end.
bool NetmapControl::make_doorbell(ControlCall& call, Grant* grant) {
  if (grant->port && grant->port->pipe) {
    call.give[1] = fcntl(grant->port->pipe->bells[grant->port->pipe_end], F_DUPFD_CLOEXEC, 0);
    return call.give[1] >= 0 || no_descriptors(call);
  }
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return no_descriptors(call);
  grant->doorbell = std::make_unique<ValeAttachment>(call.client, pair[0], grant->bound);
  call.give[1] = pair[1];
  return true;
}

// The interface, extra buffers and the two descriptors.
bool NetmapControl::make_interface(ControlCall& call, netmap::Register& reg, Grant* grant) {
  const uint64_t before = call.request.flags & kOffersMemory ? reg.nr_offset : ~0ull;
  if (!make_doorbell(call, grant)) return false;
  const bool adopted = call.reply.flags & kAdopted;
  if (!adopted && (call.give[0] = grant->region->file()->lend(O_RDWR)) < 0) return no_descriptors(call);
  if (Status status = grant->region->take_interface(call.name(), grant->rings, grant->bound, before, &grant->interface);
      !status.ok())
    return call.refuse(status), false;
  if (reg.nr_extra_bufs != 0)
    reg.nr_extra_bufs = grant->region->take_extra(grant->interface, reg.nr_extra_bufs, adopted && grant->interface == before);
  return true;
}

// To the switch, when the port is on one. The port may have gone there meanwhile: an operator detached it.
bool NetmapControl::join(ControlCall& call, Grant& grant) {
  if (grant.port->pipe) return join_pipe(grant), true;
  if (grant.made) {
    grant.made->add_attachment(std::move(grant.doorbell));
    if (Status status = host_.on_attach(std::move(grant.made), grant.mirror); !status.ok()) return call.refuse(status), false;
    ports_[grant.port->name] = grant.port;
    return true;
  }
  if (grant.port->full_name.empty()) {
    if (grant.port->waiting.size() == ValePort::kAttachmentsMax) return too_many(call, grant.port->name);
    grant.port->waiting.push_back(std::move(grant.doorbell));
    return true;
  }
  const int bells = make_bells(call);
  if (bells < 0) return false;
  bool added = false;
  std::vector<std::unique_ptr<ValeAttachment>> broken;
  const auto add = [&](ValePort& port) {
    while (auto attachment = port.remove_broken()) broken.push_back(std::move(attachment));
    added = port.attachments() < ValePort::kAttachmentsMax;
    if (!added) return;
    port.give_bells(bells);
    port.add_attachment(std::move(grant.doorbell));
  };
  const bool there = host_.on_change(grant.port->full_name, grant.port->session, add);
  if (added) return true;
  close(bells);
  if (there) return too_many(call, grant.port->name);
  call.refuse(EBUSY, Code::kPort, grant.port->name + " is just being detached");
  return false;
}

int NetmapControl::make_bells(ControlCall& call) {
  const int bells = epoll_create1(EPOLL_CLOEXEC);
  if (bells < 0)
    call.refuse(ENOMEM, Code::kResource, std::string("the daemon has no descriptors left (") + std::strerror(errno) + ")");
  return bells;
}

// An operator, or a broken doorbell, may have taken a port off its switch without a request.
bool NetmapControl::still_there(Port& port) {
  if (port.full_name.empty() || host_.on_change(port.full_name, port.session, [](ValePort&) {})) return true;
  if (port.persistent) port.full_name.clear();
  return false;
}

void NetmapControl::hand_over(ControlCall& call, netmap::Register& reg, Grant grant) {
  auto holding = std::make_unique<Holding>();
  holding->port = std::move(grant.port);
  holding->region = std::move(grant.region);
  holding->interface = grant.interface;
  holding->bound = grant.bound;
  holding->exclusive = reg.nr_flags & netmap::kExclusive;
  holding->null_doorbell = holding->port ? nullptr : std::move(grant.doorbell);
  const bool adopted = call.reply.flags & kAdopted;
  if (adopted && std::memcmp(call.request.token, kNoToken, kTokenBytes) != 0)
    std::memcpy(holding->token, call.request.token, kTokenBytes);
  else
    PASTE_CHECK(getrandom(holding->token, kTokenBytes, 0) == static_cast<ssize_t>(kTokenBytes));
  std::memcpy(call.reply.token, holding->token, kTokenBytes);
  tell_geometry(reg, grant.rings.geometry);
  reg.nr_host_tx_rings = reg.nr_host_rx_rings = 0;
  reg.nr_offset = holding->interface;
  reg.nr_memsize = call.reply.memory_bytes = holding->region->bytes();
  reg.nr_mem_id = holding->region->id();
  call.answer(reg);
  holding->answer = reg;
  holdings_[call.client.session] = std::move(holding);
}

// Another attachment of the same session: the process that asks may outlive the one that registered.
void NetmapControl::attachment_again(ControlCall& call) {
  const auto found = holdings_.find(call.client.session);
  if (found == holdings_.end() || !found->second->port)
    return call.refuse(ENXIO, Code::kUsage, "this connection has no port");
  Holding& holding = *found->second;
  Grant grant;
  grant.port = holding.port;
  grant.bound = holding.bound;
  if (!make_doorbell(call, &grant)) return;
  if ((call.give[0] = holding.region->file()->lend(O_RDWR)) < 0) return void(no_descriptors(call));
  if (!holding.port->pipe && !join(call, grant)) return;
  std::strncpy(call.reply.name, holding.port->name.c_str(), sizeof call.reply.name - 1);
  std::memcpy(call.reply.token, holding.token, kTokenBytes);
  call.reply.memory_bytes = holding.region->bytes();
  call.answer(holding.answer);
}

void NetmapControl::leave(uint64_t session) {
  const auto found = holdings_.find(session);
  if (found == holdings_.end()) return;
  const std::unique_ptr<Holding> holding = std::move(found->second);
  holdings_.erase(found);
  if (holding->port) leave_port(*holding->port, session);
  holding->region->give_back_extra(holding->interface);
  holding->region->give_back_interface(holding->interface);
}

void NetmapControl::leave_port(Port& port, uint64_t session) {
  if (port.pipe) return leave_pipe(port);
  const bool last = std::none_of(holdings_.begin(), holdings_.end(), [&](const auto& h) { return h.second->port.get() == &port; });
  std::erase_if(port.waiting, [session](const auto& attachment) { return attachment->client.session == session; });
  if (port.persistent || !last) {
    std::vector<std::unique_ptr<ValeAttachment>> left;
    const auto remove = [&](ValePort& vale) {
      while (auto attachment = vale.remove_attachment(session)) left.push_back(std::move(attachment));
    };
    if (!port.full_name.empty()) host_.on_change(port.full_name, port.session, remove);
    return;
  }
  host_.on_gone(port.full_name, port.session);
  if (const auto it = ports_.find(port.name); it != ports_.end() && it->second.get() == &port) ports_.erase(it);
}

uint64_t NetmapControl::predecessor(const ControlCall& call) const {
  if (call.request.reqtype != netmap::kRegister || std::memcmp(call.request.token, kNoToken, kTokenBytes) == 0) return 0;
  for (const auto& [session, holding] : holdings_)
    if (std::memcmp(holding->token, call.request.token, kTokenBytes) == 0 && session != call.client.session) return session;
  return 0;
}

std::vector<uint64_t> NetmapControl::sessions_of(uint64_t port_session) const {
  std::vector<uint64_t> sessions;
  for (const auto& [session, holding] : holdings_)
    if (holding->port && holding->port->session == port_session) sessions.push_back(session);
  return sessions;
}

std::shared_ptr<NetmapControl::Port> NetmapControl::port_of(const std::string& name) const {
  if (const auto it = ports_.find(name); it != ports_.end()) return it->second;
  for (const auto& [key, port] : ports_)
    if (port->full_name == name) return port;
  return nullptr;
}

}  // namespace paste
