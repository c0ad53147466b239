// Devices opened with the capabilities of this process.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "core/devices/interface.h"
#include "core/devices/local_parts.h"
#include "core/devices/netns.h"
#include "core/devices/refusal.h"

namespace paste {

Descriptors::~Descriptors() {
  for (const int fd : fds_) close(fd);
}

Status open_local_netmap(int* descriptor) {
  *descriptor = open("/dev/netmap", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (*descriptor >= 0) return {};
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
    return {Code::kPort,
            "there is no /dev/netmap: install netmap's kernel module, built from its sources for this kernel (Debian has no "
            "package of it), and `modprobe netmap`; without it, ports of kinds xdp, tap and vale work"};
  if (errno == EACCES || errno == EPERM)
    return {Code::kPrivilege, "/dev/netmap may not be opened by this user: run the daemon as root, or chmod it for a group"};
  return {Code::kResource, "/dev/netmap cannot be opened (" + errno_text(errno) + ")"};
}

namespace {

class LocalDevices final : public Devices {
 public:
  Status interface_info(const std::string& interface, const std::string& netns, InterfaceInfo* info) override {
    return in_netns(netns, [&] { return InterfaceSocket().read(interface, info); });
  }
  Status open_tap(const TapRequest& request, std::vector<int>* queues, InterfaceInfo* info) override {
    return in_netns(request.netns, [&] { return open_local_tap(request, queues, info); });
  }
  Status open_xdp(const XdpRequest& request, XdpDevice* device) override {
    return in_netns(request.netns, [&] { return open_local_xdp(request, device); });
  }
  Status insert_socket(int map, uint32_t queue, int socket) override { return insert_local_socket(map, queue, socket); }
  Status open_netmap(int* descriptor) override { return open_local_netmap(descriptor); }
};

}  // namespace

std::unique_ptr<Devices> local_devices() { return std::make_unique<LocalDevices>(); }

}  // namespace paste
