#include "bench/packet_source.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/ports/offload.h"

namespace paste::bench {
namespace {

constexpr uint32_t kFramesPerCall = 64;
constexpr uint16_t kEtherType = 0x0800;

uint64_t monotonic() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

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

}  // namespace

Status run_packet_source(const PacketSourceOptions& options, PacketSourceResult* result) {
  if (options.frame_bytes < 60 || options.frame_bytes > 9216)
    return {Code::kUsage, "frames of " + std::to_string(options.frame_bytes) + " bytes: 60 to 9216 are meant"};
  const uint32_t index = if_nametoindex(options.interface.c_str());
  if (index == 0) return {Code::kPort, "there is no interface " + options.interface};
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) return {Code::kPrivilege, std::string("a packet socket needs CAP_NET_RAW: ") + std::strerror(errno)};
  const int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  std::vector<uint8_t> frame = make_frame(options);
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
  const uint64_t start = monotonic(), end = start + options.duration_ms * uint64_t{1'000'000};
  const uint64_t most = options.frames_max == 0 ? ~uint64_t{0} : options.frames_max;
  uint64_t now = start;
  while (result->frames < most && now < end) {
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(kFramesPerCall, most - result->frames));
    const int sent = sendmmsg(fd, messages, count, 0);
    if (sent > 0) {
      result->frames += static_cast<uint64_t>(sent);
    } else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
      const std::string reason = std::strerror(errno);
      close(fd);
      return {Code::kPort, options.interface + ": nothing can be sent: " + reason};
    }
    now = monotonic();
  }
  result->elapsed_ns = now - start;
  close(fd);
  return {};
}

}  // namespace paste::bench
