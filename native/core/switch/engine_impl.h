// The engine's inside. Four threads come here: the controlling one, the ports server's, the housekeeper's and the device keeper's;
// one mutex orders them, and each change reaches the forwarding threads as commands at their quiescent points.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "core/ports/vale/ports_server.h"
#include "core/switch/engine.h"
#include "core/switch/link_watch.h"
#include "core/switch/port_kinds.h"
#include "core/switch/tap_set.h"
#include "core/switch/worker.h"

namespace paste {

inline constexpr uint32_t kAnyThread = ~0u;  // the one with the fewest ports

class SwitchEngine final : public Engine, private PortsHost {
 public:
  SwitchEngine(const EngineOptions& options, std::unique_ptr<Store> store);
  ~SwitchEngine() override;

  Status prepare();
  Status start() override;
  void set_receiving(bool receiving) override;
  Status attach(const std::string& name, const std::string& spec, const PortOptions& options, bool wait) override;
  Status detach(const std::string& name) override;
  Status set_rules(const std::vector<RuleSpec>& rules, const std::string& text) override;
  Status mac_add(const std::string& switch_name, const uint8_t mac[6], uint16_t fid, const std::string& port) override;
  Status mac_remove(const std::string& switch_name, const uint8_t mac[6], uint16_t fid) override;
  Status mac_flush(const std::string& switch_name, const std::string& port, uint64_t* count) override;
  Status mac_list(const std::string& switch_name, std::vector<MacInfo>* list) override;
  EngineStats stats() override;
  Store* store() override { return store_.get(); }
  StoreCounters store_counters() override { return store_ ? store_->counters() : last_store_counters_; }
  Status drain() override;
  Status attach_port(std::unique_ptr<Port> port, const PortOptions& options) override;

 private:
  struct Switch {
    explicit Switch(const MacTable::Options& options) : table(options) {}
    std::string name;
    uint32_t index = 0;
    MacTable table;
    uint32_t sweep_at = 0;
    std::vector<std::unique_ptr<SwitchView>> views;  // one for each thread
  };
  struct Attached {
    std::unique_ptr<Port> port;
    Switch* home = nullptr;
    uint32_t number = 0;        // thread << 8 | index
    uint64_t session = 0;       // of the ports server, 0 = none
    MirrorOptions mirror;       // its VLANs are the port's
    uint32_t mirror_index = 0;  // of all mirror ports; only when it listens
  };
  // A port that is wanted, whether or not what is behind it is there: a vale port whose client may come, a device.
  struct Standing {
    enum Phase : uint8_t { kDown, kBusy, kUp };  // of a device; kBusy: somebody opens it, without the mutex
    PortOptions options;
    const PortKind* kind = nullptr;   // null: a vale port
    std::string spec;
    PortInterface interface;
    uint64_t ticket = 0;              // a later wish of the same name has another
    uint32_t thread = kAnyThread;     // once chosen it stays: frame memory is the thread's
    Phase phase = kDown;
    bool lost = false;                // up, and to be taken away
    bool running = true;              // its interface, as the port was told
    uint32_t interface_index = 0;     // while up; 0: not known
    std::string reason;               // why it is down
    uint32_t refusals = 0;            // of a device that is there, in a row
    uint64_t retry_at_ns = 0;
  };
  struct Wish {
    std::string name;
    uint64_t ticket;
    PortInterface interface;
  };
  struct LiveTap {
    ClientIdentity client;      // its session of the ports server is the tap's life
    std::string port;           // by name, whatever comes and goes under it; kAnyPort: all
    live_tap::TapWish wish;
    std::unique_ptr<BpfProgram> filter;  // null: every frame
    std::unique_ptr<TapMemory> memory;
  };
  struct KeptTap {
    int32_t uid;
    std::unique_ptr<TapMemory> memory;
  };
  using Views = std::vector<std::unique_ptr<SwitchView>>;

  // --- ports (engine_ports.cc), the mutex held ---
  Status on_attach(std::unique_ptr<ValePort> port, const MirrorOptions& mirror) override;
  bool on_change(const std::string& name, uint64_t session, const std::function<void(ValePort&)>& change) override;
  void on_gone(const std::string& name, uint64_t session) override;
  Status open_tap(const ClientIdentity& client, const std::string& name, const live_tap::TapWish& wish, int filter, int* fd,
                  uint64_t* bytes) override;
  void close_tap(uint64_t session) override;
  Status check_share(int32_t uid) const;
  uint32_t thread_of_region(const ValeRegion* region) const;
  // Takes the port only when it succeeds.
  Status attach_locked(std::unique_ptr<Port>&& port, uint64_t session, const PortOptions& options, uint32_t thread = kAnyThread);
  // Gives the port back, which no batch knows any more: bury() it if it stands on a device.
  std::unique_ptr<Port> detach_locked(std::map<std::string, Attached>::iterator it);
  Status switch_of(const std::string& port_name, Switch** found);
  uint32_t choose_thread() const;
  Status place_port(uint32_t thread, uint32_t* number) const;
  Status place_mirror(const std::string& name, const MirrorOptions& mirror, uint32_t* index) const;
  Views make_views(const Switch& home, const Attached* without) const;
  void change_ports(Switch& home, Views views, const Attached* added, const Attached* removed);
  std::unique_ptr<RuleSet> resolved_rules(const Attached* without) const;
  std::vector<uint8_t> port_event(const Port& port, layout::PortEvent event) const;
  Switch* find_switch(const std::string& name) const;
  bool runs() const { return started_ && !drained_; }

  // --- live taps (engine_taps.cc) ---
  Status check_tap(const ClientIdentity& client, const std::string& name, const live_tap::TapWish& wish);
  std::unique_ptr<TapSet> tap_set_of(uint32_t thread) const;
  void change_taps();

  // --- devices (engine_devices.cc) ---
  Status attach_device(const std::string& name, const std::string& spec, const PortKind& kind, const PortOptions& options,
                       bool wait);
  Status check_interface(const PortKind& kind, const PortInterface& interface) const;
  Standing* wish_of(const std::string& name, uint64_t ticket);
  Status open_device(const std::string& name, uint64_t ticket);
  Status make_port(const std::string& name, const Standing& wish, std::unique_ptr<Port>* port, InterfaceInfo* info);
  Status frame_memory(uint32_t thread, FrameMemory** memory);
  void bury(std::unique_ptr<Port> port, uint32_t thread);
  void wake_device_keeper();
  void stop_device_keeper();
  void keep_devices();
  int patience_ms(bool hears);
  void take_link_event(const LinkEvent& event);
  void ask_for_link(const Wish& asked);
  void follow_link(const std::string& name, Standing& wish, uint32_t index, bool running);
  void take_away(const Wish& gone);
  void try_again(const Wish& away);

  // --- statistics (engine_stats.cc) ---
  EngineStats stats_locked();
  PortInfo port_info(const std::string& name, const Attached& attached) const;
  PortInfo wish_info(const std::string& name, const Standing& wish) const;

  // --- housekeeper ---
  void keep_house();
  void sweep_tables();
  void follow_clock();
  void describe_ports();
  void log_mac_events(MacEvents& events, bool always = false);
  uint32_t next_id() { return store_ ? store_->take_id() : ++last_id_; }
  Status check_mac_entry(const std::string& switch_name, const uint8_t mac[6], const std::string& port, Switch** home,
                         Attached** attached);
  void quiesce();
  void stop_threads();
  void make_crossings();

  const EngineOptions options_;
  std::unique_ptr<Store> store_;
  Clock clock_;
  std::vector<std::unique_ptr<FrameMemory>> frame_memories_;  // by thread; null until the first port on a device (devices_mutex_)
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Crossing>> crossings_;
  std::unique_ptr<PortsServer> server_;

  std::mutex mutex_;  // everything below
  std::map<std::string, std::unique_ptr<Switch>> switches_;
  std::map<std::string, Attached> ports_;
  std::map<std::string, Standing> standing_;
  std::map<std::string, PortInfo> broken_;  // sources that ended with an error: told of until they are removed or replaced
  PortCounters detached_;
  std::vector<std::unique_ptr<LiveTap>> taps_;       // these and those below: at most kTapsMax
  std::vector<KeptTap> kept_taps_;                   // closed, but their clients have not let go of the memory
  std::vector<std::unique_ptr<TapSet>> tap_sets_;    // what the threads look at, by thread; empty: no taps
  std::unique_ptr<RuleSet> rules_;         // as compiled: names not resolved
  std::unique_ptr<RuleSet> resolved_;      // what the threads run
  std::vector<std::vector<RuleTally>> tallies_;       // [thread][rule]
  std::vector<RuleCounters> earlier_;      // what rules of the same name counted before the last change
  uint32_t rule_version_ = 0;
  uint32_t last_id_ = 0;
  uint64_t described_at_bytes_ = 0;        // what the log had taken when its ports were described last
  StoreCounters last_store_counters_;
  bool started_ = false, drained_ = false;

  std::condition_variable housekeeping_;
  bool housekeeper_stops_ = false;
  std::thread housekeeper_;

  std::mutex devices_mutex_;           // held while a device is opened or closed; before mutex_
  std::unique_ptr<Devices> devices_;   // with the first port on a device, as is the keeper's thread
  int device_wake_ = -1;
  uint64_t last_ticket_ = 0;
  bool device_keeper_stops_ = false;
  std::thread device_keeper_;
};

// Adds one port's counters to another's, as a reader: relaxed loads.
void add_counters(PortCounters& sum, const PortCounters& other);

}  // namespace paste
