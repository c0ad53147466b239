// What a sender left for its device to do, done here: checksums that are unfinished, TCP and UDP frames longer than their wire allows.
//
// Frames come with a virtio-net header (Virtual I/O Device 1.2, section 5.1.6) from a TAP device or from a netmap port with such
// headers. Whoever wrote it may be hostile: every number in it is checked against the frame's own bytes, and what does not fit is a
// Drop::bad_offload. Nothing here allocates.
#pragma once

#include <cstdint>

#include "core/ports/frame.h"

namespace paste {

struct VirtioNetHeader {       // little-endian, as on every machine this runs on; a header of 10 bytes lacks num_buffers
  uint8_t flags;
  uint8_t gso_type;
  uint16_t header_length;      // a hint, and not believed
  uint16_t gso_size;           // bytes of payload in each segment
  uint16_t csum_start;         // from the frame's first byte
  uint16_t csum_offset;        // from csum_start
  uint16_t num_buffers;
};
static_assert(sizeof(VirtioNetHeader) == 12);

namespace virtio {
enum Flag : uint8_t { kNeedsChecksum = 1, kDataValid = 2 };
enum Gso : uint8_t { kGsoNone = 0, kGsoTcp4 = 1, kGsoUdpFragments = 3, kGsoTcp6 = 4, kGsoUdpSegments = 5, kGsoEcn = 0x80 };
}  // namespace virtio

inline constexpr uint32_t kOffloadBytesMax = 65536 + 64;  // longest frame that a header may stand in front of
inline constexpr uint32_t kSegmentsMax = 2048;            // that one frame may become: TCP's least segment is 48 bytes
inline constexpr uint32_t kSegmentHeadersMax = 256;       // Ethernet, two VLAN tags, IP with options, TCP with options

// The one's-complement sum of these bytes onto `sum` (RFC 1071), as big-endian 16-bit words; not folded.
uint64_t checksum_add(uint64_t sum, const uint8_t* bytes, uint32_t length);
// Folded and inverted: what stands in the frame, most significant byte first.
uint16_t checksum_fold(uint64_t sum);

// A frame in one piece: finishes its checksum in place when the header asks for it. False: the header does not fit the frame.
bool finish_checksum(const VirtioNetHeader& header, uint8_t* frame, uint32_t length);

// A frame of many segments: TCP over IPv4 or IPv6, or UDP segments (not IP fragments), behind up to two VLAN tags.
class Segmenter {
 public:
  // Takes the frame, which stays as it is until the last write(). False: the header does not fit it.
  bool begin(const VirtioNetHeader& header, const uint8_t* frame, uint32_t length);
  bool done() const { return next_ == count_; }
  uint32_t count() const { return count_; }
  uint32_t next_bytes() const { return header_bytes_ + payload_bytes(next_); }  // of the next segment
  // Writes the next segment, whole and with all its checksums, in next_bytes() bytes, which is also what it returns.
  uint32_t write(uint8_t* to);
  void end() { next_ = count_ = 0; }

 private:
  bool find_network();
  bool find_transport(uint8_t gso, uint8_t protocol);
  uint32_t payload_bytes(uint32_t segment) const {
    const uint32_t start = segment * size_;
    return payload_ - start < size_ ? payload_ - start : size_;
  }
  void fix_network(uint8_t* to, uint32_t length) const;
  void fix_transport(uint8_t* to, uint32_t length) const;

  const uint8_t* frame_ = nullptr;
  uint32_t length_ = 0;          // of the frame, without what stands behind its IP packet
  uint32_t network_ = 0;         // where IP begins
  uint32_t transport_ = 0;       // where TCP or UDP begins
  uint32_t header_bytes_ = 0;    // everything in front of the payload
  uint32_t payload_ = 0;         // bytes of it
  uint32_t size_ = 0;            // of a segment's payload
  uint32_t count_ = 0, next_ = 0;
  bool ipv6_ = false, tcp_ = false;
};

// The other way round: TCP segments that follow each other in one flow, as one frame for a kernel that takes such frames. What comes
// out, cut again, is what went in: headers alike but for length, sequence, PSH on the last and IPv4's identification; every
// checksum was right, for the kernel will not look. Only plain frames: no VLAN tag, no IP options, no flags but ACK and PSH.
class Joiner {
 public:
  // Begins with this frame; false when nothing can follow it.
  bool begin(const uint8_t* frame, uint32_t length);
  // Takes the frame too, if it is the next one.
  bool add(const uint8_t* frame, uint32_t length);
  uint32_t count() const { return count_; }
  uint32_t header_bytes() const { return header_bytes_; }  // in front of the payload, in each of the frames
  // The headers of all of them in header_bytes() bytes, and what stands in front; the payloads follow, one behind the other.
  void finish(VirtioNetHeader* header, uint8_t* head) const;

 private:
  static constexpr uint32_t kPayloadMax = 65535 - 120;
  bool checksum_right(const uint8_t* frame, uint32_t length) const;

  const uint8_t* first_ = nullptr;
  uint32_t transport_ = 0, header_bytes_ = 0;
  uint32_t size_ = 0, payload_ = 0, count_ = 0;
  bool ipv6_ = false, open_ = false;
  uint8_t push_ = 0;
};

}  // namespace paste
