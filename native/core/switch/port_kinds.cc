#include "core/switch/port_kinds.h"

#include <array>

namespace paste {
namespace {

// One line for each kind; its header comes above.
constexpr std::array<PortKind, 0> kKinds = {};

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
  PortInterface interface = {spec.substr(begin, spec.find_first_of("@,", begin) - begin), ""};
  if (const size_t netns = spec.find(kNetns); netns != std::string::npos) {
    const size_t at = netns + sizeof kNetns - 1;
    interface.netns = spec.substr(at, spec.find(',', at) - at);
  }
  return interface;
}

}  // namespace paste
