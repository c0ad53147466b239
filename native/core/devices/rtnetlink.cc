// The two questions for which ioctl has no words: addresses with a prefix, and which XDP program is attached.
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/devices/interface.h"
#include "core/devices/refusal.h"

namespace paste {
namespace {

constexpr size_t kAnswerBytes = 32 * 1024;

struct Message {
  alignas(NLMSG_ALIGNTO) uint8_t bytes[256] = {};

  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes); }
  void* start(uint16_t type, uint16_t flags, size_t size) {
    header()->nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(size));
    header()->nlmsg_type = type;
    header()->nlmsg_flags = flags;
    header()->nlmsg_seq = 1;
    return NLMSG_DATA(header());
  }
  void add(uint16_t type, const void* data, size_t size) {
    PASTE_CHECK(header()->nlmsg_len + RTA_SPACE(size) <= sizeof bytes);
    auto* attribute = reinterpret_cast<rtattr*>(bytes + NLMSG_ALIGN(header()->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    std::memcpy(RTA_DATA(attribute), data, size);
    header()->nlmsg_len = static_cast<uint32_t>(NLMSG_ALIGN(header()->nlmsg_len) + RTA_LENGTH(size));
  }
};

// Sends one message and takes the one answer: its bytes, or minus an errno.
ssize_t ask(Message& message, void* answer, size_t size) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  // The kernel answers at once; a minute without an answer is a fault that must not hang the caller.
  const timeval patience = {60, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ssize_t got = send(fd, message.bytes, message.header()->nlmsg_len, 0);
  if (got >= 0) got = recv(fd, answer, size, 0);
  if (got < 0) got = -errno;
  close(fd);
  return got;
}

// The error that an answer carries; 0 for none.
int answer_error(const uint8_t* answer, ssize_t size) {
  if (size < 0) return static_cast<int>(-size);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (static_cast<size_t>(size) < sizeof *header || header->nlmsg_len > static_cast<size_t>(size)) return EPROTO;
  if (header->nlmsg_type != NLMSG_ERROR) return 0;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return EPROTO;
  return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
}

uint32_t program_of(const rtattr* xdp) {
  auto left = static_cast<int>(RTA_PAYLOAD(xdp));
  for (auto* item = static_cast<rtattr*>(RTA_DATA(xdp)); RTA_OK(item, left); item = RTA_NEXT(item, left)) {
    if ((item->rta_type & NLA_TYPE_MASK) != IFLA_XDP_PROG_ID || RTA_PAYLOAD(item) < sizeof(uint32_t)) continue;
    uint32_t id;
    std::memcpy(&id, RTA_DATA(item), sizeof id);
    return id;
  }
  return 0;
}

}  // namespace

Status InterfaceSocket::set_address(const std::string& name, uint32_t index, const PrefixAddress& address) {
  Message message;
  // Permanent and, for IPv6, without the second of doubt in which it cannot be used.
  auto* body = static_cast<ifaddrmsg*>(
      message.start(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(ifaddrmsg)));
  body->ifa_family = address.family;
  body->ifa_prefixlen = address.prefix;
  body->ifa_flags = address.family == AF_INET6 ? IFA_F_NODAD : 0;
  body->ifa_index = index;
  const size_t size = address.family == AF_INET ? 4 : 16;
  message.add(IFA_LOCAL, address.bytes, size);
  message.add(IFA_ADDRESS, address.bytes, size);
  alignas(NLMSG_ALIGNTO) uint8_t answer[1024];
  const int error = answer_error(answer, ask(message, answer, sizeof answer));
  if (error == 0 || error == EEXIST) return {};
  if (error == EPERM) return lacks_capability(name + ": setting its address", "CAP_NET_ADMIN");
  return {Code::kPort, name + ": setting its address failed (" + errno_text(error) + ")"};
}

uint32_t attached_xdp_program(uint32_t interface_index) {
  Message message;
  auto* body = static_cast<ifinfomsg*>(message.start(RTM_GETLINK, NLM_F_REQUEST, sizeof(ifinfomsg)));
  body->ifi_family = AF_UNSPEC;
  body->ifi_index = static_cast<int>(interface_index);
  std::vector<uint64_t> room(kAnswerBytes / sizeof(uint64_t));
  auto* answer = reinterpret_cast<uint8_t*>(room.data());
  const ssize_t size = ask(message, answer, kAnswerBytes);
  if (answer_error(answer, size) != 0) return 0;
  auto* header = reinterpret_cast<nlmsghdr*>(answer);
  if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return 0;
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(ifinfomsg)));
  auto* item = IFLA_RTA(static_cast<ifinfomsg*>(NLMSG_DATA(header)));
  for (; RTA_OK(item, left); item = RTA_NEXT(item, left))
    if ((item->rta_type & NLA_TYPE_MASK) == IFLA_XDP) return program_of(item);
  return 0;
}

}  // namespace paste
