// ioctl() of /dev/netmap.
#pragma once

#include <cstdint>

#include "preload/netmap_file.h"

namespace paste::preload {

// ioctl numbers (netmap.h, netmap_legacy.h; the same on every architecture that encodes _IOWR as x86 does).
enum Ioctl : uint32_t {
  kNiocCtrl = netmap::kIoctlControl,
  kNiocTxSync = netmap::kIoctlTxSync,
  kNiocRxSync = netmap::kIoctlRxSync,
  kNiocGinfo = 0xc03c6991,
  kNiocRegif = 0xc03c6992,
  kNiocConfig = 0xc1106996,
};
inline bool is_netmap_ioctl(unsigned long command) {
  const auto c = static_cast<uint32_t>(command);
  return c == kNiocCtrl || c == kNiocTxSync || c == kNiocRxSync || c == kNiocGinfo || c == kNiocRegif || c == kNiocConfig;
}

// 0, or -1 with errno.
int netmap_ioctl(NetmapFile& file, unsigned long command, uint64_t argument);

// One control request with its structure in our memory; 0 or an errno. name: in and out. With the lock held.
int control_request(NetmapFile& file, uint16_t api, uint32_t reqtype, char name[64], void* body, size_t body_bytes);
// NIOCREGIF and NIOCGINFO: 0 or an errno. With the lock held.
int legacy_request(NetmapFile& file, bool regif, uint64_t argument);

}  // namespace paste::preload
