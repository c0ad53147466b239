// TAP devices: made or attached to, with everything that needs CAP_NET_ADMIN done before the descriptors are given out.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/devices/interface.h"
#include "core/devices/local_parts.h"
#include "core/devices/refusal.h"

namespace paste {
namespace {

constexpr char kTun[] = "/dev/net/tun";
// struct virtio_net_hdr_mrg_rxbuf (linux/virtio_net.h).
constexpr int kVnetHeaderBytes = 12;

struct Wanted {
  MacAddress mac;
  PrefixAddress address;
};

Status check(const TapRequest& request, Wanted* wanted) {
  if (Status status = check_interface_name(request.name); !status.ok()) return status;
  if (request.queues == 0 || request.queues > kQueuesMax)
    return {Code::kUsage, "tap:" + request.name + ": 1 to " + std::to_string(kQueuesMax) + " queues, not " +
                              std::to_string(request.queues)};
  if (!request.mac.empty())
    if (Status status = parse_mac(request.mac, &wanted->mac); !status.ok()) return status;
  if (!request.address.empty())
    if (Status status = parse_address(request.address, &wanted->address); !status.ok()) return status;
  return {};
}

Status open_tun(const std::string& name, int* fd) {
  *fd = open(kTun, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (*fd >= 0) return {};
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
    return {Code::kResource, "tap:" + name + ": there is no " + kTun + ": `modprobe tun`, or give it to the container (--device " +
                                 kTun + ")"};
  if (errno == EACCES || errno == EPERM)
    return lacks_capability("tap:" + name + ": " + kTun + " may not be opened by this user (`sudo chmod 666 " + kTun +
                                "`, as most systems have it); besides",
                            "CAP_NET_ADMIN");
  return {Code::kResource, "tap:" + name + ": " + kTun + " cannot be opened (" + errno_text(errno) + ")"};
}

// Why TUNSETIFF refused. `existed`: there was an interface of that name.
Status refused(const TapRequest& request, bool existed, int error) {
  const std::string port = "tap:" + request.name;
  if (error == EPERM && existed)
    return lacks_capability(port + ": the device belongs to another user (`ip tuntap` tells)", "CAP_NET_ADMIN");
  if (error == EPERM) return lacks_capability(port + ": making a TAP device", "CAP_NET_ADMIN");
  if (error == EBUSY) return {Code::kPort, port + ": name in use: another program has this device open"};
  if (error == EINVAL && existed && request.queues > 1)
    return {Code::kPort, port + ": the device was made for one queue: ask for one, or `ip link delete " + request.name + "` first"};
  if (error == EINVAL && existed) return {Code::kPort, port + ": name in use by an interface that is no TAP device"};
  if (error == E2BIG) return {Code::kPort, port + ": the device has no queue left, other programs have them open"};
  return {error == ENOMEM || error == ENFILE ? Code::kResource : Code::kPort,
          port + ": the device cannot be opened (" + errno_text(error) + ")"};
}

// One queue more on the device. `flags` may gain IFF_MULTI_QUEUE, when that is what the device was made with.
Status attach_queue(const TapRequest& request, bool existed, short* flags, Descriptors* queues, int* fd) {
  if (Status status = open_tun(request.name, fd); !status.ok()) return status;
  queues->add(*fd);
  for (;;) {
    ifreq attach = {};
    std::memcpy(attach.ifr_name, request.name.data(), request.name.size());
    attach.ifr_flags = *flags;
    if (ioctl(*fd, TUNSETIFF, &attach) == 0) return {};
    const int error = errno;
    if (error != EINVAL || !existed || (*flags & IFF_MULTI_QUEUE) != 0) return refused(request, existed, error);
    *flags |= IFF_MULTI_QUEUE;
  }
}

Status set(int fd, unsigned long command, unsigned long value, const TapRequest& request, const char* what) {
  if (ioctl(fd, command, value) == 0) return {};
  if (errno == EPERM) return lacks_capability("tap:" + request.name + ": setting " + what, "CAP_NET_ADMIN");
  return {Code::kPort, "tap:" + request.name + ": the kernel took no " + what + " (" + errno_text(errno) + ")"};
}

// What belongs to the device, not to a queue.
Status configure(int fd, const TapRequest& request, const Wanted& wanted, InterfaceInfo* info) {
  if (request.vnet_header) {
    int size = kVnetHeaderBytes;
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0)
      return {Code::kPort, "tap:" + request.name + ": the kernel took no virtio-net header (" + errno_text(errno) + ")"};
  }
  if (Status status = set(fd, TUNSETOFFLOAD, request.offloads, request, "offloads"); !status.ok()) return status;
  InterfaceSocket socket;
  Status status = socket.read(request.name, info);
  // A device of many queues lets anybody in; whoever has some of them would get some of the frames.
  if (status.ok() && info->rx_queues > request.queues)
    return {Code::kPort, "tap:" + request.name + ": name in use: another program has " +
                             std::to_string(info->rx_queues - request.queues) + " of its queues open"};
  if (status.ok() && request.owner >= 0)
    status = set(fd, TUNSETOWNER, static_cast<unsigned long>(request.owner), request, "owner");
  if (status.ok() && request.group >= 0)
    status = set(fd, TUNSETGROUP, static_cast<unsigned long>(request.group), request, "group");
  if (status.ok() && !request.mac.empty()) status = socket.set_mac(request.name, wanted.mac);
  if (status.ok() && request.mtu != 0 && request.mtu != info->mtu) status = socket.set_mtu(request.name, request.mtu);
  if (status.ok()) status = socket.set_up(request.name);
  if (status.ok() && !request.address.empty())
    status = socket.set_address(request.name, info->index, wanted.address);
  // Last: what failed half-way must not stay behind.
  if (status.ok() && request.persist) status = set(fd, TUNSETPERSIST, 1, request, "persistence");
  return status.ok() ? socket.read(request.name, info) : status;
}

}  // namespace

Status open_local_tap(const TapRequest& request, std::vector<int>* queues, InterfaceInfo* info) {
  Wanted wanted;
  if (Status status = check(request, &wanted); !status.ok()) return status;
  std::string kind;
  InterfaceInfo before;
  InterfaceSocket socket;
  if (Status status = socket.read(request.name, &before, &kind); !status.ok()) return status;
  const bool existed = before.index != 0;
  if (existed && (before.driver != "tun" || kind != "tap"))
    return {Code::kPort, "tap:" + request.name + ": name in use by an interface that is no TAP device" +
                             (before.driver.empty() ? "" : " (" + before.driver + (kind == "tun" ? ", without Ethernet" : "") + ")") +
                             ": choose another name"};
  Descriptors opened;
  auto flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (request.queues > 1 ? IFF_MULTI_QUEUE : 0) |
                                  (request.vnet_header ? IFF_VNET_HDR : 0));
  int first = -1;
  for (uint32_t queue = 0; queue < request.queues; queue++) {
    int fd = -1;
    if (Status status = attach_queue(request, existed && queue == 0, &flags, &opened, &fd); !status.ok()) return status;
    if (queue == 0) first = fd;
  }
  if (Status status = configure(first, request, wanted, info); !status.ok()) return status;
  *queues = opened.take();
  return {};
}

}  // namespace paste
