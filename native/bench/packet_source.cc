#include "bench/packet_source.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "bench/arrivals.h"
#include "core/base/system_time.h"
#include "core/devices/netns.h"
#include "core/ports/offload.h"

namespace paste::bench {
namespace {

constexpr uint32_t kFramesPerCall = 64;
constexpr uint16_t kEtherType = 0x0800;
constexpr uint64_t kPatienceNs = 20'000'000;   // longer than a scheduler lets a thread wait for its core here

void put_station(uint8_t* at, uint64_t station) {
  at[0] = 2;
  for (int i = 5; i > 0; i--, station >>= 8) at[i] = static_cast<uint8_t>(station);
}

// A UDP datagram without a checksum in an IPv4 packet that its receiver's stack drops for its station's address, in silence.
std::vector<uint8_t> make_frame(const PacketSourceOptions& options) {
  std::vector<uint8_t> frame(options.frame_bytes);
  put_station(frame.data(), options.to);
  put_station(frame.data() + 6, options.from);
  const uint32_t ip_bytes = options.frame_bytes - 14, udp_bytes = ip_bytes - 20;
  const auto high = [](uint32_t value) { return static_cast<uint8_t>(value >> 8); };
  const auto low = [](uint32_t value) { return static_cast<uint8_t>(value); };
  const uint8_t headers[] = {
      high(kEtherType), low(kEtherType),
      0x45, 0, high(ip_bytes), low(ip_bytes), 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2,  // RFC 2544 addresses
      0x10, 0x00, 0x10, 0x01, high(udp_bytes), low(udp_bytes), 0, 0};
  std::memcpy(frame.data() + 12, headers, sizeof headers);
  const uint16_t sum = checksum_fold(checksum_add(0, frame.data() + 14, 20));
  frame[24] = high(sum);
  frame[25] = low(sum);
  return frame;
}

// What arrived, and so how many frames may follow those that are under way.
class Sink {
 public:
  Status open(const PacketSourceOptions& options) {
    if (options.sink_interface.empty())
      return options.window == 0 ? Status() : Status(Code::kUsage, "a window needs an interface where arrivals are counted");
    window_ = options.window;
    counts_ = true;
    if (Status status = arrivals_.open(options.sink_interface, options.sink_netns); !status.ok()) return status;
    return arrivals_.count(&start_) ? Status() : Status(Code::kPort, "the kernel does not count what arrives");
  }
  // Waits until some may be sent, or `end` is there (then 0).
  uint32_t room(uint64_t sent, uint64_t end) {
    if (window_ == 0) return kFramesPerCall;
    for (changed_ns_ = monotonic_ns();; sched_yield()) {
      look();
      const uint64_t under_way = sent - std::min(sent, arrived_ + given_up_);
      // Half a window at least, so that one question is for many frames.
      if (under_way <= window_ / 2) return std::min(static_cast<uint32_t>(window_ - under_way), kFramesPerCall);
      const uint64_t now = monotonic_ns();
      if (now >= end) return 0;
      if (now - changed_ns_ > kPatienceNs) given_up_ += under_way;
    }
  }
  // Waits until all of them have arrived, or no more do.
  void settle(uint64_t sent, PacketSourceResult* result) {
    if (!counts_) return;
    for (changed_ns_ = monotonic_ns(); arrived_ < sent && monotonic_ns() - changed_ns_ < kPatienceNs; sched_yield()) look();
    result->arrived = arrived_;
  }
  uint64_t changed_ns() const { return changed_ns_; }
  bool counts() const { return counts_; }

 private:
  void look() {
    uint64_t counted;
    if (!arrivals_.count(&counted) || counted - start_ == arrived_) return;
    arrived_ = counted - start_;
    changed_ns_ = monotonic_ns();
  }

  Arrivals arrivals_;
  uint32_t window_ = 0;
  bool counts_ = false;
  uint64_t start_ = 0, arrived_ = 0, given_up_ = 0, changed_ns_ = 0;
};

// A packet socket in the interface's namespace, which it stays in.
Status open_socket(const PacketSourceOptions& options, int* fd, uint32_t* index) {
  return in_netns(options.netns, [&]() -> Status {
    *index = if_nametoindex(options.interface.c_str());
    if (*index == 0) return {Code::kPort, "there is no interface " + options.interface};
    *fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (*fd < 0) return {Code::kPrivilege, std::string("a packet socket needs CAP_NET_RAW: ") + std::strerror(errno)};
    const int on = 1;
    setsockopt(*fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    return {};
  });
}

}  // namespace

Status run_packet_source(const PacketSourceOptions& options, PacketSourceResult* result) {
  if (options.frame_bytes < 60 || options.frame_bytes > 9216)
    return {Code::kUsage, "frames of " + std::to_string(options.frame_bytes) + " bytes: 60 to 9216 are meant"};
  int fd = -1;
  uint32_t index = 0;
  if (Status status = open_socket(options, &fd, &index); !status.ok()) return status;
  std::vector<uint8_t> frame = make_frame(options);
  Sink sink;
  if (Status status = sink.open(options); !status.ok()) {
    close(fd);
    return status;
  }
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(index);
  address.sll_protocol = htons(kEtherType);
  iovec part = {frame.data(), frame.size()};
  mmsghdr messages[kFramesPerCall] = {};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_name = &address;
    message.msg_hdr.msg_namelen = sizeof address;
    message.msg_hdr.msg_iov = &part;
    message.msg_hdr.msg_iovlen = 1;
  }
  const uint64_t start = monotonic_ns(), end = start + options.duration_ms * uint64_t{1'000'000};
  const uint64_t most = options.frames_max == 0 ? ~uint64_t{0} : options.frames_max;
  uint64_t now = start;
  while (result->frames < most && now < end) {
    const auto count = static_cast<uint32_t>(
        std::min<uint64_t>(sink.room(result->frames, end), most - result->frames));
    if (count == 0) break;
    const int sent = sendmmsg(fd, messages, count, 0);
    if (sent > 0) {
      result->frames += static_cast<uint64_t>(sent);
    } else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
      const std::string reason = std::strerror(errno);
      close(fd);
      return {Code::kPort, options.interface + ": nothing can be sent: " + reason};
    }
    now = monotonic_ns();
  }
  sink.settle(result->frames, result);
  result->elapsed_ns = (sink.counts() && result->arrived != 0 ? sink.changed_ns() : now) - start;
  close(fd);
  return {};
}

}  // namespace paste::bench
