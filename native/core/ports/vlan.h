// VLANs of a port, and what a frame looks like when it leaves one.
//
// Transparent (the default, as VALE): frames pass as they came, whatever their tags. Access: untagged frames belong to one VLAN
// and leave untagged. Trunk: tagged frames of the allowed VLANs, and untagged ones for the native VLAN. Only the outermost
// 802.1Q tag (TPID 0x8100) counts; an 802.1ad tag (0x88a8), inner tags, and a tag that the frame's end cuts off are payload. Tags
// are logged as they came.
//
// What a transparent port gives belongs to the VLAN of its 802.1Q tag, or to none: then transparent ports alone take it, since no
// tag says where else it would belong.
#pragma once

#include <bitset>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/ports/frame.h"

namespace paste {

inline constexpr uint32_t kVlanIds = 4096;
inline constexpr uint32_t kVlanIdMax = 4094;        // 0 is no VLAN, 4095 is reserved (IEEE 802.1Q-2018, table 9-2)
inline constexpr uint32_t kVlanTagBytes = 4;
inline constexpr uint32_t kMacsBytes = 12;          // destination and source address, in front of a tag

enum class VlanPolicy : uint8_t { kTransparent, kAccess, kTrunk };

struct VlanConfig {
  VlanPolicy policy = VlanPolicy::kTransparent;
  uint16_t vid = 0;                                 // access: its VLAN; trunk: the native VLAN, 0 = untagged frames are refused
  std::shared_ptr<const std::bitset<kVlanIds>> allowed;  // trunk: null = every VLAN

  bool aware() const { return policy != VlanPolicy::kTransparent; }
  // Whether frames of that VLAN may leave by the port (and tagged ones come in by it). 0: frames that belong to none.
  bool allows(uint16_t vlan) const {
    if (policy == VlanPolicy::kTransparent) return true;
    if (policy == VlanPolicy::kAccess) return vlan == vid;
    return vlan != 0 && vlan <= kVlanIdMax && (allowed == nullptr || (*allowed)[vlan] || vlan == vid);
  }
};

// The VLAN id of a frame's outermost 802.1Q tag (0: a priority tag), or -1 without one.
inline int32_t vlan_tag_of(const uint8_t* bytes, uint32_t length) {
  if (length < kEthernetHeaderBytes + kVlanTagBytes || bytes[12] != 0x81 || bytes[13] != 0x00) return -1;
  return (bytes[14] << 8 | bytes[15]) & 0xfff;
}

// Sets Frame::vlan and Frame::tagged as the port that the frame came in by says. False: the port does not take it.
inline bool admit_frame(const VlanConfig& in, Frame& frame) {
  const int32_t tag = vlan_tag_of(frame.bytes, frame.length);
  frame.tagged = tag >= 0;
  frame.vlan = static_cast<uint16_t>(tag > 0 ? tag : in.aware() ? in.vid : 0);
  return !in.aware() || in.allows(frame.vlan);
}

// The bytes of a frame as they leave a port: `head`, then `rest`. head_bytes = 0: the frame as it is.
struct FrameShape {
  uint8_t head[16];
  uint32_t head_bytes = 0;
  const uint8_t* rest = nullptr;
  uint32_t rest_bytes = 0;
  uint32_t length() const { return head_bytes + rest_bytes; }
};

// A tag leaves with a frame of every VLAN but a trunk's native one.
inline bool leaves_tagged(const VlanConfig& out, const Frame& frame) {
  return out.policy == VlanPolicy::kTrunk && frame.vlan != out.vid && frame.vlan != 0;
}

// How many bytes longer (or, negative, shorter) the frame gets on its way out of a port: -4, 0 or 4.
inline int32_t vlan_growth(const VlanConfig& out, const Frame& frame) {
  if (!out.aware()) return 0;
  return (leaves_tagged(out, frame) ? 4 : 0) - (frame.tagged ? 4 : 0);
}

// False: the frame leaves as it is, and `shape` is not touched. A priority tag (VLAN id 0) that stays gets the frame's VLAN.
inline bool shape_frame(const VlanConfig& out, const Frame& frame, FrameShape* shape) {
  if (!out.aware()) return false;
  const bool tag = leaves_tagged(out, frame);
  if (!frame.tagged && !tag) return false;
  if (frame.tagged && tag && vlan_tag_of(frame.bytes, frame.length) == frame.vlan) return false;
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
