// What is said on ports.sock: fixed structures, one per packet of a SOCK_SEQPACKET connection, little-endian, no padding.
//
//   client -> daemon   Hello, once; with kOffersMemory the memfd of an earlier life as SCM_RIGHTS
//   daemon -> client   Reply; when status is 0, with memfd (unless kAdopted) and the client's end of the doorbell as SCM_RIGHTS,
//                      in this order
//   daemon -> client   Bye, when the port is detached on purpose: do not come back. A connection that ends without it was lost.
//
// The connection is the port's life: when it ends the port is gone. A packet of a wrong size, magic, version or type is
// answered with a Reply that says so, and the connection is closed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste::ports_protocol {

inline constexpr uint32_t kMagic = 0x54525350;  // "PSRT"
inline constexpr uint16_t kVersion = 1;
inline constexpr size_t kNameBytes = 64;
inline constexpr size_t kTextBytes = 256;
inline constexpr size_t kTokenBytes = 16;

enum Type : uint16_t { kHello = 1, kReply = 2, kBye = 3 };

// In front of every message. Later versions may add messages and lengthen them, never change these 16 bytes.
struct Header {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
  uint32_t size;      // of the whole message
  uint32_t reserved;  // zero
};
static_assert(sizeof(Header) == 16);

struct Geometry {
  uint32_t tx_rings, rx_rings, tx_slots, rx_slots, buffer_bytes, reserved;
};

enum HelloFlag : uint32_t { kExclusive = 1, kOffersMemory = 2 };
struct Hello {
  Header header;
  char name[kNameBytes];        // zero-terminated
  Geometry geometry;            // wanted
  uint32_t flags;
  uint32_t reserved;
  uint8_t token[kTokenBytes];   // of the last Reply; zero the first time
};
static_assert(sizeof(Hello) == 128);

enum ReplyFlag : uint32_t { kAdopted = 1 };
struct Reply {
  Header header;
  uint32_t status;              // 0, or paste::Code
  uint32_t flags;
  Geometry geometry;            // given
  uint64_t memory_bytes;
  uint8_t token[kTokenBytes];
  char text[kTextBytes];        // zero-terminated: why not
};
static_assert(sizeof(Reply) == 328);

struct Bye {
  Header header;
  char text[kTextBytes];
};
static_assert(sizeof(Bye) == 272);

constexpr Header header_of(Type type, size_t size) { return {kMagic, kVersion, type, static_cast<uint32_t>(size), 0}; }

}  // namespace paste::ports_protocol
