// How a TAP port is written.
#include <grp.h>
#include <pwd.h>

#include <charconv>
#include <string_view>

#include "core/ports/tap/tap_port.h"

namespace paste {
namespace {

// The longest frame of the switch less its Ethernet header and one VLAN tag.
constexpr uint32_t kMtuMin = 68, kMtuMax = kLiveFrameBytesMax - kEthernetHeaderBytes - 4;

bool parse_number(std::string_view text, uint32_t least, uint32_t most, uint32_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value >= least && *value <= most;
}

bool parse_switch(std::string_view text, bool* value) {
  *value = text == "on" || text.empty();
  return *value || text == "off";
}

// A user or group by number or by name.
bool parse_owner(std::string_view text, bool group, int64_t* id) {
  uint32_t number;
  if (parse_number(text, 0, ~0u - 1, &number)) {
    *id = number;
    return true;
  }
  const std::string name(text);
  char memory[4096];
  if (group) {
    struct group entry, *found = nullptr;
    if (getgrnam_r(name.c_str(), &entry, memory, sizeof memory, &found) != 0 || found == nullptr) return false;
    *id = entry.gr_gid;
  } else {
    struct passwd entry, *found = nullptr;
    if (getpwnam_r(name.c_str(), &entry, memory, sizeof memory, &found) != 0 || found == nullptr) return false;
    *id = entry.pw_uid;
  }
  return true;
}

// Why "name=value" is wrong; null when it was taken.
const char* take_option(std::string_view name, std::string_view value, TapOptions* options) {
  TapRequest& request = options->request;
  if (name == "queues") return parse_number(value, 1, kQueuesMax, &request.queues) ? nullptr : "queues is a number from 1 to 64";
  if (name == "mtu") return parse_number(value, kMtuMin, kMtuMax, &request.mtu) ? nullptr : "mtu is a number from 68 to 9198";
  if (name == "persist") return parse_switch(value, &request.persist) ? nullptr : "persist is on or off";
  if (name == "offload") return parse_switch(value, &options->offload) ? nullptr : "offload is on or off";
  if (name == "owner") return parse_owner(value, false, &request.owner) ? nullptr : "owner is a user of this machine";
  if (name == "group") return parse_owner(value, true, &request.group) ? nullptr : "group is a group of this machine";
  if (name == "netns") request.netns = value;
  else if (name == "mac") request.mac = value;
  else if (name == "address") request.address = value;
  else return "a tap port takes queues, mtu, persist, owner, group, netns, mac, address and offload";
  return value.empty() ? "its value is missing" : nullptr;
}
static_assert(kMtuMax == 9198);

}  // namespace

Status parse_tap_spec(const std::string& spec, TapOptions* options) {
  std::string_view rest = spec;
  const auto wrong = [&](const std::string& what) { return Status(Code::kUsage, "port `" + spec + "`: " + what); };
  if (!rest.starts_with("tap:")) return wrong("tap:IF is meant");
  rest.remove_prefix(4);
  size_t comma = rest.find(',');
  options->request.name = rest.substr(0, comma);
  if (options->request.name.empty()) return wrong("a device's name is missing behind tap:");
  while (comma != std::string_view::npos) {
    rest.remove_prefix(comma + 1);
    comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const size_t equals = item.find('=');
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    if (const char* const why = take_option(item.substr(0, equals), value, options); why != nullptr)
      return wrong("`" + std::string(item) + "`: " + why);
  }
  return {};
}

}  // namespace paste
