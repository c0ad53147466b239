// Network interfaces of the calling thread's namespace: what they are, and how they are set up.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/devices/devices.h"

namespace paste {

// 1 to 15 characters that the kernel takes as a name and not as a pattern. Else USAGE.
Status check_interface_name(const std::string& name);

struct MacAddress {
  uint8_t bytes[6] = {};
};
// "02:00:00:00:00:01"; a group address is refused. USAGE.
Status parse_mac(const std::string& text, MacAddress* mac);

struct PrefixAddress {
  uint8_t family = 0;  // AF_INET, AF_INET6
  uint8_t prefix = 0;
  uint8_t bytes[16] = {};
};
// "10.0.0.1/24" or "fd00::1/64". USAGE.
Status parse_address(const std::string& text, PrefixAddress* address);

// A socket for questions to the kernel about interfaces. Closed by its destructor.
class InterfaceSocket {
 public:
  InterfaceSocket();
  ~InterfaceSocket();
  InterfaceSocket(const InterfaceSocket&) = delete;
  InterfaceSocket& operator=(const InterfaceSocket&) = delete;

  // index stays 0 when there is none of that name. `kind` is what the driver says of its bus ("tap" for a TAP device);
  // `queues_known` whether it said how many channels are in use. Both may be null.
  Status read(const std::string& name, InterfaceInfo* info, std::string* kind = nullptr, bool* queues_known = nullptr);
  Status set_mtu(const std::string& name, uint32_t mtu);
  Status set_mac(const std::string& name, const MacAddress& mac);
  Status set_up(const std::string& name);
  // Adds the address, or has it already.
  Status set_address(const std::string& name, uint32_t index, const PrefixAddress& address);

 private:
  int fd_;
};

// Id of the XDP program attached to the interface, 0 when there is none or the kernel does not say.
uint32_t attached_xdp_program(uint32_t interface_index);

}  // namespace paste
