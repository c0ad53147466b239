// What the daemon and the broker say to each other: one fixed request, one fixed answer, over SOCK_SEQPACKET, both of one machine's
// byte order. Descriptors travel beside them (SCM_RIGHTS). The broker believes nothing: every length, count and string is checked.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/devices/devices.h"

namespace paste::broker {

inline constexpr uint32_t kMagic = 0x4b425350;  // "PSBK"
inline constexpr uint16_t kVersion = 1;

enum Call : uint16_t { kInterfaceInfo = 1, kOpenTap, kOpenXdp, kInsertSocket, kOpenNetmap };
enum RequestFlag : uint32_t { kPersist = 1, kVnetHeader = 2, kFragments = 4 };
enum ReplyFlag : uint32_t { kUp = 1, kRunning = 2, kNative = 4 };

inline constexpr uint32_t kRequestDescriptors = 2;              // insert_socket: map, socket
inline constexpr uint32_t kReplyDescriptorsMax = kQueuesMax + 2;  // open_xdp: sockets, map, link

// Texts end in a zero byte within their field.
struct Request {
  uint32_t magic;
  uint16_t version, call;
  uint32_t sequence;
  uint32_t flags;
  char name[16];
  char netns[256];
  char mac[24];
  char address[64];
  int64_t owner, group;
  uint32_t mtu, offloads;
  uint32_t mode;                 // XdpRequest::Mode
  uint32_t queue_count;          // of open_tap and open_xdp
  uint32_t queues[kQueuesMax];   // of open_xdp; the first one of insert_socket
};
static_assert(std::is_trivially_copyable_v<Request> && sizeof(Request) == 664);

struct Reply {
  uint32_t magic;
  uint16_t version, code;        // paste::Code
  uint32_t sequence;             // the request's
  uint32_t flags;
  uint32_t descriptors;          // how many come along
  uint32_t index, mtu, rx_queues, tx_queues;
  uint8_t mac[6];
  uint8_t reserved[2];
  char driver[36];
  char text[512];                // why it failed; longer ones are cut
};
static_assert(std::is_trivially_copyable_v<Reply> && sizeof(Reply) == 592);

}  // namespace paste::broker
