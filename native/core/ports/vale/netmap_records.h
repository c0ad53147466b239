// What netmap_control keeps of ports, and of what each connection registered.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/ports/vale/netmap_control.h"

namespace paste {

inline constexpr uint16_t kGlobalRegion = 1;      // netmap's memory id of it
inline constexpr uint32_t kPersistentMax = 256;

// netmap's clamping (nm_bound_var) of what a request asks for; 0 = the default.
template <typename Body>
RegionGeometry netmap_geometry(const Body& body, uint32_t buffer_bytes) {
  const auto bounded = [](uint32_t value, uint32_t otherwise, uint32_t least, uint32_t most) {
    return value == 0 ? otherwise : std::clamp(value, least, most);
  };
  return {bounded(body.nr_tx_rings, 1, 1, kRingsMax), bounded(body.nr_rx_rings, 1, 1, kRingsMax),
          bounded(body.nr_tx_slots, 1024, kRingSlotsMin, kRingSlotsMax),
          bounded(body.nr_rx_slots, 1024, kRingSlotsMin, kRingSlotsMax), buffer_bytes == 0 ? 2048 : buffer_bytes};
}

template <typename Body>
void tell_geometry(Body& body, const RegionGeometry& geometry) {
  body.nr_tx_rings = static_cast<uint16_t>(geometry.tx_rings);
  body.nr_rx_rings = static_cast<uint16_t>(geometry.rx_rings);
  body.nr_tx_slots = geometry.tx_slots;
  body.nr_rx_slots = geometry.rx_slots;
}

// Two ends in one region; the data goes between them without the daemon. Both doorbells stay open here, so that one end's closing
// does not reach the other.
struct NetmapControl::Pipe {
  ~Pipe();
  std::string parent;            // the port that it is a pipe of
  std::shared_ptr<ValeRegion> region;
  PortRings ends[2];             // master, slave
  int bells[2] = {-1, -1};
};

struct NetmapControl::Port {
  std::string name;              // as it is opened: "vale0:a", or "v0" for a persistent one
  std::string full_name;         // on its switch, "vale0:v0"; empty while a persistent port is on none
  uint64_t session = 0;          // what the engine knows it by
  int32_t uid = -1;              // whose it is
  bool persistent = false;
  uint32_t header_bytes = 0;
  std::shared_ptr<Pipe> pipe;    // it is an end of this pipe
  uint32_t pipe_end = 0;         // 0 = master
  std::shared_ptr<ValeRegion> region;
  PortRings rings;
  std::vector<std::unique_ptr<ValeAttachment>> waiting;  // of a persistent port that is on no switch
};

// What a connection registered.
struct NetmapControl::Holding {
  std::shared_ptr<Port> port;    // null for a null port
  std::shared_ptr<ValeRegion> region;
  uint64_t interface = 0;
  BoundRings bound;
  bool exclusive = false;
  uint8_t token[ports_protocol::kTokenBytes] = {};
  netmap::Register answer = {};  // as REGISTER answered
  std::unique_ptr<ValeAttachment> null_doorbell;
};

// A registration in the making; what is not moved out of it is undone.
struct NetmapControl::Grant {
  std::shared_ptr<Port> port;
  std::unique_ptr<ValePort> made;  // a new port's
  std::shared_ptr<ValeRegion> region;
  PortRings rings;
  BoundRings bound;
  uint32_t peer_before = ValeRegion::kAnywhere;  // a pipe's other end, in adopted memory
  uint64_t interface = 0;
  MirrorOptions mirror;            // of a monitor
  std::unique_ptr<ValeAttachment> doorbell;
};

}  // namespace paste
