// What takes a capability: opening TAP devices, AF_XDP sockets and /dev/netmap, loading the XDP program, bringing interfaces up.
//
// The daemon itself holds no capability. A broker, forked by the launcher before it dropped them, does these few things for it
// and passes descriptors back (remote_devices()); a program that still has the capabilities can do them itself
// (local_devices()). What needs none (registering and binding a socket that was passed, polling) stays with the caller. Every call
// may block for some milliseconds: never on a forwarding thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace paste {

inline constexpr uint32_t kQueuesMax = 64;

struct InterfaceInfo {
  uint32_t index = 0;          // 0 = there is none of that name
  uint32_t mtu = 0;
  uint32_t rx_queues = 1, tx_queues = 1;   // channels in use, as the driver says; 1 where it does not
  uint8_t mac[6] = {};
  bool up = false;             // IFF_UP
  bool running = false;        // IFF_RUNNING: carrier
  std::string driver;          // "veth", "tun"...; empty when it does not say
};

struct TapRequest {
  std::string name;            // at most 15 characters
  std::string netns;           // name below /run/netns or a path; empty = the daemon's own
  uint32_t queues = 1;         // > 1: IFF_MULTI_QUEUE
  uint32_t mtu = 0;            // 0 = as it is
  bool persist = false;        // stays when the daemon goes
  bool vnet_header = false;    // IFF_VNET_HDR with a header of 12 bytes
  uint32_t offloads = 0;       // TUN_F_* bits for TUNSETOFFLOAD
  int64_t owner = -1, group = -1;  // uid and gid that may attach to it besides; -1 = as it is
  std::string mac;             // of the kernel's side, "02:..."; empty = as it is
  std::string address;         // "10.0.0.1/24" for the kernel's side; empty = none
};

struct XdpRequest {
  std::string interface;
  std::string netns;
  std::vector<uint32_t> queues;   // one socket for each
  enum class Mode : uint8_t { kAuto, kNative, kGeneric } mode = Mode::kAuto;
  bool fragments = false;         // a program that takes frames of several buffers (BPF_F_XDP_HAS_FRAGS)
};

struct XdpDevice {
  std::vector<int> sockets;    // AF_XDP, fresh: neither registered nor bound
  int map = -1;                // XSKMAP
  int link = -1;               // the program is attached for as long as this is open
  bool native = false;         // attached in the driver, else generic
  InterfaceInfo info;
};

class Devices {
 public:
  virtual ~Devices() = default;

  // Descriptors given out are the caller's. Failures: PORT (no such interface, name in use, another XDP program is attached, queue out
  // of range), PRIVILEGE (names the capability and the command that grants it), RESOURCE.
  virtual Status interface_info(const std::string& interface, const std::string& netns, InterfaceInfo* info) = 0;
  // Creates the device or attaches to it, sets it up. One non-blocking descriptor for each queue.
  virtual Status open_tap(const TapRequest& request, std::vector<int>* queues, InterfaceInfo* info) = 0;
  // Loads and attaches the program, makes map and sockets. The interface is brought up when it is not.
  virtual Status open_xdp(const XdpRequest& request, XdpDevice* device) = 0;
  // From now on frames of `queue` go to the socket, which is bound.
  virtual Status insert_socket(int map, uint32_t queue, int socket) = 0;
  virtual Status open_netmap(int* descriptor) = 0;
};

// Does it here, with the capabilities of this process.
std::unique_ptr<Devices> local_devices();
// Asks the broker behind this descriptor, which stays the caller's. Calls from several threads take turns.
std::unique_ptr<Devices> remote_devices(int broker);
// remote_devices() when the launcher started this process, else local_devices().
std::unique_ptr<Devices> process_devices();

// By which the launcher tells the process that it becomes: "PID:DESCRIPTOR", descriptor -1 where it had no capability to keep.
inline constexpr char kBrokerVariable[] = "PASTE_SWITCH_BROKER";
// The descriptor of that broker, or -1.
int process_broker();
// There was one, and its process is gone: what needs it fails from now on. Asks nobody, and does not wait.
bool process_broker_gone();

}  // namespace paste
