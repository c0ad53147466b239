// Frames as they are on the wire: numbers, big-endian wherever they lie, and what some of them mean (IANA's and the IEEE's registries).
#pragma once

#include <cstdint>
#include <cstring>

namespace paste::wire {

inline uint32_t big16(const uint8_t* at) { return static_cast<uint32_t>(at[0]) << 8 | at[1]; }
inline uint32_t big32(const uint8_t* at) { return big16(at) << 16 | big16(at + 2); }
inline void put16(uint8_t* to, uint32_t value) {
  to[0] = static_cast<uint8_t>(value >> 8);
  to[1] = static_cast<uint8_t>(value);
}
inline void put32(uint8_t* to, uint32_t value) {
  put16(to, value >> 16);
  put16(to + 2, value);
}

// As it lies in memory, for sums and hashes.
inline uint64_t load64(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}
inline uint32_t load32(const uint8_t* at) {
  uint32_t word;
  std::memcpy(&word, at, 4);
  return word;
}

enum EtherType : uint16_t {
  kIpv4 = 0x0800,
  kArp = 0x0806,
  kBridged = 0x6558,  // Ethernet in GRE
  kRarp = 0x8035,
  kVlan = 0x8100,
  kIpv6 = 0x86dd,
  kMpls = 0x8847,
  kMplsMulticast = 0x8848,
  kPppoeSession = 0x8864,
  kServiceVlan = 0x88a8,
  kErspan2 = 0x88be,
  kErspan3 = 0x22eb,
  kOldServiceVlan = 0x9100
};

// What PPPoE sessions hold (uncompressed).
enum PppProtocol : uint16_t { kPppIpv4 = 0x0021, kPppIpv6 = 0x0057, kPppMpls = 0x0281 };

// Of IP, the extension headers among them.
enum Protocol : uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kIpInIp = 4,
  kTcp = 6,
  kUdp = 17,
  kDccp = 33,
  kIpv6InIp = 41,
  kRouting = 43,
  kFragment = 44,
  kGre = 47,
  kAuthentication = 51,
  kIcmp6 = 58,
  kDestinationOptions = 60,
  kSctp = 132,
  kUdpLite = 136
};

// 802.1Q and 802.1ad: what the switch takes for tags.
inline bool is_tag(uint32_t ether_type) { return ether_type == kVlan || ether_type == kServiceVlan; }
// Also the one that was in use before 802.1ad: what captures may hold.
inline bool is_tag_ever(uint32_t ether_type) { return is_tag(ether_type) || ether_type == kOldServiceVlan; }

}  // namespace paste::wire
