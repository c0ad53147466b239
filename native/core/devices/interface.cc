#include "core/devices/interface.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/devices/refusal.h"

namespace paste {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request = {};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof request.ifr_name - 1));
  return request;
}

// What a failed change of an interface means to its user.
Status failed(const std::string& name, const std::string& doing, int error) {
  if (error == EPERM || error == EACCES) return lacks_capability(name + ": " + doing, "CAP_NET_ADMIN");
  if (error == ENODEV) return {Code::kPort, "there is no interface " + name + " any more"};
  return {error == ENOMEM || error == ENOBUFS ? Code::kResource : Code::kPort,
          name + ": " + doing + " failed (" + errno_text(error) + ")"};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

Status check_interface_name(const std::string& name) {
  bool good = !name.empty() && name.size() < IFNAMSIZ && name != "." && name != "..";
  // The kernel makes "tap%d" a pattern, and takes ':' for an alias.
  for (const char c : name) good = good && c > ' ' && c < 127 && c != '/' && c != ':' && c != '%';
  if (good) return {};
  return {Code::kUsage, "interface name \"" + name + "\": 1 to 15 visible ASCII characters, none of / : %"};
}

Status parse_mac(const std::string& text, MacAddress* mac) {
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < 6; i++) {
    const int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
    mac->bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  if (!good) return {Code::kUsage, "MAC address \"" + text + "\": write it as 02:00:00:00:00:01"};
  if ((mac->bytes[0] & 1) != 0) return {Code::kUsage, "MAC address " + text + " is a group address: no interface can have it"};
  return {};
}

Status parse_address(const std::string& text, PrefixAddress* address) {
  const size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  address->family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  const unsigned most = address->family == AF_INET ? 32 : 128;
  bool good = inet_pton(address->family, host.c_str(), address->bytes) == 1;
  unsigned prefix = most;
  if (slash != std::string::npos) {
    const std::string digits = text.substr(slash + 1);
    good = good && !digits.empty() && digits.size() <= 3 && digits.find_first_not_of("0123456789") == std::string::npos;
    prefix = 0;
    if (good)
      for (const char c : digits) prefix = prefix * 10 + static_cast<unsigned>(c - '0');
  }
  if (!good || prefix > most || text.find('\0') != std::string::npos)
    return {Code::kUsage, "address \"" + text + "\": write it as 10.0.0.1/24 or fd00::1/64"};
  address->prefix = static_cast<uint8_t>(prefix);
  return {};
}

InterfaceSocket::InterfaceSocket() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  // A kernel without IPv4: any socket answers questions about devices.
  if (fd_ < 0) fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

InterfaceSocket::~InterfaceSocket() {
  if (fd_ >= 0) close(fd_);
}

Status InterfaceSocket::read(const std::string& name, InterfaceInfo* info, std::string* kind, bool* queues_known) {
  *info = {};
  if (Status status = check_interface_name(name); !status.ok()) return status;
  if (fd_ < 0) return {Code::kResource, "no socket to ask about interfaces with: too many open files"};
  ifreq request = request_for(name);
  if (ioctl(fd_, SIOCGIFINDEX, &request) != 0) {
    if (errno == ENODEV) return {};
    return {Code::kResource, name + ": the kernel does not tell its index (" + errno_text(errno) + ")"};
  }
  const auto index = static_cast<uint32_t>(request.ifr_ifindex);
  // It may go away between two questions: then there is none.
  request = request_for(name);
  if (ioctl(fd_, SIOCGIFMTU, &request) != 0) return {};
  info->mtu = static_cast<uint32_t>(request.ifr_mtu);
  request = request_for(name);
  if (ioctl(fd_, SIOCGIFFLAGS, &request) != 0) return {};
  info->up = (request.ifr_flags & IFF_UP) != 0;
  info->running = (request.ifr_flags & IFF_RUNNING) != 0;
  request = request_for(name);
  if (ioctl(fd_, SIOCGIFHWADDR, &request) != 0) return {};
  if (request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK)
    std::memcpy(info->mac, request.ifr_hwaddr.sa_data, sizeof info->mac);
  info->index = index;

  ethtool_drvinfo driver = {};
  driver.cmd = ETHTOOL_GDRVINFO;
  request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (ioctl(fd_, SIOCETHTOOL, &request) == 0) {
    info->driver.assign(driver.driver, strnlen(driver.driver, sizeof driver.driver));
    if (kind != nullptr) kind->assign(driver.bus_info, strnlen(driver.bus_info, sizeof driver.bus_info));
  }
  ethtool_channels channels = {};
  channels.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  const bool known = ioctl(fd_, SIOCETHTOOL, &request) == 0;
  if (known) {
    info->rx_queues = std::max(1u, channels.combined_count + channels.rx_count);
    info->tx_queues = std::max(1u, channels.combined_count + channels.tx_count);
  }
  if (queues_known != nullptr) *queues_known = known;
  return {};
}

Status InterfaceSocket::set_mtu(const std::string& name, uint32_t mtu) {
  ifreq request = request_for(name);
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(fd_, SIOCSIFMTU, &request) == 0) return {};
  if (errno == EINVAL) return {Code::kPort, name + ": this interface takes no MTU of " + std::to_string(mtu) + " bytes"};
  return failed(name, "setting the MTU to " + std::to_string(mtu), errno);
}

Status InterfaceSocket::set_mac(const std::string& name, const MacAddress& mac) {
  ifreq request = request_for(name);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, mac.bytes, sizeof mac.bytes);
  if (ioctl(fd_, SIOCSIFHWADDR, &request) == 0) return {};
  return failed(name, "setting the MAC address", errno);
}

Status InterfaceSocket::set_up(const std::string& name) {
  ifreq request = request_for(name);
  if (ioctl(fd_, SIOCGIFFLAGS, &request) != 0) return failed(name, "reading its flags", errno);
  if ((request.ifr_flags & IFF_UP) != 0) return {};
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(fd_, SIOCSIFFLAGS, &request) == 0) return {};
  return failed(name, "bringing the interface up", errno);
}

}  // namespace paste
