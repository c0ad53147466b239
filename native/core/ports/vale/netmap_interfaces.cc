// Requests about ports rather than for one: what there is, persistent ports, headers.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/ports/vale/netmap_records.h"

namespace paste {

using namespace ports_protocol;

namespace {

// "vale0:a" of "vale0:a{1", and of itself.
std::string parent_of(const std::string& name) { return name.substr(0, name.find_first_of("{}")); }

}  // namespace

// What a pipe's end would be like before it is there: its parent has the rings and the memory that it would get.
std::shared_ptr<NetmapControl::Port> NetmapControl::port_or_parent(const std::string& name) const {
  std::shared_ptr<Port> port = port_of(name);
  return port ? port : port_of(parent_of(name));
}

void NetmapControl::port_info(ControlCall& call) {
  auto info = call.body<netmap::PortInfo>();
  const std::string name = call.name();
  std::shared_ptr<ValeRegion> region;
  if (name.empty()) {
    region = region_of_id(info.nr_mem_id == 0 ? kGlobalRegion : info.nr_mem_id, call.client.uid);
    info.nr_memsize = region ? region->bytes() : info.nr_mem_id <= 1 ? RegionLayout(RegionPools::global()).bytes : 0;
    if (info.nr_memsize == 0) return call.refuse(ENXIO, Code::kUsage, "no memory region has this id");
    info.nr_mem_id = region ? region->id() : kGlobalRegion;
    return call.answer(info);
  }
  RegionGeometry geometry;
  if (const std::shared_ptr<Port> port = port_or_parent(name)) {
    geometry = port->rings.geometry;
    info.nr_memsize = port->region->bytes();
    info.nr_mem_id = port->region->id();
  } else {
    // As netmap, which makes the port for the question and lets it go again.
    if (Status status = check_vale_name(parent_of(name)); !status.ok())
      return call.refuse(name.starts_with("vale") ? EINVAL : ENXIO, Code::kUsage, status.message());
    geometry = netmap_geometry(info, 0);
    info.nr_memsize = RegionLayout(RegionPools::with_room(geometry, 0)).bytes;
  }
  tell_geometry(info, geometry);
  info.nr_host_tx_rings = info.nr_host_rx_rings = 0;
  call.answer(info);
}

void NetmapControl::pools_info(ControlCall& call) {
  const std::string name = call.name();
  if (name.empty()) return call.refuse(EINVAL, Code::kUsage, "whose pools? A name is needed");
  auto info = call.body<netmap::PoolsInfo>();
  RegionPools pools;
  if (const std::shared_ptr<Port> port = port_or_parent(name)) {
    pools = port->region->layout().pools;
    info.nr_mem_id = port->region->id();
  } else if (const std::shared_ptr<ValeRegion> region =
                 info.nr_mem_id == 0 ? nullptr : region_of_id(info.nr_mem_id, call.client.uid)) {
    pools = region->layout().pools;
  } else if (Status status = check_vale_name(parent_of(name)); !status.ok()) {
    return call.refuse(name.starts_with("vale") ? EINVAL : ENXIO, Code::kUsage, status.message());
  } else {
    pools = RegionPools::with_room({}, 0);
  }
  const RegionLayout layout(pools);
  info.nr_memsize = layout.bytes;
  info.nr_if_pool_offset = 0;
  info.nr_if_pool_objtotal = pools.interfaces;
  info.nr_if_pool_objsize = RegionLayout::kInterfaceBytes;
  info.nr_ring_pool_offset = layout.rings;
  info.nr_ring_pool_objtotal = pools.rings;
  info.nr_ring_pool_objsize = pools.ring_bytes;
  info.nr_buf_pool_offset = layout.buffers;
  info.nr_buf_pool_objtotal = pools.buffers;
  info.nr_buf_pool_objsize = pools.buffer_bytes;
  call.answer(info);
}

void NetmapControl::port_header(ControlCall& call) {
  auto header = call.body<netmap::PortHdr>();
  const bool set = call.request.reqtype == netmap::kPortHdrSet;
  if (set && header.nr_hdr_len != 0 && header.nr_hdr_len != 10 && header.nr_hdr_len != 12)
    return call.refuse(EINVAL, Code::kUsage, "a virtio-net header has 0, 10 or 12 bytes");
  const std::shared_ptr<Port> port = port_of(call.name());
  if (!port || port->pipe) return call.refuse(ENXIO, Code::kUsage, "no such vale port");
  if (!set) {
    header.nr_hdr_len = port->header_bytes;
    return call.answer(header);
  }
  if (port->uid != call.client.uid && call.client.uid != 0) return call.refuse(EPERM, Code::kPrivilege, "it is another user's port");
  port->header_bytes = header.nr_hdr_len;
  if (!port->full_name.empty())
    host_.on_change(port->full_name, port->session, [&](ValePort& vale) { vale.set_header_bytes(header.nr_hdr_len); });
  call.answer(header);
}

// --- persistent ports --------------------------------------------------------------------------------------------------------

void NetmapControl::new_interface(ControlCall& call) {
  auto wanted = call.body<netmap::ValeNewIf>();
  const std::string name = call.name();
  // An interface's name, which "vale" does not begin.
  if (name.starts_with("vale") || !check_vale_name("vale:" + name).ok())
    return call.refuse(EINVAL, Code::kUsage, "a persistent port's name has 1 to 15 letters, digits and _, and does not begin with vale");
  if (ports_.contains(name)) return call.refuse(EEXIST, Code::kPort, name + " is there already");
  const uint64_t count = std::count_if(ports_.begin(), ports_.end(), [](const auto& p) { return p.second->persistent; });
  if (count >= kPersistentMax) return call.refuse(ENOMEM, Code::kResource, "there is no room for another persistent port");
  auto port = std::make_shared<Port>();
  RegionGeometry geometry = netmap_geometry(wanted, call.request.buffer_bytes);
  if (!region_for(call, wanted.nr_mem_id, geometry, 0, &port->region)) return;
  geometry.buffer_bytes = port->region->layout().pools.buffer_bytes;
  if (Status status = port->region->take_rings(geometry, ValeRegion::kAnywhere, &port->rings); !status.ok())
    return call.refuse(status);
  port->name = name;
  port->uid = call.client.uid;
  port->persistent = true;
  ports_[name] = std::move(port);
  tell_geometry(wanted, geometry);
  call.answer(wanted);
}

void NetmapControl::delete_interface(ControlCall& call) {
  const auto it = ports_.find(call.name());
  if (it == ports_.end()) return call.refuse(ENXIO, Code::kUsage, "no such port");
  Port& port = *it->second;
  if (!port.persistent) return call.refuse(EINVAL, Code::kUsage, port.name + " is no persistent port");
  if (port.uid != call.client.uid && call.client.uid != 0) return call.refuse(EPERM, Code::kPrivilege, "it is another user's port");
  if (is_held(port) || !port.full_name.empty()) return call.refuse(EBUSY, Code::kPort, port.name + " is in use");
  port.region->give_back_rings(port.rings);
  ports_.erase(it);
}

bool NetmapControl::is_held(const Port& port) const {
  return std::any_of(holdings_.begin(), holdings_.end(), [&](const auto& h) { return h.second->port.get() == &port; });
}

void NetmapControl::attach_interface(ControlCall& call) {
  auto body = call.body<netmap::ValeAttach>();
  const std::string name = call.name();
  if (Status status = check_vale_name(name); !status.ok()) return call.refuse(EINVAL, Code::kUsage, status.message());
  const auto it = ports_.find(name.substr(name.find(':') + 1));
  if (it == ports_.end())
    return call.refuse(port_of(name) ? EBUSY : ENXIO, Code::kPort, "no persistent port is called so");
  Port& port = *it->second;
  if (port.uid != call.client.uid && call.client.uid != 0) return call.refuse(EPERM, Code::kPrivilege, "it is another user's port");
  still_there(port);
  if (!port.full_name.empty()) return call.refuse(EBUSY, Code::kPort, port.name + " is on a switch already: " + port.full_name);
  const int bells = make_bells(call);
  if (bells < 0) return;
  port.session = call.client.session | ++attached_ << 32;  // no connection's, and never the same again
  auto vale = std::make_unique<ValePort>(name, port.region, port.rings, clock_, port.session, true);
  vale->give_bells(bells);
  vale->set_header_bytes(port.header_bytes);
  if (Status status = host_.on_attach(std::move(vale), {}); !status.ok()) return call.refuse(status);
  port.full_name = name;
  host_.on_change(name, port.session, [&](ValePort& attached) {
    for (auto& attachment : port.waiting) attached.add_attachment(std::move(attachment), false);
    port.waiting.clear();
  });
  tell_geometry(body.reg, port.rings.geometry);
  body.reg.nr_mem_id = port.region->id();
  body.port_index = 0;
  call.answer(body);
}

void NetmapControl::detach_interface(ControlCall& call) {
  const std::shared_ptr<Port> port = port_of(call.name());
  if (!port || !port->persistent || port->full_name != call.name())
    return call.refuse(ENXIO, Code::kUsage, "no persistent port is on a switch by this name");
  if (port->uid != call.client.uid && call.client.uid != 0) return call.refuse(EPERM, Code::kPrivilege, "it is another user's port");
  host_.on_change(port->full_name, port->session, [&](ValePort& vale) {
    for (const auto& [session, holding] : holdings_)
      if (holding->port == port)
        while (auto attachment = vale.remove_attachment(session)) port->waiting.push_back(std::move(attachment));
  });
  host_.on_gone(port->full_name, port->session);
  port->full_name.clear();
  call.answer(netmap::ValeDetach{});
}

// The vale ports of this daemon in the order of their names; a switch's number is its place in the order of switches.
void NetmapControl::list_ports(ControlCall& call) {
  auto list = call.body<netmap::ValeList>();
  std::vector<std::string> names;
  for (const auto& [key, port] : ports_)
    if (!port->full_name.empty()) names.push_back(port->full_name);
  std::sort(names.begin(), names.end());
  uint32_t bridge = 0, index = 0;
  std::string home;
  for (const std::string& name : names) {
    const std::string its_home = name.substr(0, name.find(':'));
    if (!home.empty() && its_home != home) bridge++, index = 0;
    home = its_home;
    const bool wanted = call.request.name[0] != 0 ? name == call.name()
                                                  : bridge > list.nr_bridge_idx || (bridge == list.nr_bridge_idx && index >= list.nr_port_idx);
    if (wanted) {
      list.nr_bridge_idx = static_cast<uint16_t>(bridge);
      list.nr_port_idx = index;
      std::strncpy(call.reply.name, name.c_str(), sizeof call.reply.name - 1);
      return call.answer(list);
    }
    index++;
  }
  call.refuse(ENOENT, Code::kUsage, "no such port");
}

}  // namespace paste
