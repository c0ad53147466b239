// Unfinished checksums. A sender on the same machine (behind a veth, a bridge, lo) leaves the TCP or UDP checksum to the device,
// and AF_XDP hands the frame over as it is: the field holds the sum of the pseudo-header alone, not complemented (Linux,
// CHECKSUM_PARTIAL). Nothing behind the switch would accept such a frame.
#pragma once

#include <cstdint>

namespace paste {

// Finishes the checksum of a whole Ethernet frame where it is unfinished; true when it did. Looks at TCP and UDP in IPv4 and IPv6, and at
// SCTP (its CRC32c left 0), behind up to four VLAN tags; fragments and everything else stay as they are. A checksum that is right
// by chance with a field that looks unfinished (1 in 65536) stays as it is, too: it is computed before it is written.
bool complete_checksum(uint8_t* frame, uint32_t length);

// Where the payload of a TCP segment begins in its frame, and its IP version (4 or 6); 0 when it is none.
struct TcpPlace {
  uint32_t payload = 0;
  uint32_t version = 0;
};
TcpPlace find_tcp(uint8_t* frame, uint32_t length);

}  // namespace paste
