#include "core/ports/xdp/xdp_options.h"

#include <charconv>
#include <string_view>

namespace paste {
namespace {

constexpr size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1

Status wrong(const std::string& spec, const std::string& what) { return {Code::kUsage, "port `" + spec + "`: " + what}; }

// The place of `value` in a list of three words, or -1.
int choice(std::string_view value, std::string_view first, std::string_view second, std::string_view third) {
  return value == first ? 0 : value == second ? 1 : value == third ? 2 : -1;
}

Status parse_device(const std::string& spec, std::string_view device, XdpOptions* options) {
  const size_t at = device.find('@');
  options->interface = device.substr(0, at);
  if (options->interface.empty() || options->interface.size() > kInterfaceNameMax ||
      options->interface.find_first_of("/: ") != std::string::npos)
    return wrong(spec, "the name of an interface, at most 15 characters, belongs behind xdp:");
  if (at == std::string_view::npos) return {};
  const std::string_view queue = device.substr(at + 1);
  if (queue == "all") return {};
  const auto [end, error] = std::from_chars(queue.data(), queue.data() + queue.size(), options->queue);
  if (queue.empty() || error != std::errc() || end != queue.data() + queue.size() || options->queue == kAllQueues)
    return wrong(spec, "`@" + std::string(queue) + "`: @N for one receive queue, or @all");
  return {};
}

Status parse_option(const std::string& spec, std::string_view name, std::string_view value, XdpOptions* options) {
  int chosen = 0;
  const char* words = nullptr;
  if (name == "mode") {
    chosen = choice(value, "auto", "native", "generic");
    options->mode = static_cast<XdpRequest::Mode>(chosen);
    words = "auto, native or generic";
  } else if (name == "copy") {
    chosen = choice(value, "auto", "zero", "copy");
    options->copy = static_cast<XdpCopy>(chosen);
    words = "auto, zero or copy";
  } else if (name == "umem") {
    chosen = choice(value, "auto", "store", "dram");
    options->umem = static_cast<FrameMemoryPlace>(chosen);
    words = "auto, store or dram";
  } else if (name == "netns") {
    options->netns = value;
    if (value.empty()) return wrong(spec, "netns= needs a name below /run/netns, or a path");
  } else {
    return wrong(spec, "unknown option " + std::string(name) + ": an xdp port takes mode, copy, umem, netns");
  }
  return chosen < 0 ? wrong(spec, std::string(name) + "=" + std::string(value) + ": write " + words) : Status();
}

}  // namespace

Status parse_xdp_spec(const std::string& spec, XdpOptions* options) {
  std::string_view rest = spec;
  if (!rest.starts_with("xdp:")) return wrong(spec, "xdp:IF is meant");
  rest.remove_prefix(4);
  size_t comma = rest.find(',');
  if (Status status = parse_device(spec, rest.substr(0, comma), options); !status.ok()) return status;
  while (comma != std::string_view::npos) {
    rest.remove_prefix(comma + 1);
    comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) return wrong(spec, "`" + std::string(item) + "`: options are NAME=VALUE");
    if (Status status = parse_option(spec, item.substr(0, equals), item.substr(equals + 1), options); !status.ok()) return status;
  }
  return {};
}

}  // namespace paste
