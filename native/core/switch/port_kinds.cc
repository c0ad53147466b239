#include "core/switch/port_kinds.h"

#include <initializer_list>
#include <utility>

#include "core/ports/netmap_port.h"
#include "core/ports/tap_port.h"
#include "core/ports/xdp_port.h"

namespace paste {
namespace {

// The factory of a kind, whether it gives its own type or a Port.
template <typename P>
Status make(const std::string& name, const std::string& spec, const PortSite& site, std::unique_ptr<Port>* port) {
  if constexpr (requires { P::create(name, spec, site, port); }) {
    return P::create(name, spec, site, port);
  } else {
    std::unique_ptr<P> made;
    Status status = P::create(name, spec, site, &made);
    *port = std::move(made);
    return status;
  }
}

// One line for each kind, such as {"xdp", layout::kXdpPort, false, true, make<XdpPort>}; its header comes above.
constexpr std::initializer_list<PortKind> kKinds = {
    {"netmap", layout::kNetmapPort, false, true, make<NetmapPort>},
    {"tap", layout::kTapPort, true, true, make<TapPort>},
    {"xdp", layout::kXdpPort, false, true, make<XdpPort>},
};

constexpr char kNetns[] = ",netns=";

}  // namespace

const PortKind* port_kind_of(const std::string& spec) {
  const std::string prefix = spec.substr(0, spec.find(':'));
  for (const PortKind& kind : kKinds)
    if (prefix == kind.prefix && spec.size() > prefix.size()) return &kind;
  return nullptr;
}

std::string port_kind_names() {
  std::string names;
  for (const PortKind& kind : kKinds) names += std::string(kind.prefix) + ":..., ";
  return names;
}

PortInterface interface_of(const PortKind& kind, const std::string& spec) {
  if (!kind.has_interface) return {};
  const size_t begin = spec.find(':') + 1;
  // netmap's names go on behind an interface's: rings, flags, pipes. A port of its own switches ("vale1:x") is no interface.
  const bool netmap = kind.kind == layout::kNetmapPort;
  PortInterface interface = {spec.substr(begin, spec.find_first_of(netmap ? "@,-*^/{}" : "@,", begin) - begin), ""};
  if (netmap && interface.name.find(':') != std::string::npos) return {};
  if (const size_t netns = spec.find(kNetns); netns != std::string::npos) {
    const size_t at = netns + sizeof kNetns - 1;
    interface.netns = spec.substr(at, spec.find(',', at) - at);
  }
  return interface;
}

}  // namespace paste
