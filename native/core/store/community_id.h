// Community ID (the open standard, version 1, seed 0): one name for both directions of a flow, the same in every tool that has it.
#pragma once

#include <cstdint>

namespace paste {

// The SHA-1 over a frame's flow tuple, as five numbers; in text they are "1:" and Base64. False for a frame that has none: not IP (behind
// up to four VLAN tags), cut off before its ports, or a later fragment, whose ports are elsewhere. Tunnels are not looked into.
bool community_id(const uint8_t* frame, uint32_t length, uint32_t (&digest)[5]);

}  // namespace paste
