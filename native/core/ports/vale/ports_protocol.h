// What is said on ports.sock: fixed structures, one per packet of a SOCK_SEQPACKET connection, little-endian, no padding.
// A connection is what an open file of /dev/netmap is in the kernel: the requests are netmap's own (NIOCCTRL), and so are
// their errors. Version 2.
//
//   client -> daemon   Request, any number of them, of which one REGISTER; with kOffersMemory the memfd of an earlier life
//                      as SCM_RIGHTS
//   daemon -> client   Reply, one per Request and in their order; a successful REGISTER brings memfd (unless kAdopted) and the
//                      client's end of the doorbell as SCM_RIGHTS, in this order
//   daemon -> client   Bye, when the port is detached on purpose: do not come back. A connection that ends without it was lost.
//
// The connection is the attachment's life: when it ends the attachment is gone, and with the last one the port, unless it is
// persistent. A refused request leaves the connection as it was. A packet of a wrong size, magic, version or type is answered
// with a Reply that says so, and the connection is closed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paste::ports_protocol {

inline constexpr uint32_t kMagic = 0x54525350;  // "PSRT"
inline constexpr uint16_t kVersion = 2;
inline constexpr size_t kNameBytes = 64;
inline constexpr size_t kTextBytes = 256;
inline constexpr size_t kTokenBytes = 16;
inline constexpr size_t kBodyBytes = 128;
// A daemon that does not answer for this long is none. On a busy machine making a port's memory may take part of a second.
inline constexpr int kAnswerMs = 5000;

enum Type : uint16_t { kRequest = 1, kReply = 2, kBye = 3 };

// In front of every message. Later versions may add messages and lengthen them, never change these 16 bytes.
struct Header {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
  uint32_t size;      // of the whole message
  uint32_t reserved;  // zero
};
static_assert(sizeof(Header) == 16);

// Besides netmap's requests: what REGISTER on this connection answered, once more, with a doorbell of its own, for another process
// that came to hold the connection (by exec, or in a message). ENXIO when nothing is registered.
inline constexpr uint32_t kAttachmentGet = 0x100;

// Also besides netmap's: a live tap (live_tap.h) on the port of this name, or on all; the body is a live_tap::TapWish. The answer brings its
// memory. The tap is there for as long as the connection; one for each connection.
inline constexpr uint32_t kTapOpen = 0x101;

// On reconnect (token of the last Reply, kOffersMemory with its memfd) the body is the Register of the last Reply: nr_offset says
// where in the memory the interface was, rings and slots what it had.
enum RequestFlag : uint32_t { kOffersMemory = 1 };
struct Request {
  Header header;
  uint32_t reqtype;             // netmap::RequestType
  uint32_t flags;
  char name[kNameBytes];        // nr_name, zero-terminated, as the kernel gets it: "vale0:a", "vale0:a{1", "v0"
  uint8_t token[kTokenBytes];   // zero the first time
  uint32_t buffer_bytes;        // REGISTER: of one packet buffer, when the port has a region of its own; 0 = 2048
  uint32_t api;                 // nr_version
  uint8_t body[kBodyBytes];     // the request's structure (netmap_abi.h), then zeros
};
static_assert(sizeof(Request) == 240);

enum ReplyFlag : uint32_t { kAdopted = 1 };
struct Reply {
  Header header;
  uint32_t error;               // 0, or the errno that netmap gives
  uint32_t code;                // 0, or paste::Code
  uint32_t flags;
  uint32_t reserved;
  uint64_t memory_bytes;        // REGISTER: size of the memfd
  uint8_t token[kTokenBytes];   // REGISTER
  char name[kNameBytes];        // nr_name as the request leaves it (VALE_LIST writes it)
  uint8_t body[kBodyBytes];     // the request's structure as the request leaves it
  char text[kTextBytes];        // zero-terminated: why not
};
static_assert(sizeof(Reply) == 504);

struct Bye {
  Header header;
  char text[kTextBytes];
};
static_assert(sizeof(Bye) == 272);

constexpr Header header_of(Type type, size_t size) { return {kMagic, kVersion, type, static_cast<uint32_t>(size), 0}; }

}  // namespace paste::ports_protocol
