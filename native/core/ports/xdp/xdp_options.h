// `xdp:IF[@Q|@all][,mode=auto|native|generic][,copy=auto|zero|copy][,umem=auto|store|dram][,netns=NAME]` as options.
#pragma once

#include <cstdint>
#include <string>

#include "core/devices/devices.h"
#include "core/ports/frame_memory.h"

namespace paste {

inline constexpr uint32_t kAllQueues = ~0u;

enum class XdpCopy : uint8_t { kAuto, kZero, kCopy };  // kAuto: zero-copy where the driver can

struct XdpOptions {
  std::string interface;
  std::string netns;                 // name below /run/netns or a path; empty = the daemon's own
  uint32_t queue = kAllQueues;
  XdpRequest::Mode mode = XdpRequest::Mode::kAuto;
  XdpCopy copy = XdpCopy::kAuto;
  FrameMemoryPlace umem = FrameMemoryPlace::kAuto;
};

// USAGE with the word that is wrong.
Status parse_xdp_spec(const std::string& spec, XdpOptions* options);

}  // namespace paste
