// The XDP program of AF_XDP ports: six instructions, assembled here, loaded and attached through bpf(2).
//
// It sends each frame to the socket in the map's place for the frame's receive queue, and to the kernel's own stack where no socket
// is. It is attached by a link: when the last descriptor of the link is closed, also by a crash, it is gone.
// All of this needs CAP_BPF and CAP_NET_ADMIN (CAP_SYS_ADMIN before Linux 5.8), and happens in the network namespace of the
// calling thread.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/devices/devices.h"

namespace paste {

struct XdpProgram {
  int map = -1;            // XSKMAP; the caller closes both
  int link = -1;
  bool native = false;     // in the driver, else generic
};

// `queues`: places of the map. `fragments`: for frames of several buffers. kAuto tries the driver first.
// Failures: PORT (another program is attached, the driver cannot, its MTU is too large), PRIVILEGE, RESOURCE.
Status attach_xdp_program(const InterfaceInfo& info, const std::string& interface, uint32_t queues, XdpRequest::Mode mode,
                          bool fragments, XdpProgram* program);
// From now on frames of `queue` go to the socket, which is bound. A socket that is closed leaves the map by itself.
Status insert_xdp_socket(int map, uint32_t queue, int socket);

}  // namespace paste
