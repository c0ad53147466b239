// VLANs of a port, and what a frame looks like when it leaves one.
//
// Transparent (the default, as VALE): frames pass as they came, whatever their tags. Access: untagged frames belong to one VLAN
// and leave untagged. Trunk: tagged frames of the allowed VLANs, and untagged ones for the native VLAN. Only the outermost
// 802.1Q tag (TPID 0x8100) counts; an 802.1ad tag (0x88a8) and inner tags are payload. Tags are logged as they came.
#pragma once

#include <bitset>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/ports/frame.h"

namespace paste {

inline constexpr uint32_t kVlanIds = 4096;          // 1..4094 can be configured
inline constexpr uint32_t kVlanTagBytes = 4;
inline constexpr uint32_t kMacsBytes = 12;          // destination and source address, in front of a tag

enum class VlanPolicy : uint8_t { kTransparent, kAccess, kTrunk };

struct VlanConfig {
  VlanPolicy policy = VlanPolicy::kTransparent;
  uint16_t vid = 0;                                 // access: its VLAN; trunk: the native VLAN, 0 = untagged frames are refused
  std::shared_ptr<const std::bitset<kVlanIds>> allowed;  // trunk: null = every VLAN

  bool aware() const { return policy != VlanPolicy::kTransparent; }
  bool allows(uint16_t vlan) const {
    if (policy == VlanPolicy::kAccess) return vlan == vid;
    return policy == VlanPolicy::kTransparent || allowed == nullptr || (*allowed)[vlan] || (vlan == vid && vid != 0);
  }
};

// The bytes of a frame as they leave a port: `head`, then `rest`. head_bytes = 0: the frame as it is.
struct FrameShape {
  uint8_t head[16];
  uint32_t head_bytes = 0;
  const uint8_t* rest = nullptr;
  uint32_t rest_bytes = 0;
  uint32_t length() const { return head_bytes + rest_bytes; }
};

// How many bytes longer (or, negative, shorter) the frame gets on its way out of a port: -4, 0 or 4.
inline int32_t vlan_growth(const VlanConfig& out, const Frame& frame) {
  if (!out.aware()) return 0;
  const bool tag = out.policy == VlanPolicy::kTrunk && frame.vlan != out.vid && frame.vlan != 0;
  return (tag ? 4 : 0) - (frame.tagged ? 4 : 0);
}

// False: the frame leaves as it is, and `shape` is not touched. A priority tag (VLAN id 0) that stays gets the frame's VLAN.
inline bool shape_frame(const VlanConfig& out, const Frame& frame, FrameShape* shape) {
  if (!out.aware()) return false;
  const bool tag = out.policy == VlanPolicy::kTrunk && frame.vlan != out.vid && frame.vlan != 0;
  if (!tag && !frame.tagged) return false;
  const uint32_t skip = frame.tagged ? kMacsBytes + kVlanTagBytes : kMacsBytes;
  std::memcpy(shape->head, frame.bytes, kMacsBytes);
  shape->head_bytes = kMacsBytes;
  if (tag) {
    const uint8_t priority = frame.tagged ? frame.bytes[14] & 0xf0 : 0;  // PCP and DEI stay
    const uint8_t tci[4] = {0x81, 0x00, static_cast<uint8_t>(priority | frame.vlan >> 8), static_cast<uint8_t>(frame.vlan)};
    std::memcpy(shape->head + kMacsBytes, tci, sizeof tci);
    shape->head_bytes += kVlanTagBytes;
  }
  shape->rest = frame.bytes + skip;
  shape->rest_bytes = frame.length - skip;
  return true;
}

}  // namespace paste
