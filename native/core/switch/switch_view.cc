#include "core/switch/switch_view.h"

#include <algorithm>
#include <map>

#include "core/base/glob.h"

namespace paste {
namespace {

using Views = std::vector<std::unique_ptr<SwitchView>>;

bool takes_frames(const ViewPort& port) { return port.sink && !port.mirror->listens(); }

// Members as every thread sees them. `is_member` answers for ports that take frames.
template <typename IsMember>
std::vector<Members> members_by_thread(std::span<const ViewPort> ports, uint32_t threads, IsMember is_member) {
  std::vector<Members> made(threads);
  for (const ViewPort& port : ports) {
    if (!takes_frames(port) || !is_member(port)) continue;
    made[port.number >> 8].sinks.push_back(static_cast<uint16_t>(port.number & 0xff));
    for (Members& members : made) members.sink_bits.add(port.number);
  }
  for (uint32_t self = 0; self < threads; self++)
    for (uint32_t other = 0; other < threads; other++)
      if (const size_t sinks = made[other].sinks.size(); other != self && sinks != 0)
        made[self].elsewhere.push_back({static_cast<uint16_t>(other), static_cast<uint16_t>(sinks)});
  return made;
}

void add_vlans(Views& views, std::span<const ViewPort> ports) {
  const auto aware = [](const ViewPort& port) { return port.vlan->aware(); };
  if (std::none_of(ports.begin(), ports.end(), aware)) return;
  for (auto& view : views) {
    view->vlan_aware = true;
    view->members_of.resize(kVlanIds);
  }
  std::map<std::vector<bool>, uint16_t> seen;  // who allows a VLAN -> its members
  for (uint32_t vlan = 0; vlan < kVlanIds; vlan++) {
    const auto allows = [vlan](const ViewPort& port) { return port.vlan->allows(static_cast<uint16_t>(vlan)); };
    std::vector<bool> who(ports.size());
    std::transform(ports.begin(), ports.end(), who.begin(), allows);
    const auto [at, is_new] = seen.try_emplace(std::move(who), static_cast<uint16_t>(seen.size()));
    std::vector<Members> members;
    if (is_new) members = members_by_thread(ports, static_cast<uint32_t>(views.size()), allows);
    for (size_t w = 0; w < views.size(); w++) {
      if (is_new) views[w]->vlan_members.push_back(std::move(members[w]));
      views[w]->members_of[vlan] = at->second;
    }
  }
}

void add_listeners(Views& views, std::span<const ViewPort> ports) {
  for (const ViewPort& mirror : ports) {
    if (!mirror.mirror->listens()) continue;
    const uint64_t bit = uint64_t{1} << mirror.mirror_index;
    for (const ViewPort& port : ports) {
      const auto& names = mirror.mirror->ports;
      const auto named = [&port](const std::string& name) { return glob_matches(name, *port.name); };
      if (port.mirror->listens() || std::none_of(names.begin(), names.end(), named)) continue;
      for (auto& view : views) view->listeners.resize(kPortsMax);
      SwitchView::Listeners& listeners = views[port.number >> 8]->listeners[port.number & 0xff];
      if (mirror.mirror->in) listeners.in |= bit;
      if (mirror.mirror->out) listeners.out |= bit;
    }
  }
}

}  // namespace

Views make_switch_views(std::span<const ViewPort> ports, uint32_t threads, MacTable* table, uint32_t index) {
  Views views;
  for (Members& everyone : members_by_thread(ports, threads, [](const ViewPort&) { return true; })) {
    views.push_back(std::make_unique<SwitchView>());
    static_cast<Members&>(*views.back()) = std::move(everyone);
    views.back()->table = table;
    views.back()->index = index;
  }
  add_vlans(views, ports);
  add_listeners(views, ports);
  return views;
}

}  // namespace paste
