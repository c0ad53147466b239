// AF_XDP devices: the sockets, made where CAP_NET_RAW is, around the program that xdp_program.h attaches.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/devices/interface.h"
#include "core/devices/local_parts.h"
#include "core/devices/refusal.h"
#include "core/devices/xdp_abi.h"
#include "core/devices/xdp_program.h"

namespace paste {
namespace {

Status check(const XdpRequest& request, const InterfaceInfo& info, bool queues_known) {
  const std::string port = "xdp:" + request.interface;
  if (info.index == 0) return {Code::kPort, port + ": there is no such interface" +
                                                (request.netns.empty() ? "" : " in network namespace " + request.netns)};
  if (request.queues.empty() || request.queues.size() > kQueuesMax)
    return {Code::kUsage, port + ": 1 to " + std::to_string(kQueuesMax) + " queues"};
  for (const uint32_t queue : request.queues) {
    if (std::count(request.queues.begin(), request.queues.end(), queue) > 1)
      return {Code::kUsage, port + ": queue " + std::to_string(queue) + " is named twice"};
    // Where the driver does not tell how many it has, bind() will.
    const uint32_t count = queues_known ? std::max(info.rx_queues, info.tx_queues) : kQueuesMax;
    if (queue >= count)
      return {Code::kPort, port + ": there is no queue " + std::to_string(queue) + ": " +
                               (queues_known ? "the interface has " : "at most ") + std::to_string(count) + ", counted from 0 (`ethtool -l` tells, `ethtool -L` changes it)"};
  }
  return {};
}

Status make_socket(const std::string& port, int* fd) {
  *fd = socket(xdp::kAddressFamily, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd >= 0) return {};
  if (errno == EPERM || errno == EACCES) return lacks_capability(port + ": making an AF_XDP socket", "CAP_NET_RAW");
  if (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT)
    return {Code::kResource, port + ": this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use a tap port, or another kernel"};
  return {Code::kResource, port + ": no AF_XDP socket (" + errno_text(errno) + ")"};
}

}  // namespace

Status open_local_xdp(const XdpRequest& request, XdpDevice* device) {
  InterfaceSocket asking;
  bool queues_known = false;
  if (Status status = asking.read(request.interface, &device->info, nullptr, &queues_known); !status.ok()) return status;
  if (Status status = check(request, device->info, queues_known); !status.ok()) return status;
  const std::string port = "xdp:" + request.interface;
  Descriptors sockets;
  for (size_t i = 0; i < request.queues.size(); i++) {
    int fd = -1;
    if (Status status = make_socket(port, &fd); !status.ok()) return status;
    sockets.add(fd);
  }
  if (Status status = asking.set_up(request.interface); !status.ok()) return status;
  XdpProgram program;
  const uint32_t places = *std::max_element(request.queues.begin(), request.queues.end()) + 1;
  if (Status status = attach_xdp_program(device->info, request.interface, places, request.mode, request.fragments, &program);
      !status.ok())
    return status;
  device->sockets = sockets.take();
  device->map = program.map;
  device->link = program.link;
  device->native = program.native;
  return asking.read(request.interface, &device->info);
}

Status insert_local_socket(int map, uint32_t queue, int socket) { return insert_xdp_socket(map, queue, socket); }

}  // namespace paste
