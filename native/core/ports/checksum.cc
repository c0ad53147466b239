#include "core/ports/checksum.h"

#include <cstring>

#include "core/base/crc32c.h"
#include "core/frame/wire.h"

namespace paste {
namespace {

using namespace wire;

// The ones' complement sum of RFC 1071 works in either byte order, so words are summed as they lie in memory.
uint64_t sum_words(const uint8_t* bytes, uint32_t length) {
  uint64_t sum = 0;
  for (; length >= 8; bytes += 8, length -= 8) {
    const uint64_t word = load64(bytes);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  uint8_t rest[8] = {};
  std::memcpy(rest, bytes, length);
  const uint64_t word = load64(rest);
  return sum + (word & 0xffffffff) + (word >> 32);
}

uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

uint16_t big(uint32_t value) { return __builtin_bswap16(static_cast<uint16_t>(value)); }

// A transport header and what follows it, to the end of the IP packet.
struct Transport {
  uint8_t* bytes = nullptr;
  uint32_t length = 0;
  uint8_t protocol = 0;
  uint64_t addresses = 0;       // their sum
};

bool find_ipv4(uint8_t* ip, uint32_t left, Transport* found) {
  if (left < 20 || ip[0] >> 4 != 4) return false;
  const uint32_t header = (ip[0] & 15u) * 4, total = big16(ip + 2);
  if (header < 20 || total < header || total > left || (big16(ip + 6) & 0x3fff) != 0) return false;
  *found = {ip + header, total - header, ip[9], sum_words(ip + 12, 8)};
  return true;
}

bool find_ipv6(uint8_t* ip, uint32_t left, Transport* found) {
  if (left < 40 || ip[0] >> 4 != 6) return false;
  const uint32_t total = 40u + big16(ip + 4);
  if (total > left) return false;
  uint8_t next = ip[6];
  uint32_t at = 40;
  // Hop-by-hop and destination options; a routing header would change the address in the sum, and fragments are not whole.
  for (int i = 0; i < 4 && (next == 0 || next == 60) && at + 8 <= total; i++) {
    next = ip[at];
    at += (ip[at + 1] + 1u) * 8;
  }
  if (at > total) return false;
  *found = {ip + at, total - at, next, sum_words(ip + 8, 32)};
  return true;
}

bool finish_internet(const Transport& transport, uint32_t field) {
  if (transport.length < field + 2) return false;
  uint16_t held;
  std::memcpy(&held, transport.bytes + field, 2);
  const uint64_t pseudo = transport.addresses + big(transport.protocol) + big(transport.length);
  if (__builtin_expect(held != fold(pseudo), 1)) return false;
  const uint64_t sum = sum_words(transport.bytes, transport.length);  // the field holds the pseudo-header's part
  if (fold(sum + pseudo) == 0xffff) return false;                     // right as it is
  uint16_t finished = static_cast<uint16_t>(~fold(sum));
  if (finished == 0 && transport.protocol == kUdp) finished = 0xffff;  // RFC 768: 0 says "none"
  std::memcpy(transport.bytes + field, &finished, 2);
  return true;
}

bool finish_sctp(const Transport& transport) {
  if (transport.length < 12 || load32(transport.bytes + 8) != 0) return false;
  const uint32_t sum = crc32c(0, transport.bytes, transport.length);
  std::memcpy(transport.bytes + 8, &sum, 4);                          // little-endian: RFC 9260, appendix A
  return true;
}

// The packet's IP version; 0 when there is no whole transport packet in the frame.
uint32_t find_transport(uint8_t* frame, uint32_t length, Transport* found) {
  uint32_t at = 12;
  uint16_t type = big16(frame + at);
  for (int i = 0; i < 4 && is_tag(type) && at + 6 <= length; i++) {
    at += 4;
    type = big16(frame + at);
  }
  at += 2;
  if (at >= length) return 0;
  if (type == kIpv4) return find_ipv4(frame + at, length - at, found) ? 4 : 0;
  return type == kIpv6 && find_ipv6(frame + at, length - at, found) ? 6 : 0;
}

}  // namespace

bool complete_checksum(uint8_t* frame, uint32_t length) {
  Transport transport;
  if (find_transport(frame, length, &transport) == 0) return false;
  if (transport.protocol == kTcp) return finish_internet(transport, 16);
  if (transport.protocol == kUdp) return finish_internet(transport, 6);
  return transport.protocol == kSctp && finish_sctp(transport);
}

TcpPlace find_tcp(uint8_t* frame, uint32_t length) {
  Transport transport;
  const uint32_t version = find_transport(frame, length, &transport);
  if (version == 0 || transport.protocol != kTcp || transport.length < 20) return {};
  return {static_cast<uint32_t>(transport.bytes - frame) + (transport.bytes[12] >> 4) * 4u, version};
}

}  // namespace paste
