#include "core/switch/link_watch.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace paste {
namespace {

constexpr size_t kReadBytes = 32 * 1024;  // as much as the kernel puts into one message at most

// False: it is no message about a link.
bool parse_event(const nlmsghdr* header, LinkEvent* event) {
  if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) return false;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return false;
  const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  if (link->ifi_family != AF_UNSPEC) return false;  // a bridge tells of its ports in the same group: not of the interface
  event->index = static_cast<uint32_t>(link->ifi_index);
  event->gone = header->nlmsg_type == RTM_DELLINK;
  event->running = (link->ifi_flags & IFF_UP) != 0 && (link->ifi_flags & IFF_RUNNING) != 0;
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(ifinfomsg)));
  for (const rtattr* item = IFLA_RTA(link); RTA_OK(item, left); item = RTA_NEXT(item, left)) {
    if (item->rta_type != IFLA_IFNAME) continue;
    const auto* name = static_cast<const char*>(RTA_DATA(item));
    event->name.assign(name, strnlen(name, RTA_PAYLOAD(item)));
  }
  return true;
}

}  // namespace

LinkWatch::LinkWatch() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  close(fd_);
  fd_ = -1;
}

LinkWatch::~LinkWatch() {
  if (fd_ >= 0) close(fd_);
}

bool LinkWatch::read(std::vector<LinkEvent>* events) {
  alignas(NLMSG_ALIGNTO) char bytes[kReadBytes];
  bool whole = fd_ >= 0;
  while (fd_ >= 0) {
    sockaddr_nl sender = {};
    socklen_t sender_size = sizeof sender;
    ssize_t got = recvfrom(fd_, bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      whole = false;  // the next read gives what still fits
      continue;
    }
    if (got <= 0) break;
    if (sender.nl_pid != 0) continue;  // not the kernel
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
      if (LinkEvent event; parse_event(header, &event)) events->push_back(std::move(event));
  }
  return whole;
}

}  // namespace paste
