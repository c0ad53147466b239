// The flow of a frame as one number, the same for both directions, and its outermost VLAN tag: what the records of frames that were
// switched say.
#pragma once

#include <cstdint>

#include "core/frame/wire.h"

namespace paste {

namespace flow {

// One round of MurmurHash3's 64-bit finalizer.
inline uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccd;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53;
  return x ^ x >> 33;
}

// Ports are part of the flow only where every packet of it shows them: fragments would not.
inline uint64_t ports(const uint8_t* at, uint32_t left, uint8_t protocol) {
  const bool has_ports =
      protocol == wire::kTcp || protocol == wire::kUdp || protocol == wire::kSctp || protocol == wire::kUdpLite;
  if (!has_ports || left < 4) return 0;
  return uint64_t{wire::big16(at)} + wire::big16(at + 2);
}

inline uint32_t finish(uint64_t hash) {
  const uint32_t folded = static_cast<uint32_t>(hash ^ hash >> 32);
  return folded == 0 ? 1 : folded;
}

inline uint32_t hash_ipv4(const uint8_t* ip, uint32_t left) {
  const uint32_t header = (ip[0] & 15u) * 4;
  if (left < 20 || header < 20) return 0;
  const bool fragment = (wire::big16(ip + 6) & 0x3fff) != 0;
  const uint64_t transport = fragment || left < header ? 0 : ports(ip + header, left - header, ip[9]);
  const uint64_t addresses = mix(wire::load32(ip + 12)) + mix(wire::load32(ip + 16));
  return finish(mix(addresses ^ transport << 16 ^ ip[9]));
}

inline uint32_t hash_ipv6(const uint8_t* ip, uint32_t left) {
  if (left < 40) return 0;
  uint8_t next = ip[6];
  uint32_t at = 40;
  bool fragment = false;
  // Extension headers: hop-by-hop, routing, fragment, destination options (RFC 8200); 8 of them are enough for anything sane.
  for (int i = 0; i < 8 && (next == 0 || next == 43 || next == 44 || next == 60) && at + 8 <= left; i++) {
    const uint8_t* header = ip + at;
    fragment |= next == 44 && (wire::big16(header + 2) & 0xfff9) != 0;
    at += next == 44 ? 8 : (header[1] + 1u) * 8;
    next = header[0];
  }
  const uint64_t transport = fragment || at >= left ? 0 : ports(ip + at, left - at, next);
  const uint64_t source = mix(wire::load64(ip + 8) ^ mix(wire::load64(ip + 16)));
  const uint64_t destination = mix(wire::load64(ip + 24) ^ mix(wire::load64(ip + 32)));
  return finish(mix((source + destination) ^ transport << 16 ^ next));
}

}  // namespace flow

struct FrameFacts {
  uint32_t flow_hash = 0;  // 0 = not an IP frame
  uint16_t vlan_tci = 0;
  bool tagged = false;
};

// `frame` is an Ethernet frame of `length` >= 14 bytes. Up to four tags are stepped over; the first one is told.
inline FrameFacts frame_facts(const uint8_t* frame, uint32_t length) {
  FrameFacts facts;
  uint32_t at = 12;
  uint32_t type = wire::big16(frame + at);
  for (int i = 0; i < 4 && wire::is_tag(type) && at + 6 <= length; i++) {
    if (i == 0) {
      facts.tagged = true;
      facts.vlan_tci = static_cast<uint16_t>(wire::big16(frame + at + 2));
    }
    at += 4;
    type = wire::big16(frame + at);
  }
  at += 2;
  if (at >= length) return facts;
  if (type == wire::kIpv4 && frame[at] >> 4 == 4) facts.flow_hash = flow::hash_ipv4(frame + at, length - at);
  if (type == wire::kIpv6 && frame[at] >> 4 == 6) facts.flow_hash = flow::hash_ipv6(frame + at, length - at);
  return facts;
}

}  // namespace paste
