// Community ID (the open standard, version 1, seed 0): one name for both directions of a flow, the same in every tool that has it.
#pragma once

#include <cstdint>

namespace paste {

// The SHA-1 over a frame's flow tuple, as five numbers; in text they are "1:" and Base64. False for a frame that has none: not IP (behind
// up to four VLAN tags, then perhaps MPLS labels or in a PPPoE session), cut off before its ports, or a later fragment, whose ports are elsewhere. Tunnels are not looked into.
bool community_id(const uint8_t* frame, uint32_t length, uint32_t (&digest)[5]);

// What the digest is made of: the same bytes for both directions of a flow.
struct FlowTuple {
  static constexpr uint32_t kBytesMax = 40;
  uint8_t bytes[kBytesMax];   // two of zero (the seed), the lower end's address, the other's, protocol, zero, then the ports if it has any;
                              // zeros behind `length`
  uint32_t length;
  bool swapped;               // the frame goes from the second end to the first
  const uint8_t* transport;   // in the frame
  uint32_t transport_bytes;
};
// False where community_id() is.
bool flow_tuple(const uint8_t* frame, uint32_t length, FlowTuple* flow);
void community_digest(const uint8_t* tuple_bytes, uint32_t tuple_length, uint32_t (&digest)[5]);

}  // namespace paste
