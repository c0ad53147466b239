// Devices opened by the broker.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/devices/broker_protocol.h"
#include "core/base/descriptor_packet.h"
#include "core/devices/refusal.h"

namespace paste {
namespace {

using broker::Reply;
using broker::Request;

constexpr time_t kPatienceS = 30;

// Texts are checked here, too: what does not fit would be cut, and another device be opened.
template <size_t kSize>
bool put(const std::string& text, char (&field)[kSize]) {
  if (text.size() >= kSize || text.find('\0') != std::string::npos) return false;
  std::memcpy(field, text.data(), text.size());
  return true;
}

InterfaceInfo info_of(const Reply& reply) {
  InterfaceInfo info;
  info.index = reply.index;
  info.mtu = reply.mtu;
  info.rx_queues = reply.rx_queues;
  info.tx_queues = reply.tx_queues;
  std::memcpy(info.mac, reply.mac, sizeof info.mac);
  info.up = (reply.flags & broker::kUp) != 0;
  info.running = (reply.flags & broker::kRunning) != 0;
  info.driver.assign(reply.driver, strnlen(reply.driver, sizeof reply.driver));
  return info;
}

Status too_long(const std::string& device) {
  return {Code::kUsage, device + ": a name, namespace or address of it is too long"};
}

Status gone() {
  return {Code::kPrivilege,
          "the broker that opens devices for the daemon is gone (killed?): what is attached goes on; restart the daemon to attach "
          "devices again"};
}

class RemoteDevices final : public Devices {
 public:
  explicit RemoteDevices(int socket) : socket_(socket), local_(local_devices()) {
    const timeval patience = {kPatienceS, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  Status interface_info(const std::string& interface, const std::string& netns, InterfaceInfo* info) override {
    // In one's own namespace anybody may ask.
    if (netns.empty()) return local_->interface_info(interface, netns, info);
    Request request = {};
    if (!put(interface, request.name) || !put(netns, request.netns)) return too_long(interface);
    Reply reply = {};
    std::vector<int> none;
    const Status status = ask(broker::kInterfaceInfo, request, {}, 0, 0, &reply, &none);
    *info = info_of(reply);
    return status;
  }

  Status open_tap(const TapRequest& wanted, std::vector<int>* queues, InterfaceInfo* info) override {
    Request request = {};
    if (!put(wanted.name, request.name) || !put(wanted.netns, request.netns) || !put(wanted.mac, request.mac) ||
        !put(wanted.address, request.address))
      return too_long("tap:" + wanted.name);
    if (wanted.queues == 0 || wanted.queues > kQueuesMax)
      return {Code::kUsage, "tap:" + wanted.name + ": 1 to " + std::to_string(kQueuesMax) + " queues, not " +
                                std::to_string(wanted.queues)};
    request.queue_count = wanted.queues;
    request.mtu = wanted.mtu;
    request.flags = (wanted.persist ? broker::kPersist : 0u) | (wanted.vnet_header ? broker::kVnetHeader : 0u);
    request.offloads = wanted.offloads;
    request.owner = wanted.owner;
    request.group = wanted.group;
    Reply reply = {};
    const Status status = ask(broker::kOpenTap, request, {}, wanted.queues, wanted.queues, &reply, queues);
    if (status.ok()) *info = info_of(reply);
    return status;
  }

  Status open_xdp(const XdpRequest& wanted, XdpDevice* device) override {
    Request request = {};
    if (!put(wanted.interface, request.name) || !put(wanted.netns, request.netns)) return too_long("xdp:" + wanted.interface);
    if (wanted.queues.size() > kQueuesMax)
      return {Code::kUsage, "xdp:" + wanted.interface + ": at most " + std::to_string(kQueuesMax) + " queues"};
    request.queue_count = static_cast<uint32_t>(wanted.queues.size());
    std::copy(wanted.queues.begin(), wanted.queues.end(), request.queues);
    request.mode = static_cast<uint32_t>(wanted.mode);
    request.flags = wanted.fragments ? broker::kFragments : 0u;
    Reply reply = {};
    std::vector<int> fds;
    const uint32_t count = request.queue_count + 2;
    if (Status status = ask(broker::kOpenXdp, request, {}, count, count, &reply, &fds); !status.ok()) return status;
    device->link = fds.back();
    fds.pop_back();
    device->map = fds.back();
    fds.pop_back();
    device->sockets = std::move(fds);
    device->native = (reply.flags & broker::kNative) != 0;
    device->info = info_of(reply);
    return {};
  }

  Status insert_socket(int map, uint32_t queue, int socket) override {
    Request request = {};
    request.queues[0] = queue;
    Reply reply = {};
    std::vector<int> none;
    return ask(broker::kInsertSocket, request, {map, socket}, 0, 0, &reply, &none);
  }

  Status open_netmap(int* descriptor) override {
    Request request = {};
    Reply reply = {};
    std::vector<int> fds;
    if (Status status = ask(broker::kOpenNetmap, request, {}, 1, 1, &reply, &fds); !status.ok()) return status;
    *descriptor = fds[0];
    return {};
  }

 private:
  // One question, one answer. When ok, as many descriptors came as at least `least` and at most `most` say.
  Status ask(broker::Call call, Request& request, const std::vector<int>& out, size_t least, size_t most, Reply* reply,
             std::vector<int>* in) {
    // There is one broker for a process, so there is one turn for a process.
    static std::mutex turn;
    const std::lock_guard<std::mutex> guard(turn);
    if (broken_) return gone();
    request.magic = broker::kMagic;
    request.version = broker::kVersion;
    request.call = call;
    request.sequence = ++sequence_;
    if (!send_packet<broker::kRequestDescriptors>(socket_, &request, sizeof request, out.data(), out.size())) {
      if (errno == EMFILE || errno == ENOBUFS || errno == ENOMEM || errno == EBADF || errno == ETOOMANYREFS)
        return {Code::kResource, "the broker cannot be asked (" + errno_text(errno) + ")"};
      broken_ = true;
      return gone();
    }
    std::vector<int> fds(broker::kReplyDescriptorsMax);
    size_t came = 0;
    const long size = receive_packet<broker::kReplyDescriptorsMax>(socket_, reply, sizeof *reply, fds.data(), &came);
    fds.resize(came);
    const bool good = size == static_cast<long>(sizeof *reply) && reply->magic == broker::kMagic &&
                      reply->version == broker::kVersion && reply->sequence == request.sequence &&
                      reply->code <= static_cast<uint16_t>(Code::kInternal) &&
                      std::memchr(reply->text, '\0', sizeof reply->text) != nullptr;
    const bool ok = good && reply->code == static_cast<uint16_t>(Code::kOk);
    if (ok && fds.size() >= least && fds.size() <= most) {
      *in = std::move(fds);
      return {};
    }
    const bool lost = ok && fds.size() < reply->descriptors;
    for (const int fd : fds) close(fd);
    if (lost || (size < 0 && errno == EPROTO))
      return {Code::kResource, "not all descriptors of the device came in: raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)"};
    if (good && !ok) return {static_cast<Code>(reply->code), reply->text};
    // After an answer out of turn no other can be believed.
    broken_ = true;
    return gone();
  }

  const int socket_;
  const std::unique_ptr<Devices> local_;
  uint32_t sequence_ = 0;
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Devices> remote_devices(int broker) { return std::make_unique<RemoteDevices>(broker); }

int process_broker() {
  // "PID:DESCRIPTOR", by the launcher. A child that inherited the variable is somebody else.
  const char* text = std::getenv(kBrokerVariable);
  if (text == nullptr) return -1;
  char* end = nullptr;
  if (std::strtol(text, &end, 10) != getpid() || *end != ':') return -1;
  const long fd = std::strtol(end + 1, &end, 10);
  int type = 0;
  socklen_t size = sizeof type;
  if (*end != '\0' || fd < 0 || getsockopt(static_cast<int>(fd), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET)
    return -1;
  fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  return static_cast<int>(fd);
}

bool process_broker_gone() {
  pollfd other_end = {process_broker(), 0, 0};
  return other_end.fd >= 0 && poll(&other_end, 1, 0) == 1 && (other_end.revents & (POLLHUP | POLLERR)) != 0;
}

std::unique_ptr<Devices> process_devices() {
  const int broker = process_broker();
  return broker < 0 ? local_devices() : remote_devices(broker);
}

}  // namespace paste
