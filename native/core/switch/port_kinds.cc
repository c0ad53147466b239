#include "core/switch/port_kinds.h"

#include <initializer_list>
#include <utility>

#include "core/ports/netmap/netmap_port.h"
#include "core/ports/tap/tap_port.h"
#include "core/ports/xdp/xdp_port.h"

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

// One line for each kind; its header comes above.
constexpr std::initializer_list<PortKind> kKinds = {
    {"netmap", layout::kNetmapPort, false, "+-*^/@{},", make<NetmapPort>},
    {"tap", layout::kTapPort, true, ",", make<TapPort>},
    {"xdp", layout::kXdpPort, false, "@,", make<XdpPort>},
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
  const size_t begin = spec.find(':') + 1;
  PortInterface interface = {spec.substr(begin, spec.find_first_of(kind.name_ends, begin) - begin), ""};
  if (interface.name.find(':') != std::string::npos) return {};
  if (const size_t netns = spec.find(kNetns); netns != std::string::npos) {
    const size_t at = netns + sizeof kNetns - 1;
    interface.netns = spec.substr(at, spec.find(',', at) - at);
  }
  return interface;
}

}  // namespace paste
