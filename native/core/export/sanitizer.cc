#include "core/export/sanitizer.h"

#include <algorithm>
#include <cstring>

#include "core/frame/wire.h"

namespace paste {

using namespace wire;

namespace {

constexpr uint32_t kDepthMax = 4;  // of headers inside headers

// The sum of RFC 1071 without its complement, folded.
uint16_t sum_of(const uint8_t* bytes, uint32_t size) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i + 1 < size; i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Maximum segment size, window scale, SACK and timestamps, in their own sizes: one that is longer may hold anything, as do those that are not
// here (multipath has addresses, fast open cookies).
bool option_stays(uint8_t kind, uint32_t size) {
  switch (kind) {
    case 2: return size == 4;
    case 3: return size == 3;
    case 4: return size == 2;
    case 5: return size >= 10 && size % 8 == 2;
    case 8: return size == 10;
    default: return false;
  }
}

}  // namespace

uint32_t Sanitizer::apply(const uint8_t* frame, uint32_t length) {
  bytes_.assign(frame, frame + length);
  length_ = length;
  return ethernet(0, 0);
}

void Sanitizer::zero(uint32_t from, uint32_t to) { memset(p(from), 0, std::min(to, length_) - std::min(from, length_)); }

// RFC 1624: HC' = ~(~HC + ~m + m'); sum_ holds the ~m + m' of the addresses.
void Sanitizer::checksum(uint32_t at) {
  if (!has(at, 2)) return;
  const uint16_t old = big16(at);
  if (!keep_payload_) return put16(p(at), 0);
  uint32_t sum = static_cast<uint16_t>(~old) + sum_;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(p(at), ~sum & 0xffff);
}

// Where a packet ends by its own word. What lies behind that, padding of short frames, may be anything. Large ones that a device will cut
// up, and jumbograms, say 0.
uint32_t Sanitizer::end_of(uint32_t at, uint32_t packet_bytes, uint32_t header_bytes) const {
  if (packet_bytes == 0) return length_;
  return std::min(length_, at + std::max(packet_bytes, header_bytes));
}

uint32_t Sanitizer::ethernet(uint32_t at, uint32_t depth) {
  if (!has(at, 14)) return at;  // half an address is no address
  pan_.mac(p(at));
  pan_.mac(p(at + 6));
  uint16_t type = big16(at + 12);
  at += 14;
  for (int tags = 0; tags < 4 && is_tag_ever(type) && has(at, 4); ++tags, at += 4) type = big16(at + 2);
  return type == kBridged ? at : by_ether_type(type, at, depth);  // only tunnels hold frames: so nothing nests deeper than kDepthMax
}

uint32_t Sanitizer::by_ether_type(uint16_t type, uint32_t at, uint32_t depth) {
  if (depth > kDepthMax) return at;
  switch (type) {
    case kIpv4: return ipv4(at, depth);
    case kIpv6: return ipv6(at, depth);
    case kArp: return arp(at);
    case kBridged: return ethernet(at, depth);
    default: return at;
  }
}

uint32_t Sanitizer::arp(uint32_t at) {
  static constexpr uint8_t kHead[6] = {0, 1, 8, 0, 6, 4};  // Ethernet, IPv4 and their sizes
  if (!has(at, 28) || memcmp(p(at), kHead, sizeof kHead) != 0) return at;
  static constexpr uint8_t kNobody[6] = {};
  for (const uint32_t mac : {at + 8, at + 18})
    if (memcmp(p(mac), kNobody, 6) != 0) pan_.mac(p(mac));
  pan_.ipv4(p(at + 14));
  pan_.ipv4(p(at + 24));
  return at + 28;
}

uint32_t Sanitizer::ipv4(uint32_t at, uint32_t depth) {
  if (depth > kDepthMax || !has(at, 20) || *p(at) >> 4 != 4) return at;
  const uint32_t header = (*p(at) & 15u) * 4;
  if (header < 20 || !has(at, header)) return at;
  const bool good = sum_of(p(at), header) == 0xffff;
  const uint16_t before = sum_of(p(at + 12), 8);
  pan_.ipv4(p(at + 12));
  pan_.ipv4(p(at + 16));
  sum_ = static_cast<uint32_t>(static_cast<uint16_t>(~before)) + sum_of(p(at + 12), 8);
  zero(at + 20, at + header);  // options may hold addresses; a zero ends them
  put16(p(at + 10), 0);
  const uint16_t sum = static_cast<uint16_t>(~sum_of(p(at), header));
  put16(p(at + 10), good ? sum : sum ^ 0x5555);  // wrong stays wrong
  const uint32_t end = end_of(at, big16(at + 2), header);
  const bool later = (big16(at + 6) & 0x1fff) != 0;
  if (later) return at + header;  // of what it is a part, also of a packet inside a tunnel, nothing here tells
  return std::min(by_protocol(*p(at + 9), at + header, depth), end);
}

uint32_t Sanitizer::ipv6(uint32_t at, uint32_t depth) {
  if (depth > kDepthMax || !has(at, 40) || *p(at) >> 4 != 6) return at;
  const uint16_t before = sum_of(p(at + 8), 32);
  pan_.ipv6(p(at + 8));
  pan_.ipv6(p(at + 24));
  sum_ = static_cast<uint32_t>(static_cast<uint16_t>(~before)) + sum_of(p(at + 8), 32);
  const uint32_t end = end_of(at, big16(at + 4) == 0 ? 0 : 40u + big16(at + 4), 40);
  uint8_t next = *p(at + 6);
  at += 40;
  for (int steps = 0; steps < 8; ++steps) {
    if (next == kFragment) {
      if (!has(at, 8)) return at;
      const bool later = (big16(at + 2) & 0xfff8) != 0;
      next = *p(at);
      zero(at + 1, at + 2);
      at += 8;
      if (later) return at;
    } else if (next == kHopByHop || next == kDestinationOptions || next == kRouting) {
      if (!has(at, 8)) return at;
      const uint32_t size = 8 + *p(at + 1) * 8u;
      if (!has(at, size)) return at;
      const bool routing = next == kRouting;
      next = *p(at);
      // Routing: its type and how far it is stay, its addresses go. Options: Pad1, all of them.
      zero(at + (routing ? 4 : 2), at + size);
      at += size;
    } else {
      break;
    }
  }
  return std::min(by_protocol(next, at, depth), std::max(end, at));
}

uint32_t Sanitizer::by_protocol(uint8_t protocol, uint32_t at, uint32_t depth) {
  switch (protocol) {
    case kTcp: return tcp(at);
    case kUdp: return udp(at, depth);
    case kSctp: return sctp(at);
    case kIcmp: return icmp(at, depth);
    case kIcmp6: return icmpv6(at, depth);
    case kGre: return gre(at, depth);
    case kIpInIp: return ipv4(at, depth + 1);
    case kIpv6InIp: return ipv6(at, depth + 1);
    default: return at;
  }
}

uint32_t Sanitizer::tcp(uint32_t at) {
  if (!has(at, 20)) return has(at, 8) ? at + 8 : at;  // ports and sequence, as inside an ICMP error
  const uint32_t header = (*p(at + 12) >> 4) * 4u;
  if (header < 20) return at + 8;
  checksum(at + 16);
  uint32_t option = at + 20;
  const uint32_t end = std::min(at + header, length_);
  while (option < end) {
    const uint8_t kind = *p(option);
    if (kind == 0) break;
    if (kind == 1) {
      ++option;
      continue;
    }
    const uint32_t size = option + 1 < end ? *p(option + 1) : 0;
    if (size < 2 || size > end - option) break;
    if (!option_stays(kind, size)) memset(p(option), 1, size);
    option += size;
  }
  zero(option, end);
  return keep_payload_ ? length_ : end;
}

uint32_t Sanitizer::udp(uint32_t at, uint32_t depth) {
  if (!has(at, 8)) return at;
  const uint16_t port = big16(at + 2);
  const bool tunnel = port == 4789 || port == 8472 || port == 6081;
  const bool none = big16(at + 6) == 0;
  // Behind a tunnel's header frames change, so its checksum goes; 0 means that there is none.
  if (tunnel) put16(p(at + 6), 0);
  else if (!none) checksum(at + 6);
  if (!tunnel && keep_payload_ && !none && big16(at + 6) == 0) put16(p(at + 6), 0xffff);  // RFC 768: 0 is sent as all ones
  at += 8;
  if (tunnel && depth < kDepthMax) {
    if (port == 6081) return geneve(at, depth);
    if (!has(at, 8)) return at;
    zero(at + 1, at + 4);
    zero(at + 7, at + 8);  // reserved
    return ethernet(at + 8, depth + 1);
  }
  return keep_payload_ && !tunnel ? length_ : at;
}

uint32_t Sanitizer::geneve(uint32_t at, uint32_t depth) {
  if (!has(at, 8) || *p(at) >> 6 != 0) return at;
  const uint32_t header = 8 + (*p(at) & 63u) * 4;
  if (!has(at, header)) return at;
  zero(at + 7, at + header);  // one byte is reserved
  return by_ether_type(big16(at + 2), at + header, depth + 1);
}

uint32_t Sanitizer::gre(uint32_t at, uint32_t depth) {
  if (!has(at, 4) || (*p(at + 1) & 7) != 0 || (*p(at) & 0x40) != 0) return at;  // version 0 without routing (RFC 2784, 2890)
  const uint8_t flags = *p(at);
  const uint16_t type = big16(at + 2);
  const uint32_t optional = (flags & 0x80 ? 4u : 0) + (flags & 0x20 ? 4u : 0) + (flags & 0x10 ? 4u : 0);
  if (!has(at, 4 + optional)) return at;
  if (flags & 0x80) zero(at + 4, at + 8);  // a checksum over what is changed
  return by_ether_type(type, at + 4 + optional, depth + 1);
}

uint32_t Sanitizer::sctp(uint32_t at) {
  if (!has(at, 12)) return has(at, 8) ? at + 8 : at;
  if (!keep_payload_) zero(at + 8, at + 12);  // CRC-32C over the payload; addresses are not in it
  return keep_payload_ ? length_ : at + 12;
}

uint32_t Sanitizer::icmp(uint32_t at, uint32_t depth) {
  if (!has(at, 8)) return at;
  const uint8_t type = *p(at);
  if (type == 0 || type == 8) {  // echo; its checksum knows no addresses
    if (!keep_payload_) put16(p(at + 2), 0);
    return keep_payload_ ? length_ : at + 8;
  }
  put16(p(at + 2), 0);
  const bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  if (!error) return at + 4;
  if (type == 5) pan_.ipv4(p(at + 4));  // redirect: the gateway
  else if (type == 3) zero(at + 4, at + 6);  // the MTU stays
  else zero(type == 12 ? at + 5 : at + 4, at + 8);  // a pointer stays
  const bool keep = keep_payload_;
  keep_payload_ = false;  // what is quoted is a header
  const uint32_t end = ipv4(at + 8, depth + 1);
  keep_payload_ = keep;
  return end;
}

uint32_t Sanitizer::icmpv6(uint32_t at, uint32_t depth) {
  if (!has(at, 8)) return at;
  const uint8_t type = *p(at);
  if (type == 128 || type == 129) {
    checksum(at + 2);
    return keep_payload_ ? length_ : at + 8;
  }
  put16(p(at + 2), 0);
  if (type == 1 || type == 3 || type == 133 || type == 135) zero(at + 4, at + 8);  // others have an MTU there, a pointer or flags
  if (type >= 1 && type <= 4) {
    const bool keep = keep_payload_;
    keep_payload_ = false;
    const uint32_t end = ipv6(at + 8, depth + 1);
    keep_payload_ = keep;
    return end;
  }
  const bool neighbour = type == 135 || type == 136;
  if (!neighbour) return at + (type == 133 ? 8 : 4);
  if (type == 136) {
    *p(at + 4) &= 0xe0;
    zero(at + 5, at + 8);
  }
  if (!has(at, 24)) return at + 8;
  pan_.ipv6(p(at + 8));
  // One option, the link-layer address, where it comes first.
  if (!has(at, 32) || (*p(at + 24) != 1 && *p(at + 24) != 2) || *p(at + 25) != 1) return at + 24;
  pan_.mac(p(at + 26));
  return at + 32;
}

}  // namespace paste
