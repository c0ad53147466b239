#include "core/devices/broker.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/descriptor_packet.h"
#include "core/base/glob.h"
#include "core/devices/broker_protocol.h"
#include "core/devices/local_parts.h"

namespace paste {
namespace {

using broker::Reply;
using broker::Request;

template <size_t kSize>
bool ends(const char (&field)[kSize]) {
  return std::memchr(field, '\0', kSize) != nullptr;
}

// Which interpretation of the request could go wrong; null for a good one.
const char* fault_of(const Request& request, long size, size_t descriptors) {
  if (size != static_cast<long>(sizeof(Request))) return "a request of the wrong size";
  if (request.magic != broker::kMagic) return "no request of ours";
  if (request.version != broker::kVersion) return "a request of another version";
  if (request.call < broker::kInterfaceInfo || request.call > broker::kOpenNetmap) return "an unknown request";
  if (!ends(request.name) || !ends(request.netns) || !ends(request.mac) || !ends(request.address))
    return "a text without an end";
  if (request.queue_count > kQueuesMax) return "too many queues";
  if (request.mode > static_cast<uint32_t>(XdpRequest::Mode::kGeneric)) return "an unknown mode";
  if (descriptors != (request.call == broker::kInsertSocket ? broker::kRequestDescriptors : 0)) return "wrong descriptors";
  return nullptr;
}

Status refused(const std::string& device) {
  return {Code::kPrivilege, device + ": not among the devices that this daemon may open: add it to [daemon] devices in the "
                                     "configuration, and restart the daemon"};
}

// A glob's star takes any character: a path must be what it says, or `/run/pods/*` would allow `/run/pods/../../proc/1/ns/net`.
bool goes_up(const std::string& path) {
  const std::string whole = "/" + path + "/";
  return whole.find("/../") != std::string::npos;
}

Status check_allowed(const AllowList& allowed, const std::string& device, const std::string& netns) {
  if (!device.empty() && !allowed.allows(device)) return refused(device);
  if (!netns.empty() && (goes_up(netns) || !allowed.allows("netns:" + netns))) return refused("netns:" + netns);
  return {};
}

void put_info(const InterfaceInfo& info, Reply* reply) {
  reply->index = info.index;
  reply->mtu = info.mtu;
  reply->rx_queues = info.rx_queues;
  reply->tx_queues = info.tx_queues;
  reply->flags |= (info.up ? broker::kUp : 0u) | (info.running ? broker::kRunning : 0u);
  std::memcpy(reply->mac, info.mac, sizeof reply->mac);
  std::memcpy(reply->driver, info.driver.data(), std::min(info.driver.size(), sizeof reply->driver - 1));
}

class Broker {
 public:
  Broker(Devices& devices, const AllowList& allowed) : devices_(devices), allowed_(allowed) {}

  // `out`: what goes beside the reply, closed here after it was sent.
  Status answer(const Request& request, const std::vector<int>& in, Reply* reply, std::vector<int>* out) {
    switch (request.call) {
      case broker::kInterfaceInfo: return interface_info(request, reply);
      case broker::kOpenTap: return open_tap(request, reply, out);
      case broker::kOpenXdp: return open_xdp(request, reply, out);
      case broker::kInsertSocket: return devices_.insert_socket(in[0], request.queues[0], in[1]);
      default: return open_netmap(out);
    }
  }

 private:
  Status interface_info(const Request& request, Reply* reply) {
    if (Status status = check_allowed(allowed_, "", request.netns); !status.ok()) return status;
    InterfaceInfo info;
    const Status status = devices_.interface_info(request.name, request.netns, &info);
    put_info(info, reply);
    return status;
  }

  Status open_tap(const Request& request, Reply* reply, std::vector<int>* out) {
    TapRequest wanted;
    wanted.name = request.name;
    wanted.netns = request.netns;
    wanted.queues = request.queue_count;
    wanted.mtu = request.mtu;
    wanted.persist = (request.flags & broker::kPersist) != 0;
    wanted.vnet_header = (request.flags & broker::kVnetHeader) != 0;
    wanted.offloads = request.offloads;
    wanted.owner = request.owner;
    wanted.group = request.group;
    wanted.mac = request.mac;
    wanted.address = request.address;
    if (Status status = check_allowed(allowed_, "tap:" + wanted.name, wanted.netns); !status.ok()) return status;
    InterfaceInfo info;
    const Status status = devices_.open_tap(wanted, out, &info);
    put_info(info, reply);
    return status;
  }

  Status open_xdp(const Request& request, Reply* reply, std::vector<int>* out) {
    XdpRequest wanted;
    wanted.interface = request.name;
    wanted.netns = request.netns;
    wanted.queues.assign(request.queues, request.queues + request.queue_count);
    wanted.mode = static_cast<XdpRequest::Mode>(request.mode);
    wanted.fragments = (request.flags & broker::kFragments) != 0;
    if (Status status = check_allowed(allowed_, "xdp:" + wanted.interface, wanted.netns); !status.ok()) return status;
    XdpDevice device;
    const Status status = devices_.open_xdp(wanted, &device);
    if (!status.ok()) return status;
    put_info(device.info, reply);
    reply->flags |= device.native ? broker::kNative : 0u;
    *out = std::move(device.sockets);
    out->push_back(device.map);
    out->push_back(device.link);
    return {};
  }

  Status open_netmap(std::vector<int>* out) {
    if (Status status = check_allowed(allowed_, "netmap:*", ""); !status.ok()) return status;
    int fd = -1;
    const Status status = devices_.open_netmap(&fd);
    if (status.ok()) out->push_back(fd);
    return status;
  }

  Devices& devices_;
  const AllowList& allowed_;
};

void close_all(const std::vector<int>& fds) {
  for (const int fd : fds) close(fd);
}

}  // namespace

bool AllowList::allows(const std::string& device) const {
  // A name with a zero byte would be opened by its beginning.
  if (device.find('\0') != std::string::npos) return false;
  return std::any_of(globs_.begin(), globs_.end(),
                     [&](const std::string& glob) { return glob_matches(glob, device); });
}

bool AllowList::any_netns() const {
  return std::any_of(globs_.begin(), globs_.end(), [](const std::string& glob) {
    return glob.compare(0, 6, "netns:") == 0 || glob.substr(0, glob.find(':')).find_first_of("*?") != std::string::npos;
  });
}

void serve_devices(int socket, Devices& devices, const AllowList& allowed) {
  Broker broker(devices, allowed);
  for (;;) {
    Request request = {};
    std::vector<int> in(broker::kRequestDescriptors), out;
    size_t came = 0;
    const long size = receive_packet<broker::kRequestDescriptors>(socket, &request, sizeof request, in.data(), &came);
    if (size == 0 || (size < 0 && errno != EPROTO)) return;
    in.resize(came);
    Reply reply = {};
    reply.magic = broker::kMagic;
    reply.version = broker::kVersion;
    reply.sequence = size == static_cast<long>(sizeof request) ? request.sequence : 0;
    const char* fault = size < 0 ? "wrong descriptors" : fault_of(request, size, in.size());
    const Status status = fault == nullptr ? broker.answer(request, in, &reply, &out)
                                           : Status(Code::kUsage, std::string("the broker was sent ") + fault);
    close_all(in);
    reply.code = static_cast<uint16_t>(status.code());
    reply.descriptors = static_cast<uint32_t>(out.size());
    std::memcpy(reply.text, status.message().data(), std::min(status.message().size(), sizeof reply.text - 1));
    const bool sent = send_packet<broker::kReplyDescriptorsMax>(socket, &reply, sizeof reply, out.data(), out.size());
    close_all(out);
    if (!sent) return;
  }
}

}  // namespace paste
