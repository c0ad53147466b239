#include "core/ports/port_options.h"

namespace paste {
namespace {

Status check_vlan(const std::string& port, const VlanConfig& vlan) {
  const bool access = vlan.policy == VlanPolicy::kAccess;
  const uint32_t lowest = access ? 1 : 0;
  if (vlan.vid < lowest || vlan.vid > kVlanIdMax)
    return {Code::kUsage, port + (access ? ": access VLAN " : ": native VLAN ") + std::to_string(vlan.vid) +
                              " is not between 1 and " + std::to_string(kVlanIdMax)};
  if (vlan.policy != VlanPolicy::kTrunk || !vlan.allowed) return {};
  if ((*vlan.allowed)[0] || (*vlan.allowed)[kVlanIdMax + 1])
    return {Code::kUsage, port + ": allowed VLANs are between 1 and " + std::to_string(kVlanIdMax)};
  return {};
}

}  // namespace

Status check_port_options(const std::string& port, const PortOptions& options) {
  if (options.vlan.aware())
    if (Status status = check_vlan(port, options.vlan); !status.ok()) return status;
  if (!options.mirror.listens()) return {};
  if (options.vlan.aware()) return {Code::kUsage, port + ": a mirror port has no VLANs, it gets frames as they came"};
  if (!options.mirror.in && !options.mirror.out)
    return {Code::kUsage, port + ": a mirror port needs a direction: in, out, or both"};
  const std::string home = port.substr(0, port.find(':') + 1);
  for (const std::string& name : options.mirror.ports) {
    if (name == port) return {Code::kUsage, port + ": a mirror port cannot mirror itself"};
    if (name.find_first_of("*?") == std::string::npos && name.compare(0, home.size(), home) != 0)
      return {Code::kUsage, port + ": " + name + " is a port of another switch; a mirror port listens in its own"};
  }
  return {};
}

}  // namespace paste
