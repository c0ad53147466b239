#include "core/store/community_id.h"

#include <cstring>
#include <utility>

#include "core/base/sha1.h"
#include "core/frame/dissect.h"
#include "core/frame/wire.h"

namespace paste {
namespace {

using namespace wire;

constexpr uint32_t kTagsMax = 4, kExtensionsMax = 8;

struct Tuple {
  const uint8_t* source;
  const uint8_t* destination;
  uint32_t address_bytes;
  uint8_t protocol;
  const uint8_t* transport;
  uint32_t transport_bytes;
};

bool find_ipv4(const uint8_t* ip, uint32_t length, Tuple* tuple) {
  if (length < 20) return false;
  const uint32_t header = (ip[0] & 0xfu) * 4;
  if (ip[0] >> 4 != 4 || header < 20 || length < header || (big16(ip + 6) & 0x1fff) != 0) return false;
  *tuple = {ip + 12, ip + 16, 4, ip[9], ip + header, length - header};
  return true;
}

// Extension headers as in RFC 8200, section 4.
bool find_ipv6(const uint8_t* ip, uint32_t length, Tuple* tuple) {
  if (length < 40 || ip[0] >> 4 != 6) return false;
  uint8_t next = ip[6];
  uint32_t at = 40;
  for (uint32_t i = 0; i < kExtensionsMax && (next == 0 || next == 43 || next == 44 || next == 60); ++i) {
    if (length - at < 8) return false;
    if (next == 44 && (big16(ip + at + 2) & 0xfff8) != 0) return false;
    const uint32_t bytes = next == 44 ? 8 : (ip[at + 1] + 1u) * 8;
    next = ip[at];
    if (length - at < bytes) return false;
    at += bytes;
  }
  *tuple = {ip + 8, ip + 24, 16, next, ip + at, length - at};
  return true;
}

// The stack and its bottom as dissect() sees them: an index knows which frames to look at.
bool find_behind_labels(const uint8_t* label, uint32_t length, Tuple* tuple) {
  for (uint32_t i = 0; i < kLabelsMax && length > 4; ++i, label += 4, length -= 4) {
    if ((label[2] & 1) == 0) continue;  // not the bottom of the stack
    const uint32_t version = label[4] >> 4;
    if (version == 4) return find_ipv4(label + 4, length - 4, tuple);
    return version == 6 && find_ipv6(label + 4, length - 4, tuple);
  }
  return false;
}

// RFC 2516.
bool find_in_session(const uint8_t* header, uint32_t length, Tuple* tuple) {
  if (length < 8) return false;
  switch (big16(header + 6)) {
    case kPppIpv4: return find_ipv4(header + 8, length - 8, tuple);
    case kPppIpv6: return find_ipv6(header + 8, length - 8, tuple);
    case kPppMpls: return find_behind_labels(header + 8, length - 8, tuple);
    default: return false;
  }
}

bool find_tuple(const uint8_t* frame, uint32_t length, Tuple* tuple) {
  uint32_t at = 12;
  for (uint32_t tags = 0; length >= at + 2; ++tags, at += 4) {
    const uint32_t type = big16(frame + at);
    if (type == kIpv4) return find_ipv4(frame + at + 2, length - at - 2, tuple);
    if (type == kIpv6) return find_ipv6(frame + at + 2, length - at - 2, tuple);
    if (type == kMpls || type == kMplsMulticast) return find_behind_labels(frame + at + 2, length - at - 2, tuple);
    if (type == kPppoeSession) return find_in_session(frame + at + 2, length - at - 2, tuple);
    if (!is_tag_ever(type) || tags == kTagsMax) return false;
  }
  return false;
}

// The type that answers an ICMP type; the type itself has none: -1.
int counterpart(uint8_t protocol, uint8_t type) {
  static constexpr uint8_t kPairs4[][2] = {{8, 0}, {13, 14}, {15, 16}, {10, 9}, {17, 18}};
  static constexpr uint8_t kPairs6[][2] = {{128, 129}, {133, 134}, {135, 136}, {130, 131}, {139, 140}, {144, 145}};
  const auto find = [type](const auto& pairs) {
    for (const auto& pair : pairs) {
      if (pair[0] == type) return static_cast<int>(pair[1]);
      if (pair[1] == type) return static_cast<int>(pair[0]);
    }
    return -1;
  };
  return protocol == kIcmp ? find(kPairs4) : find(kPairs6);
}

}  // namespace

bool flow_tuple(const uint8_t* frame, uint32_t length, FlowTuple* flow) {
  Tuple tuple;
  if (!find_tuple(frame, length, &tuple)) return false;
  const bool icmp = tuple.protocol == (tuple.address_bytes == 4 ? kIcmp : kIcmp6);
  const bool has_ports = icmp || tuple.protocol == kTcp || tuple.protocol == kUdp || tuple.protocol == kSctp;
  uint32_t from = 0, to = 0;
  bool one_way = false;
  if (has_ports) {
    if (tuple.transport_bytes < (icmp ? 2u : 4u)) return false;
    from = icmp ? tuple.transport[0] : big16(tuple.transport);
    to = icmp ? tuple.transport[1] : big16(tuple.transport + 2);
    if (icmp) {
      const int answer = counterpart(tuple.protocol, tuple.transport[0]);
      one_way = answer < 0;
      if (!one_way) to = static_cast<uint32_t>(answer);
    }
  }
  const int order = std::memcmp(tuple.source, tuple.destination, tuple.address_bytes);
  flow->swapped = !one_way && (order > 0 || (order == 0 && from > to));
  if (flow->swapped) {
    std::swap(tuple.source, tuple.destination);
    std::swap(from, to);
  }
  uint8_t* const hashed = flow->bytes;
  std::memset(hashed, 0, FlowTuple::kBytesMax);
  uint32_t at = 2;
  std::memcpy(hashed + at, tuple.source, tuple.address_bytes);
  at += tuple.address_bytes;
  std::memcpy(hashed + at, tuple.destination, tuple.address_bytes);
  at += tuple.address_bytes;
  hashed[at] = tuple.protocol;
  at += 2;
  if (has_ports) {
    put16(hashed + at, from);
    put16(hashed + at + 2, to);
    at += 4;
  }
  flow->length = at;
  flow->transport = tuple.transport;
  flow->transport_bytes = tuple.transport_bytes;
  return true;
}

void community_digest(const uint8_t* tuple_bytes, uint32_t tuple_length, uint32_t (&digest)[5]) {
  sha1_short(tuple_bytes, tuple_length, digest);
}

bool community_id(const uint8_t* frame, uint32_t length, uint32_t (&digest)[5]) {
  FlowTuple flow;
  if (!flow_tuple(frame, length, &flow)) return false;
  community_digest(flow.bytes, flow.length, digest);
  return true;
}

}  // namespace paste
