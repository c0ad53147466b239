#include "core/replay/rewrite.h"

#include <cstring>

#include "core/base/crc32c.h"
#include "core/frame/wire.h"
#include "core/ports/checksum.h"

namespace paste {
namespace {

using namespace wire;

constexpr uint32_t kMacs = 12, kTag = 4;
constexpr int kTagsMax = 4;

// What a change adds to a ones' complement sum (RFC 1624, equation 3).
class Delta {
 public:
  void change(const uint8_t* before, const uint8_t* after, uint32_t bytes) {
    for (uint32_t i = 0; i + 2 <= bytes; i += 2) sum_ += (0xffffu ^ big16(before + i)) + big16(after + i);
  }
  bool none() const { return sum_ == 0; }
  void mend(uint8_t* checksum) const {
    uint64_t sum = (0xffffu ^ big16(checksum)) + sum_;
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    put16(checksum, ~static_cast<uint32_t>(sum) & 0xffff);
  }

 private:
  uint64_t sum_ = 0;
};

bool in_net(const RewriteOptions::Net& net, const uint8_t* address) {
  const uint32_t whole = net.prefix_bits / 8, rest = net.prefix_bits % 8;
  if (std::memcmp(address, net.from, whole) != 0) return false;
  return rest == 0 || ((address[whole] ^ net.from[whole]) >> (8 - rest)) == 0;
}

// Where the field of the transport's ones' complement checksum lies; 0 without one.
uint32_t checksum_at(uint8_t protocol) {
  switch (protocol) {
    case kTcp:
      return 16;
    case kUdp:
    case kUdpLite:
    case kDccp:
      return 6;
    case kIcmp6:
      return 2;
    default:
      return 0;
  }
}

bool has_ports(uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kUdpLite || protocol == kDccp || protocol == kSctp;
}

}  // namespace

// The part of a packet that ports lie in, and what has to be mended there.
struct Rewriter::Packet {
  uint8_t* transport = nullptr;
  uint32_t left = 0;         // bytes of the frame from there on
  uint32_t whole = 0;        // bytes of the packet from there on, as its header says; 0: a fragment
  uint8_t protocol = 0;
  bool v6 = false;
  Delta header;              // of IPv4's own checksum
  Delta pseudo;              // of the transport's
};

uint32_t Rewriter::rewrite(uint8_t* frame, uint32_t length) {
  changed_ = false;
  if (length < kMacs + 2) return length;
  if (!options_.macs.empty()) {
    change_mac(frame);
    change_mac(frame + 6);
  }
  if (options_.vlan != RewriteOptions::Vlan::kKeep) length = rewrite_tag(frame, length);
  if (!options_.nets.empty() || !options_.ports.empty() || !options_.macs.empty()) {
    uint32_t at = kMacs;
    for (int i = 0; i < kTagsMax && at + kTag + 2 <= length && is_tag(big16(frame + at)); ++i) at += kTag;
    const uint16_t type = big16(frame + at);
    at += 2;
    if (type == 0x0806) rewrite_arp(frame + at, length - at);
    const bool inside = type == kIpv4 || type == kIpv6;
    if (inside) changed_ |= complete_checksum(frame, length);
    if (type == kIpv4) rewrite_ipv4(frame + at, length - at);
    if (type == kIpv6) rewrite_ipv6(frame + at, length - at);
  }
  rewritten_ += changed_;
  return length;
}

uint32_t Rewriter::rewrite_tag(uint8_t* frame, uint32_t length) {
  const bool tagged = is_tag(big16(frame + kMacs)) && length >= kMacs + kTag + 2;
  uint8_t* tag = frame + kMacs;
  if (options_.vlan == RewriteOptions::Vlan::kAdd) {
    std::memmove(tag + kTag, tag, length - kMacs);
    put16(tag, kVlan);
    put16(tag + 2, options_.vlan_id);
    changed_ = true;
    return length + kTag;
  }
  if (!tagged) return length;
  if (options_.vlan == RewriteOptions::Vlan::kStrip) {
    std::memmove(tag, tag + kTag, length - kMacs - kTag);
    changed_ = true;
    return length - kTag;
  }
  const uint32_t before = big16(tag + 2), after = (before & 0xf000) | options_.vlan_id;  // priority and DEI stay
  put16(tag + 2, after);
  changed_ |= before != after;
  return length;
}

bool Rewriter::change_mac(uint8_t* mac) {
  for (const RewriteOptions::Mac& each : options_.macs) {
    if (std::memcmp(mac, each.from, 6) != 0) continue;
    std::memcpy(mac, each.to, 6);
    changed_ = true;
    return true;
  }
  return false;
}

// `packet` null: no checksum covers the address (ARP).
bool Rewriter::change_address(uint8_t* address, bool v6, Packet* packet) {
  for (const RewriteOptions::Net& net : options_.nets) {
    if (net.v6 != v6 || !in_net(net, address)) continue;
    const uint32_t bytes = v6 ? 16 : 4, whole = net.prefix_bits / 8, rest = net.prefix_bits % 8;
    uint8_t before[16];
    std::memcpy(before, address, bytes);
    std::memcpy(address, net.to, whole);
    if (rest != 0) {
      const auto mask = static_cast<uint8_t>(0xff << (8 - rest));
      address[whole] = static_cast<uint8_t>((net.to[whole] & mask) | (address[whole] & ~mask));
    }
    changed_ = true;
    if (packet == nullptr) return true;
    packet->header.change(before, address, bytes);
    packet->pseudo.change(before, address, bytes);
    return true;
  }
  return false;
}

void Rewriter::change_ports(Packet* packet) {
  for (uint32_t at = 0; at < 4; at += 2) {
    uint8_t* port = packet->transport + at;
    for (const RewriteOptions::PortPair& each : options_.ports) {
      if (big16(port) != each.from) continue;
      const uint8_t before[2] = {port[0], port[1]};
      put16(port, each.to);
      packet->pseudo.change(before, port, 2);
      changed_ = true;
      break;
    }
  }
}

// RFC 826, Ethernet and IPv4.
void Rewriter::rewrite_arp(uint8_t* arp, uint32_t left) {
  static constexpr uint8_t kHead[] = {0, 1, 8, 0, 6, 4};
  if (left < 28 || std::memcmp(arp, kHead, sizeof kHead) != 0) return;
  change_mac(arp + 8);
  change_address(arp + 14, false, nullptr);
  change_mac(arp + 18);
  change_address(arp + 24, false, nullptr);
}

void Rewriter::rewrite_ipv4(uint8_t* ip, uint32_t left) {
  if (left < 20 || ip[0] >> 4 != 4) return;
  const uint32_t header = (ip[0] & 15u) * 4, total = big16(ip + 2), fragment = big16(ip + 6);
  if (header < 20) return;
  Packet packet;
  packet.protocol = ip[9];
  change_address(ip + 12, false, &packet);
  change_address(ip + 16, false, &packet);
  if (!packet.header.none()) packet.header.mend(ip + 10);
  if ((fragment & 0x1fff) != 0 || left <= header) return;  // a later fragment has no transport header
  packet.transport = ip + header;
  packet.left = left - header;
  packet.whole = (fragment & 0x2000) == 0 && total >= header ? total - header : 0;
  rewrite_transport(&packet);
}

void Rewriter::rewrite_ipv6(uint8_t* ip, uint32_t left) {
  if (left < 40 || ip[0] >> 4 != 6) return;
  Packet packet;
  packet.v6 = true;
  uint32_t at = 40;
  const uint32_t total = 40u + big16(ip + 4);
  uint8_t next = ip[6];
  bool fragment = false, later = false, routed = false;
  while (at + 8 <= left) {  // each header takes 8 bytes at least
    uint32_t bytes = (ip[at + 1] + 1u) * 8;
    if (next == 44) {
      fragment = (big16(ip + at + 2) & 0xfff9) != 0;
      later = (big16(ip + at + 2) & 0xfff8) != 0;
      bytes = 8;
    } else if (next == 51) {
      bytes = (ip[at + 1] + 2u) * 4;
    } else if (next == 43) {
      routed |= ip[at + 3] != 0;  // the sum has the last hop's address, which is in that header
    } else if (next != 0 && next != 60) {
      break;
    }
    next = ip[at];
    at += bytes;
  }
  packet.protocol = next;
  change_address(ip + 8, true, &packet);
  Packet unseen;
  change_address(ip + 24, true, routed ? &unseen : &packet);
  if (later || at >= left) return;
  packet.transport = ip + at;
  packet.left = left - at;
  packet.whole = !fragment && total >= at ? total - at : 0;
  rewrite_transport(&packet);
}

void Rewriter::rewrite_transport(Packet* packet) {
  const bool sctp = packet->protocol == kSctp;
  uint8_t* at = packet->transport;
  bool right = false;
  if (sctp && !options_.ports.empty() && packet->whole >= 12 && packet->whole <= packet->left) {
    const uint32_t held = load32(at + 8);
    std::memset(at + 8, 0, 4);
    right = crc32c(0, at, packet->whole) == held;
    std::memcpy(at + 8, &held, 4);
  }
  if (sctp) packet->pseudo = {};  // its checksum has no pseudo-header (RFC 9260, section 6.8)
  if (has_ports(packet->protocol) && packet->left >= 4) change_ports(packet);
  if (packet->protocol == kIcmp6 && packet->v6) rewrite_neighbour(packet);
  if (packet->pseudo.none()) return;
  if (sctp && !right) {
    ++unmended_;
  } else if (sctp) {
    std::memset(at + 8, 0, 4);
    const uint32_t sum = crc32c(0, at, packet->whole);
    std::memcpy(at + 8, &sum, 4);
  }
  const uint32_t field = checksum_at(packet->protocol);
  if (field == 0 || packet->left < field + 2) return;
  const bool udp = packet->protocol == kUdp;
  if (udp && big16(at + field) == 0) return;  // no checksum: RFC 768; of tunnels over IPv6, RFC 6935
  packet->pseudo.mend(at + field);
  if ((udp || packet->protocol == kUdpLite) && big16(at + field) == 0) put16(at + field, 0xffff);  // RFC 3828, section 3.1
}

// RFC 4861: solicitation and advertisement name a target; link-layer addresses are options 1 and 2.
void Rewriter::rewrite_neighbour(Packet* packet) {
  uint8_t* at = packet->transport;
  const uint32_t end = packet->whole == 0 ? 0 : packet->left < packet->whole ? packet->left : packet->whole;
  if (end < 8 || at[0] < 133 || at[0] > 137) return;
  uint32_t option = at[0] == 133 ? 8 : at[0] == 134 ? 16 : at[0] == 137 ? 40 : 24;
  if ((at[0] == 135 || at[0] == 136 || at[0] == 137) && end >= 24) change_address(at + 8, true, packet);
  for (; option + 8 <= end && at[option + 1] != 0; option += at[option + 1] * 8u) {
    uint8_t before[6];
    if (at[option] != 1 && at[option] != 2) continue;
    std::memcpy(before, at + option + 2, 6);
    if (change_mac(at + option + 2)) packet->pseudo.change(before, at + option + 2, 6);
  }
}

}  // namespace paste
