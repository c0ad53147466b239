// What the engine tells of itself: counters and the state of every port, as a reader beside the threads that write them.
#include <cstring>

#include "core/switch/engine_impl.h"

namespace paste {
namespace {

template <typename Counters>
void add_words(Counters& sum, const Counters& other) {
  static_assert(sizeof(Counters) % 8 == 0);
  auto* to = reinterpret_cast<uint64_t*>(&sum);
  const auto* from = reinterpret_cast<const uint64_t*>(&other);
  for (size_t i = 0; i < sizeof(Counters) / 8; i++) to[i] += __atomic_load_n(from + i, __ATOMIC_RELAXED);
}

// "10+20-30", or "all".
std::string ids_text(const std::bitset<kVlanIds>* allowed) {
  if (allowed == nullptr) return "all";
  std::string text;
  for (uint32_t first = 0; first < kVlanIds; first++) {
    if (!(*allowed)[first]) continue;
    uint32_t last = first;
    while (last + 1 < kVlanIds && (*allowed)[last + 1]) last++;
    text += (text.empty() ? "" : "+") + std::to_string(first) + (last > first ? "-" + std::to_string(last) : "");
    first = last;
  }
  return text;
}

std::string vlan_text(const VlanConfig& vlan) {
  if (vlan.policy == VlanPolicy::kTransparent) return {};
  if (vlan.policy == VlanPolicy::kAccess) return "access " + std::to_string(vlan.vid);
  return "trunk " + ids_text(vlan.allowed.get()) + (vlan.vid == 0 ? "" : ", native " + std::to_string(vlan.vid));
}

}  // namespace

void add_counters(PortCounters& sum, const PortCounters& other) { add_words(sum, other); }

EngineStats SwitchEngine::stats() {
  const std::lock_guard lock(mutex_);
  return stats_locked();
}

EngineStats SwitchEngine::stats_locked() {
  EngineStats stats;
  stats.detached = detached_;
  stats.rule_set = rule_version_;
  for (const auto& [name, attached] : ports_) stats.ports.push_back(port_info(name, attached));
  for (const auto& [name, stands] : standing_) {
    if (ports_.contains(name)) continue;
    stats.ports.push_back(wish_info(name, stands));
  }
  for (const auto& [name, info] : broken_) stats.ports.push_back(info);
  for (const auto& tap : taps_) stats.taps.push_back(tap->port);
  WorkerCounters sum;
  for (const auto& worker : workers_) {
    add_words(sum, worker->counters());
    add_counters(stats.detached, worker->gone());
  }
  stats.selected = sum.selected;
  stats.logged = sum.logged;
  std::memcpy(stats.not_logged, sum.not_logged, sizeof sum.not_logged);
  stats.batches = sum.batches;
  stats.strict_batches = sum.strict_batches;
  stats.tickets_waiting = sum.tickets_waiting;
  stats.ingress_blocked_ms = sum.blocked_ns / 1'000'000;
  for (size_t i = 0; rules_ && i < rules_->rules().size(); i++) {
    RuleCounters counters = earlier_[i];
    for (const std::vector<RuleTally>& tallies : tallies_) {
      RuleTally tally{};
      add_words(tally, tallies[i]);
      counters.hits += tally.hits;
      counters.logged += tally.logged;
      counters.bytes += tally.bytes;
    }
    stats.rules.push_back(counters);
  }
  for (const auto& [name, home] : switches_) {
    const MacCounters& mac = home->table.counters();
    stats.mac_entries += home->table.learned() + home->table.statics();
    stats.mac_learned += mac.learned;
    stats.mac_moved += mac.moved;
    stats.mac_aged += mac.aged;
    stats.mac_refused += mac.refused;
  }
  return stats;
}

// A port that is wanted and not there: its client or its device is away.
PortInfo SwitchEngine::wish_info(const std::string& name, const Standing& wish) const {
  PortInfo info{.name = name, .kind = layout::kValePort, .state = "waiting for its client"};
  if (wish.kind != nullptr) {
    info.kind = wish.kind->kind;
    info.state = "down";
    info.detail = wish.reason;
    info.interface = wish.interface.text();
  }
  if (wish.thread != kAnyThread) info.thread = wish.thread;
  info.vlan = vlan_text(wish.options.vlan);
  info.mirror = wish.options.mirror;
  return info;
}

PortInfo SwitchEngine::port_info(const std::string& name, const Attached& attached) const {
  const Port& port = *attached.port;
  PortInfo info{.name = name, .kind = port.kind(), .state = port.state()};
  info.id = port.id;
  info.thread = attached.number >> 8;
  info.frame_bytes_max = port.frame_bytes_max();
  info.detail = port.detail();
  info.device = port.device_counters();
  info.vlan = vlan_text(port.vlan);
  info.mirror = attached.mirror;
  const auto wish = standing_.find(name);
  if (wish != standing_.end() && wish->second.kind != nullptr) {
    info.interface = wish->second.interface.text();
    // A system call of the port may have said so before the link event did.
    if (!wish->second.running) info.state = "down";
    if (info.state == "down") info.detail = "interface " + info.interface + " is down or has no carrier: bring it, or its other end, up";
  }
  if (port.kind() == layout::kValePort) {
    const auto& vale = static_cast<const ValePort&>(port);
    info.slots = vale.slots();
    info.client_pid = vale.client().pid;
    info.client_uid = vale.client().uid;
  }
  add_counters(info.counters, port.counters);
  for (const auto& worker : workers_)
    if (const PortCounters* foreign = worker->foreign(attached.number)) add_counters(info.counters, *foreign);
  return info;
}

}  // namespace paste
