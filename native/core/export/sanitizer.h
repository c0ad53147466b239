// Frames made fit to be shared: addresses mapped, payloads cut, and whatever is not understood cut before it begins. Only bytes that this file's
// code names get through.
//
// What stays: Ethernet addresses (mapped), VLAN tags, ARP for IPv4; IPv4 and IPv6 headers (addresses mapped, options and extension
// headers' contents zeroed); TCP, UDP and SCTP headers (TCP options that hold no address); ICMP's first bytes, and the headers inside its
// errors; the same again inside VXLAN, GENEVE, GRE and IP in IP. Lengths in headers stay, so that a frame shows how long it was.
#pragma once

#include <cstdint>
#include <vector>

#include "core/export/crypto_pan.h"

namespace paste {

struct SanitizeOptions {
  uint8_t key[32] = {};
  bool keep_payload = false;  // behind TCP, UDP, SCTP and ICMP echo headers
  bool keep_oui = false;
};

class Sanitizer {
 public:
  explicit Sanitizer(const SanitizeOptions& options) : pan_(options.key, options.keep_oui), keep_payload_(options.keep_payload) {}

  // The frame's sanitized bytes, at data(), valid until the next call; their number is returned, at most `length`.
  uint32_t apply(const uint8_t* frame, uint32_t length);
  const uint8_t* data() const { return bytes_.data(); }

 private:
  // Each looks at the bytes from `at` on and returns where what may stay ends: `at` itself when it does not understand them.
  uint32_t ethernet(uint32_t at, uint32_t depth);
  uint32_t by_ether_type(uint16_t type, uint32_t at, uint32_t depth);
  uint32_t arp(uint32_t at);
  uint32_t ipv4(uint32_t at, uint32_t depth);
  uint32_t ipv6(uint32_t at, uint32_t depth);
  uint32_t by_protocol(uint8_t protocol, uint32_t at, uint32_t depth);
  uint32_t tcp(uint32_t at);
  uint32_t udp(uint32_t at, uint32_t depth);
  uint32_t sctp(uint32_t at);
  uint32_t icmp(uint32_t at, uint32_t depth);
  uint32_t icmpv6(uint32_t at, uint32_t depth);
  uint32_t gre(uint32_t at, uint32_t depth);
  uint32_t geneve(uint32_t at, uint32_t depth);

  bool has(uint32_t at, uint32_t bytes) const { return at <= length_ && bytes <= length_ - at; }
  uint8_t* p(uint32_t at) { return bytes_.data() + at; }
  uint16_t big16(uint32_t at) const { return static_cast<uint16_t>(bytes_[at] << 8 | bytes_[at + 1]); }
  uint32_t end_of(uint32_t at, uint32_t packet_bytes, uint32_t header_bytes) const;
  void zero(uint32_t from, uint32_t to);
  // A checksum of what is cut or changed tells about what was there: it goes, or where payloads stay it follows the addresses.
  void checksum(uint32_t at);

  CryptoPan pan_;
  bool keep_payload_;
  std::vector<uint8_t> bytes_;
  uint32_t length_ = 0;
  uint32_t sum_ = 0;  // what mapping added to the pseudo header's sum, for checksums that are mended
};

}  // namespace paste
