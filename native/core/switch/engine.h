// The engine: switches, ports, rules and forwarding threads of one daemon, driven by TypeScript per call. Every method is
// called from one controlling thread; each takes effect at a quiescent point of the forwarding threads and returns then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/status.h"
#include "core/bpf/bpf.h"
#include "core/devices/devices.h"
#include "core/ports/frame_memory.h"
#include "core/ports/port.h"
#include "core/ports/port_options.h"
#include "core/store/store.h"

namespace paste {

enum class WaitMode : uint8_t { kAdaptive, kBlock, kBusy };  // spin up to ~20 us then sleep / sleep at once / never sleep
enum class Durability : uint8_t { kStrict, kRelaxed };
enum class PersistMode : uint8_t { kAuto, kPack, kMark };

struct EngineOptions {
  uint32_t threads = 1;
  WaitMode wait = WaitMode::kAdaptive;
  Durability durability = Durability::kStrict;
  PersistMode persist = PersistMode::kAuto;
  uint32_t mark_bytes_min = 0;          // kAuto: frames from this size on are marked; 0 = as measured: Port::filled_by_device()
  uint32_t mac_entries = 16384;         // capacity of each switch's table, power of two
  uint32_t mac_entries_per_port = 4096; // one port's share of learned entries
  uint32_t mac_age_ms = 300'000;
  std::string ports_socket;             // path of ports.sock; empty = no vale ports from other processes
  uint32_t socket_mode = 0600;
  std::vector<uint32_t> allowed_uids;   // besides the daemon's own (and root)
  uint32_t socket_gid = ~0u;            // != ~0: members may connect
  FrameMemoryOptions frame_memory;      // of each thread with ports on devices
  std::function<std::unique_ptr<Devices>()> devices = process_devices;  // asked once, for the first port on a device
};

struct RuleSpec {
  std::string name;
  std::string filter;                   // text, for the log
  std::vector<BpfInsn> program;
  std::vector<std::string> in_ports, out_ports;  // names or glob "vale0:*"; empty = any
  uint32_t snaplen = ~0u;
  uint32_t sample = 1;                  // keep one in N
  bool skip = false;                    // matched frames are not logged
  bool has_durability = false;
  Durability durability = Durability::kStrict;
};

struct RuleCounters { std::string name; uint64_t hits = 0, logged = 0, bytes = 0; };

struct PortInfo {
  std::string name;
  layout::PortKind kind = layout::kValePort;
  std::string state;                    // "up", "down", "waiting for its client"...: for people
  std::string detail = {};              // Port::detail(), or why it is down
  std::string interface = {};           // behind it: "eth0", "blue/eth0"; empty: none
  std::string vlan = {};                // "access 5", "trunk all, native 1"; empty: transparent
  MirrorOptions mirror = {};
  uint32_t id = 0, thread = 0, slots = 0, frame_bytes_max = kLiveFrameBytesMax;
  int32_t client_pid = -1, client_uid = -1;  // vale ports with a client
  PortCounters counters = {};
  DeviceCounters device = {};
};

struct MacInfo {
  uint8_t mac[6];
  uint16_t fid;
  std::string port;
  bool is_static;
  uint64_t age_ms;
};

struct EngineStats {
  std::vector<PortInfo> ports;          // attached now
  PortCounters detached;                // the sum of every port that is gone
  std::vector<RuleCounters> rules;
  uint64_t selected = 0, logged = 0, not_logged[kNotLogged] = {};
  uint64_t batches = 0, strict_batches = 0, tickets_waiting = 0, ingress_blocked_ms = 0;
  uint64_t mac_entries = 0, mac_learned = 0, mac_moved = 0, mac_aged = 0, mac_refused = 0;
  uint32_t rule_set = 0;
  std::vector<std::string> taps;        // open live taps: what each looks at
};

class Engine {
 public:
  static Status create(const EngineOptions& options, std::unique_ptr<Store> store, std::unique_ptr<Engine>* engine);
  virtual ~Engine() = default;          // stops the threads; ports are detached

  virtual Status start() = 0;
  // Whether ports are asked for frames (they are); what waits meanwhile waits in their rings. Also before start().
  virtual void set_receiving(bool receiving) = 0;
  // Switches come into being with their first port. `name` = "vale0:a"; `spec` = "" (a vale port, waiting for its client),
  // "pcap:/file" or a device (port_kinds.h) with options as switch/DESIGN.md lists them. A vale port that a client opens by itself
  // needs no attach(). `wait`: a device that cannot be opened (PORT, RESOURCE) is waited for in state "down", as every device is
  // that was there and went.
  // `options` hold for as long as the port is wanted: a vale port whose client goes and comes back has them again.
  virtual Status attach(const std::string& name, const std::string& spec, const PortOptions& options = {},
                        bool wait = false) = 0;
  virtual Status detach(const std::string& name) = 0;
  virtual Status set_rules(const std::vector<RuleSpec>& rules, const std::string& text) = 0;
  virtual Status mac_add(const std::string& switch_name, const uint8_t mac[6], uint16_t fid, const std::string& port) = 0;
  virtual Status mac_remove(const std::string& switch_name, const uint8_t mac[6], uint16_t fid) = 0;
  // Empty `port` = all; static ones stay. `count` gets how many there were.
  virtual Status mac_flush(const std::string& switch_name, const std::string& port, uint64_t* count) = 0;
  virtual Status mac_list(const std::string& switch_name, std::vector<MacInfo>* list) = 0;
  virtual EngineStats stats() = 0;
  virtual Store* store() = 0;           // null without one, and after drain()
  virtual StoreCounters store_counters() = 0;  // the last ones after drain()
  // A port of any kind that the caller made: what attach() and the ports server end in.
  virtual Status attach_port(std::unique_ptr<Port> port, const PortOptions& options = {}) = 0;
  // Stops receiving, delivers what is on its way, closes the store clean.
  virtual Status drain() = 0;
};

}  // namespace paste
