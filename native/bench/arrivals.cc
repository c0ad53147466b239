#include "bench/arrivals.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "core/devices/netns.h"

namespace paste::bench {

Arrivals::~Arrivals() {
  if (fd_ >= 0) close(fd_);
}

Status Arrivals::open(const std::string& interface, const std::string& netns) {
  return in_netns(netns, [this, &interface]() -> Status {
    interface_ = if_nametoindex(interface.c_str());
    if (interface_ == 0) return {Code::kPort, "there is no interface " + interface + " to count at"};
    fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);  // stays in this namespace
    if (fd_ < 0) return {Code::kResource, std::string("no netlink socket: ") + std::strerror(errno)};
    return {};
  });
}

bool Arrivals::count(uint64_t* frames) {
  struct {
    nlmsghdr header;
    if_stats_msg asked;
  } request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETSTATS;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.asked.ifindex = interface_;
  request.asked.filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
  if (send(fd_, &request, sizeof request, 0) != sizeof request) return false;
  alignas(nlmsghdr) uint8_t answer[1024];
  const ssize_t got = recv(fd_, answer, sizeof answer, 0);
  constexpr size_t kStatsAt = NLMSG_ALIGN(sizeof(nlmsghdr)) + NLMSG_ALIGN(sizeof(if_stats_msg)) + sizeof(nlattr);
  // rtnl_link_stats64 has grown at its end; what is read here is in every version.
  constexpr size_t kNeeded = offsetof(rtnl_link_stats64, tx_dropped);
  nlmsghdr header;
  nlattr attribute;
  if (got < static_cast<ssize_t>(kStatsAt + kNeeded)) return false;
  std::memcpy(&header, answer, sizeof header);
  std::memcpy(&attribute, answer + kStatsAt - sizeof attribute, sizeof attribute);
  if (header.nlmsg_type != RTM_NEWSTATS || attribute.nla_type != IFLA_STATS_LINK_64) return false;
  rtnl_link_stats64 stats = {};
  std::memcpy(&stats, answer + kStatsAt, kNeeded);
  *frames = stats.rx_packets - stats.rx_dropped;
  return true;
}

}  // namespace paste::bench
