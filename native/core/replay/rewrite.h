// Frames that are replayed somewhere else: addresses, ports and VLANs changed as options say, checksums mended.
//
// Checksums are mended by what changed (RFC 1624), so that a frame that the capture cut off, and a fragment, come out right, too, and a
// wrong checksum stays wrong by as much. One that a sender had left to its device is finished first (checksum.h). SCTP's CRC32c is
// made anew where the whole packet is there and its checksum was right; else it stays and is counted.
//
// What is looked at: Ethernet, up to four VLAN tags, ARP, IPv4, IPv6 with its extension headers, TCP, UDP, UDP-Lite, DCCP, SCTP,
// neighbour discovery (target and link-layer addresses). Not what tunnels and ICMP errors carry.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace paste {

struct RewriteOptions {
  struct Mac {
    uint8_t from[6], to[6];
  };
  // The first prefix_bits of an address in `from` become those of `to`; the others stay.
  struct Net {
    bool v6;
    uint32_t prefix_bits;
    uint8_t from[16], to[16];  // IPv4: the first four
  };
  struct PortPair {
    uint16_t from, to;
  };
  enum class Vlan : uint8_t { kKeep, kSet, kStrip, kAdd };  // the outermost 802.1Q or 802.1ad tag

  // Of each list the first entry that fits counts, for source and target each by itself.
  std::vector<Mac> macs;
  std::vector<Net> nets;
  std::vector<PortPair> ports;
  Vlan vlan = Vlan::kKeep;
  uint16_t vlan_id = 0;  // kSet: of frames that have a tag

  bool any() const { return !macs.empty() || !nets.empty() || !ports.empty() || vlan != Vlan::kKeep; }
};

inline constexpr uint32_t kRewriteGrowth = 4;  // bytes that a frame may get longer

class Rewriter {
 public:
  explicit Rewriter(RewriteOptions options) : options_(std::move(options)) {}

  // In place; the frame has room for kRewriteGrowth bytes more. Returns its new length.
  uint32_t rewrite(uint8_t* frame, uint32_t length);
  uint64_t rewritten() const { return rewritten_; }  // frames of which a byte changed
  uint64_t unmended() const { return unmended_; }    // frames whose SCTP checksum could not be made anew

 private:
  struct Packet;

  uint32_t rewrite_tag(uint8_t* frame, uint32_t length);
  bool change_mac(uint8_t* mac);
  bool change_address(uint8_t* address, bool v6, Packet* packet);
  void change_ports(Packet* packet);
  void rewrite_arp(uint8_t* arp, uint32_t left);
  void rewrite_ipv4(uint8_t* ip, uint32_t left);
  void rewrite_ipv6(uint8_t* ip, uint32_t left);
  void rewrite_transport(Packet* packet);
  void rewrite_neighbour(Packet* packet);

  const RewriteOptions options_;
  bool changed_ = false;  // the frame at hand
  uint64_t rewritten_ = 0, unmended_ = 0;
};

}  // namespace paste
