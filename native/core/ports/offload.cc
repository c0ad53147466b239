#include "core/ports/offload.h"

#include <cstring>

#include "core/frame/wire.h"

namespace paste {
namespace {

using namespace wire;

constexpr uint8_t kFin = 0x01, kPush = 0x08, kAck = 0x10, kCwr = 0x80;  // of TCP's flags
constexpr uint32_t kExtensionsMax = 8;                     // headers between IPv6 and its transport

// Every checksum that an IP header's or a transport's sum may have: a sum of 0 is written as ffff, as UDP wants it (RFC 768);
// for TCP both mean the same.
void put_checksum(uint8_t* to, uint64_t sum) {
  const uint16_t value = checksum_fold(sum);
  put16(to, value == 0 ? 0xffffu : value);
}

}  // namespace

// In host order, which a one's-complement sum does not mind (RFC 1071, section 2B), turned round at the end. 32-bit words into 64-bit
// sums: no carry is lost below 16 GiB.
uint64_t checksum_add(uint64_t sum, const uint8_t* bytes, uint32_t length) {
  uint64_t a = 0, b = 0, c = 0, d = 0;
  while (length >= 16) {
    uint32_t words[4];
    std::memcpy(words, bytes, sizeof words);
    a += words[0];
    b += words[1];
    c += words[2];
    d += words[3];
    bytes += 16;
    length -= 16;
  }
  for (; length >= 2; bytes += 2, length -= 2) {
    uint16_t word;
    std::memcpy(&word, bytes, sizeof word);
    a += word;
  }
  if (length != 0) a += bytes[0];  // as if a zero byte followed
  uint64_t own = a + b + c + d;
  while (own >> 16 != 0) own = (own & 0xffff) + (own >> 16);
  return sum + __builtin_bswap16(static_cast<uint16_t>(own));
}

uint16_t checksum_fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// The field holds the sum of the pseudo header; it is summed along with the rest.
bool finish_checksum(const VirtioNetHeader& header, uint8_t* frame, uint32_t length) {
  if ((header.flags & virtio::kNeedsChecksum) == 0) return true;
  const uint32_t field = uint32_t{header.csum_start} + header.csum_offset;
  if (header.csum_start < kEthernetHeaderBytes || field + 2 > length) return false;
  put_checksum(frame + field, checksum_add(0, frame + header.csum_start, length - header.csum_start));
  return true;
}

bool Segmenter::begin(const VirtioNetHeader& header, const uint8_t* frame, uint32_t length) {
  end();
  const uint8_t gso = header.gso_type & static_cast<uint8_t>(~virtio::kGsoEcn);
  const bool tcp = gso == virtio::kGsoTcp4 || gso == virtio::kGsoTcp6;
  if ((!tcp && gso != virtio::kGsoUdpSegments) || header.gso_size == 0 || length > kOffloadBytesMax) return false;
  frame_ = frame;
  length_ = length;
  tcp_ = tcp;
  if (!find_network() || !find_transport(gso, tcp ? kTcp : kUdp)) return false;
  // What a header says of the checksum is computed anyway; saying something else means another frame than this one (a tunnel's).
  const bool asks = (header.flags & virtio::kNeedsChecksum) != 0;
  if (asks && (header.csum_start != transport_ || header.csum_offset != (tcp ? 16 : 6))) return false;
  size_ = header.gso_size;
  if (header_bytes_ + size_ > kLiveFrameBytesMax && header_bytes_ + payload_ > kLiveFrameBytesMax) return false;
  const uint32_t count = payload_ == 0 ? 1 : (payload_ + size_ - 1) / size_;
  if (count > kSegmentsMax) return false;
  count_ = count;
  return true;
}

bool Segmenter::find_network() {
  uint32_t at = kEthernetHeaderBytes;
  for (uint32_t tags = 0; tags < 2 && at + 4 <= length_ && is_tag(big16(frame_ + at - 2)); tags++) at += 4;
  if (at + 20 > length_) return false;
  const uint32_t type = big16(frame_ + at - 2);
  ipv6_ = type == kIpv6;
  network_ = at;
  return (type == kIpv4 && frame_[at] >> 4 == 4) || (ipv6_ && frame_[at] >> 4 == 6 && at + 40 <= length_);
}

bool Segmenter::find_transport(uint8_t gso, uint8_t protocol) {
  const uint8_t* const ip = frame_ + network_;
  uint32_t said;                    // the packet's length; 0 = longer than its field can say
  uint8_t next;
  if (ipv6_) {
    if (gso == virtio::kGsoTcp4) return false;
    said = big16(ip + 4) == 0 ? 0 : 40 + big16(ip + 4);
    next = ip[6];
    transport_ = network_ + 40;
    for (uint32_t i = 0; next == 0 || next == 43 || next == 60; i++) {  // hop-by-hop, routing, destination options
      if (i == kExtensionsMax || transport_ + 8 > length_) return false;
      if (next == 43 && frame_[transport_ + 3] != 0) return false;  // its checksum is over another address than the header's
      next = frame_[transport_];
      transport_ += 8 + 8u * frame_[transport_ + 1];
    }
  } else {
    if (gso == virtio::kGsoTcp6 || (ip[0] & 15) < 5 || (big16(ip + 6) & 0x3fff) != 0) return false;  // no fragments
    said = big16(ip + 2);
    next = ip[9];
    transport_ = network_ + 4u * (ip[0] & 15);
  }
  if (next != protocol || transport_ + (tcp_ ? 20 : 8) > length_) return false;
  header_bytes_ = transport_ + 8;
  if (tcp_) {
    const uint32_t offset = 4u * (frame_[transport_ + 12] >> 4);
    if (offset < 20) return false;
    header_bytes_ = transport_ + offset;
  }
  if (said != 0 && network_ + said < length_) length_ = network_ + said;
  if (header_bytes_ > length_ || header_bytes_ > kSegmentHeadersMax) return false;
  payload_ = length_ - header_bytes_;
  return true;
}

uint32_t Segmenter::write(uint8_t* to) {
  const uint32_t payload = payload_bytes(next_);
  const uint32_t length = header_bytes_ + payload;
  std::memcpy(to, frame_, header_bytes_);
  std::memcpy(to + header_bytes_, frame_ + header_bytes_ + next_ * size_, payload);
  fix_network(to, length);
  fix_transport(to, length);
  next_++;
  return length;
}

void Segmenter::fix_network(uint8_t* to, uint32_t length) const {
  uint8_t* const ip = to + network_;
  if (ipv6_) {
    put16(ip + 4, length - network_ - 40);
    return;
  }
  put16(ip + 2, length - network_);
  put16(ip + 4, big16(ip + 4) + next_);
  put16(ip + 10, 0);
  put16(ip + 10, checksum_fold(checksum_add(0, ip, transport_ - network_)));
}

void Segmenter::fix_transport(uint8_t* to, uint32_t length) const {
  uint8_t* const at = to + transport_;
  const uint32_t bytes = length - transport_;
  if (tcp_) {
    put32(at + 4, big32(at + 4) + next_ * size_);
    // What closes the stream or asks for it to be read stands on the last one; "window reduced" is said once (RFC 3168).
    if (next_ + 1 != count_) at[13] &= static_cast<uint8_t>(~(kFin | kPush));
    if (next_ != 0) at[13] &= static_cast<uint8_t>(~kCwr);
  } else {
    put16(at + 4, bytes);
  }
  uint8_t* const field = at + (tcp_ ? 16 : 6);
  put16(field, 0);
  const uint8_t* const ip = to + network_;
  uint64_t sum = ipv6_ ? checksum_add(0, ip + 8, 32) : checksum_add(0, ip + 12, 8);
  sum += bytes + (tcp_ ? kTcp : kUdp);
  put_checksum(field, checksum_add(sum, at, bytes));
}

bool Joiner::begin(const uint8_t* frame, uint32_t length) {
  constexpr uint32_t at = kEthernetHeaderBytes;
  if (length < at + 40) return false;
  const uint8_t* const ip = frame + at;
  const uint32_t type = big16(frame + 12);
  ipv6_ = type == kIpv6;
  if (ipv6_) {
    if (length < at + 60 || ip[0] >> 4 != 6 || ip[6] != kTcp || 40 + big16(ip + 4) != length - at) return false;
  } else if (type != kIpv4 || ip[0] != 0x45 || ip[9] != kTcp || big16(ip + 2) != length - at || (big16(ip + 6) & 0x3fff) != 0) {
    return false;
  }
  transport_ = at + (ipv6_ ? 40 : 20);
  const uint32_t offset = 4u * (frame[transport_ + 12] >> 4);
  header_bytes_ = transport_ + offset;
  if (offset < 20 || header_bytes_ >= length || frame[transport_ + 13] != kAck || !checksum_right(frame, length)) return false;
  first_ = frame;
  size_ = payload_ = length - header_bytes_;
  count_ = 1;
  push_ = 0;
  open_ = true;
  return true;
}

bool Joiner::add(const uint8_t* frame, uint32_t length) {
  if (!open_ || length <= header_bytes_ || length - header_bytes_ > size_ || payload_ + size_ > kPayloadMax) return false;
  const uint8_t* const ip = frame + kEthernetHeaderBytes;
  const uint8_t* const ip_first = first_ + kEthernetHeaderBytes;
  const uint8_t* const tcp = frame + transport_;
  const uint8_t* const tcp_first = first_ + transport_;
  if (std::memcmp(frame, first_, kEthernetHeaderBytes) != 0) return false;
  if (ipv6_) {
    if (std::memcmp(ip, ip_first, 4) != 0 || 40 + big16(ip + 4) != length - kEthernetHeaderBytes ||
        std::memcmp(ip + 6, ip_first + 6, 34) != 0)
      return false;
  } else if (std::memcmp(ip, ip_first, 2) != 0 || big16(ip + 2) != length - kEthernetHeaderBytes ||
             big16(ip + 4) != ((big16(ip_first + 4) + count_) & 0xffff) || std::memcmp(ip + 6, ip_first + 6, 4) != 0 ||
             std::memcmp(ip + 12, ip_first + 12, 8) != 0) {
    return false;
  }
  // Ports; acknowledgement and data offset; window; urgent pointer and options.
  if (std::memcmp(tcp, tcp_first, 4) != 0 || big32(tcp + 4) != static_cast<uint32_t>(big32(tcp_first + 4) + payload_) ||
      std::memcmp(tcp + 8, tcp_first + 8, 5) != 0 || (tcp[13] & static_cast<uint8_t>(~kPush)) != kAck ||
      std::memcmp(tcp + 14, tcp_first + 14, 2) != 0 ||
      std::memcmp(tcp + 18, tcp_first + 18, header_bytes_ - transport_ - 18) != 0 || !checksum_right(frame, length))
    return false;
  payload_ += length - header_bytes_;
  count_ += 1;
  push_ = tcp[13] & kPush;
  open_ = push_ == 0 && length - header_bytes_ == size_;  // what is shorter or pushed is the last
  return true;
}

bool Joiner::checksum_right(const uint8_t* frame, uint32_t length) const {
  const uint8_t* const ip = frame + kEthernetHeaderBytes;
  if (!ipv6_ && checksum_fold(checksum_add(0, ip, 20)) != 0) return false;
  const uint64_t addresses = ipv6_ ? checksum_add(0, ip + 8, 32) : checksum_add(0, ip + 12, 8);
  return checksum_fold(checksum_add(addresses + kTcp + (length - transport_), frame + transport_, length - transport_)) == 0;
}

void Joiner::finish(VirtioNetHeader* header, uint8_t* head) const {
  *header = {};
  header->flags = virtio::kNeedsChecksum;
  header->gso_type = ipv6_ ? virtio::kGsoTcp6 : virtio::kGsoTcp4;
  header->header_length = static_cast<uint16_t>(header_bytes_);
  header->gso_size = static_cast<uint16_t>(size_);
  header->csum_start = static_cast<uint16_t>(transport_);
  header->csum_offset = 16;
  std::memcpy(head, first_, header_bytes_);
  uint8_t* const ip = head + kEthernetHeaderBytes;
  const uint32_t segment = header_bytes_ - transport_ + payload_;
  if (ipv6_) {
    put16(ip + 4, segment);
  } else {
    put16(ip + 2, 20 + segment);
    put16(ip + 10, 0);
    put16(ip + 10, checksum_fold(checksum_add(0, ip, 20)));
  }
  head[transport_ + 13] |= push_;
  // What the kernel, or whoever cuts it, adds the rest to: the pseudo header's sum, not inverted.
  const uint64_t addresses = ipv6_ ? checksum_add(0, ip + 8, 32) : checksum_add(0, ip + 12, 8);
  put16(head + transport_ + 16, static_cast<uint16_t>(~checksum_fold(addresses + kTcp + segment)));
}

}  // namespace paste
