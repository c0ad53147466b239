// The switch once more, in this thread and without devices: what it would do with a frame. Its forwarding is the forwarding
// threads' own code (core/switch/worker.h) between ports in memory that have room for everything; its time is what it is told.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/ports/port_options.h"
#include "core/switch/worker.h"

namespace paste {

struct ShadowOptions {
  uint32_t mac_entries = 16384, mac_entries_per_port = 4096, mac_age_ms = 300'000;
  std::map<std::string, PortOptions> ports;  // by name; a port that is not here has no options
};

struct ShadowFrame {
  const uint8_t* bytes;      // kEthernetHeaderBytes at least
  uint32_t length;
};

// Ports by their place in the shadow (ShadowSwitch::place()).
using PortSet = std::array<uint64_t, kPortsMax / 64>;

struct Decision {
  static constexpr uint32_t kUnknown = 0, kSomewhere = ~0u;
  uint32_t answer = kUnknown;  // port id that the learning table gave for the target; kSomewhere: a port that the VLAN does not reach
  uint16_t copies = 0;
  uint8_t drop = 0;            // 0: copies went; else 1 + Drop
  bool flooded = false;
  PortSet ports = {};          // that got a copy
};

class ShadowSwitch {
 public:
  explicit ShadowSwitch(ShadowOptions options);
  ~ShadowSwitch();

  void reset();  // no ports, empty tables, addresses grow old
  // From now on addresses do not grow old by themselves.
  void stop_ageing();
  bool ages() const { return ages_; }
  // In ticks of kMacTickMs, from 1; never back.
  void set_tick(uint32_t tick);
  uint32_t tick() const { return tick_; }

  // `sink`: it takes frames. A port of that id stays as it is. kResource when there is no room for it.
  Status attach(uint32_t id, const std::string& name, bool sink);
  void detach(uint32_t id);
  bool has(uint32_t id) const { return by_id_.contains(id); }
  size_t ports() const { return by_id_.size(); }
  const std::string& name_at(uint32_t place) const;
  uint32_t place_of(uint32_t id) const { return by_id_.at(id); }
  const PortOptions& options_of(const std::string& name) const;

  // Of the switch that port `id` belongs to; the address as mac_key() has it. Nothing happens where there is no such port.
  void learn(uint64_t key, uint32_t id);        // whatever was known before
  void add_static(uint64_t key, uint32_t id);
  void remove(uint64_t key, uint32_t id);
  void forget_learned();                        // of every switch; static addresses stay
  void flush(uint32_t id, bool whole_switch);   // the same behind a port, or of its switch
  // The port behind an address at another time than now; 0 = unknown.
  uint32_t lookup(uint64_t key, uint32_t id, uint32_t tick) const;

  // Frames that came in by port `id`, in order: one decision each.
  void forward(uint32_t id, std::span<const ShadowFrame> frames, std::vector<Decision>* decisions);

 private:
  class MemoryPort;
  struct Switch;
  struct Attached;

  void clear();
  Switch& switch_of(const std::string& port);
  Attached* find(uint32_t id) const;
  void change_views(Switch& home, const Attached* without);
  void decide(const Attached& from, uint32_t count, std::vector<Decision>* decisions);

  const ShadowOptions options_;
  bool ages_ = true;
  uint32_t tick_ = 1;
  std::unique_ptr<Worker> worker_;
  std::map<std::string, std::unique_ptr<Switch>> switches_;
  std::vector<std::unique_ptr<Attached>> ports_;   // by place
  std::unordered_map<uint32_t, uint32_t> by_id_;   // id -> place
  std::vector<PortSet> reached_;                   // of the batch's frames
};

}  // namespace paste
