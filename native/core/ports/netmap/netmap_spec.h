// What `netmap:...` means: netmap's own port grammar, then our options behind commas.
//
//   netmap:NAME[MODE][@ID][/FLAGS][@share=PORT][@conf:KEY=N,...][,KEY=VALUE...]
//
// NAME: an interface ("eth0"), a port of a VALE switch of the kernel's ("vale0:x"), or an end of a pipe ("eth0{1"
// master, "vale0:x}1" slave). MODE: nothing = all NIC rings, -N one of them, ^ the host's rings, ^N one of those, *
// both. ID: a memory id. FLAGS: x exclusive, t and r copy monitors, z zero-copy monitor, R receive only, T transmit
// only.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"
#include "core/ports/netmap_abi.h"

namespace paste {

enum class Extmem : uint8_t { kAuto, kOn, kOff };  // kAuto: memory in the store where the module can do that

struct NetmapSpec {
  std::string name;              // as the kernel gets it, at most 63 bytes
  uint32_t mode = netmap::kAllNic;
  uint16_t ring = 0;             // of kOneNic, kOneHost
  uint16_t memory_id = 0;        // 0 = the port's usual one
  uint64_t flags = 0;            // netmap::RegisterFlag
  std::string share;             // a port whose memory is used, too; empty = none
  uint32_t tx_slots = 0, rx_slots = 0;  // 0 = as the port has it; devices may give others
  uint16_t tx_rings = 0, rx_rings = 0, host_tx_rings = 0, host_rx_rings = 0;
  Extmem extmem = Extmem::kAuto;

  bool on_vale() const { return name.find(':') != std::string::npos; }
  bool pipe() const { return name.find_first_of("{}") != std::string::npos; }
  bool uses_nic() const { return mode != netmap::kHostOnly && mode != netmap::kOneHost; }
  bool uses_host() const {
    return mode == netmap::kHostOnly || mode == netmap::kNicAndHost || mode == netmap::kOneHost;
  }
  bool monitor() const { return flags & (netmap::kMonitorRx | netmap::kMonitorTx | netmap::kZcopyMonitor); }
};

// USAGE with the word that is wrong.
Status parse_netmap_spec(const std::string& text, NetmapSpec* spec);

}  // namespace paste
