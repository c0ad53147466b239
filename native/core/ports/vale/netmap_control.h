// What the kernel module does behind NIOCCTRL, for vale ports in user space: names, modes, attachments, memory regions, persistent
// ports. Answers requests of ports.sock with netmap's semantics and errno. On the ports server's thread only.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/ports/vale/ports_protocol.h"
#include "core/ports/vale/ports_server.h"

namespace paste {

// One request and what becomes of it. Descriptors in `give` are the holder's to close.
struct ControlCall {
  ControlCall() = default;
  ~ControlCall();
  ControlCall(const ControlCall&) = delete;
  ControlCall& operator=(const ControlCall&) = delete;

  ports_protocol::Request request = {};
  ClientIdentity client;
  int offered = -1;                 // memory of an earlier life; closed unless taken
  ports_protocol::Reply reply = {};
  int give[2] = {-1, -1};           // memory (-1 when adopted), doorbell

  std::string name() const { return request.name; }
  template <typename Body>
  Body body() const {
    static_assert(sizeof(Body) <= ports_protocol::kBodyBytes);
    Body body;
    std::memcpy(&body, request.body, sizeof body);
    return body;
  }
  template <typename Body>
  void answer(const Body& body) {
    std::memcpy(reply.body, &body, sizeof body);
  }
  // An errno of netmap's, and why for people.
  void refuse(int error, Code code, const std::string& why);
  void refuse(const Status& status);
};

class NetmapControl {
 public:
  NetmapControl(const PortsServerOptions& options, const Clock& clock, PortsHost& host);
  ~NetmapControl();

  // Checks and serves one request; the reply is complete but for its header.
  void serve(ControlCall& call);
  // The connection of this session ended.
  void leave(uint64_t session);
  // The connection that the bearer of this call's token takes the place of; 0 = none.
  uint64_t predecessor(const ControlCall& call) const;
  // Connections attached to the port of this session.
  std::vector<uint64_t> sessions_of(uint64_t port_session) const;

 private:
  struct Pipe;
  struct Port;
  struct Holding;
  struct Grant;

  void register_port(ControlCall& call);
  void attachment_again(ControlCall& call);
  void port_info(ControlCall& call);
  void pools_info(ControlCall& call);
  void port_header(ControlCall& call);
  void new_interface(ControlCall& call);
  void delete_interface(ControlCall& call);
  void attach_interface(ControlCall& call);
  void detach_interface(ControlCall& call);
  void list_ports(ControlCall& call);

  void register_null(ControlCall& call, netmap::Register& reg);
  bool find_port(ControlCall& call, netmap::Register& reg, Grant* grant);
  bool make_port(ControlCall& call, netmap::Register& reg, Grant* grant);
  bool take_rings(ControlCall& call, const netmap::Register& reg, RegionGeometry geometry, Grant* grant);
  std::shared_ptr<Port> new_port(const ControlCall& call, const Grant& grant) const;
  bool make_monitor(ControlCall& call, netmap::Register& reg, Grant* grant);
  bool make_pipe(ControlCall& call, netmap::Register& reg, Grant* grant);
  void join_pipe(const Grant& grant);
  void leave_pipe(Port& port);
  std::shared_ptr<ValeRegion> region_of_pipes(const std::string& parent) const;
  bool rings_are_free(const Port& port, const BoundRings& wanted, bool exclusive) const;
  bool make_doorbell(ControlCall& call, Grant* grant);
  bool make_interface(ControlCall& call, netmap::Register& reg, Grant* grant);
  bool join(ControlCall& call, Grant& grant);
  int make_bells(ControlCall& call);
  bool still_there(Port& port);
  void hand_over(ControlCall& call, netmap::Register& reg, Grant grant);
  void leave_port(Port& port, uint64_t session);
  bool is_held(const Port& port) const;
  std::shared_ptr<Port> port_of(const std::string& name) const;
  std::shared_ptr<Port> port_or_parent(const std::string& name) const;

  bool region_before(ControlCall& call, uint16_t id, std::shared_ptr<ValeRegion>* region);
  void share(ValeRegion& region);
  bool region_for(ControlCall& call, uint16_t id, const RegionGeometry& geometry, uint32_t extra,
                  std::shared_ptr<ValeRegion>* region);
  bool make_region(ControlCall& call, const RegionPools& pools, uint16_t id, std::shared_ptr<ValeRegion>* region);
  Status may_have(int32_t uid, uint64_t bytes) const;
  std::shared_ptr<ValeRegion> region_of_id(uint16_t id, int32_t uid) const;
  uint16_t free_region_id();
  void keep_region(const std::shared_ptr<ValeRegion>& region, uint16_t id, int32_t uid);
  void forget_regions();
  uint64_t bytes_of(int32_t uid) const;

  const PortsServerOptions& options_;
  const Clock& clock_;
  PortsHost& host_;
  uint16_t last_region_ = 1;
  uint64_t attached_ = 0;      // persistent ports, so far
  uint64_t monitors_ = 0;      // so far
  struct Region {
    std::weak_ptr<ValeRegion> region;
    std::shared_ptr<LentMemory> file;   // its pages are there for as long as this is held, which may be longer
    uint16_t id;
    int32_t uid;
    uint64_t bytes;
  };
  std::vector<Region> regions_;
  std::map<std::string, std::shared_ptr<Port>> ports_;       // by the name they are opened by: "vale0:a", "v0"
  std::map<uint64_t, std::unique_ptr<Holding>> holdings_;    // what a connection registered, by session
};

}  // namespace paste
