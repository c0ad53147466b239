// All that an index can say about a record, as bytes: records with equal keys are one flow of the run.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/frame/dissect.h"
#include "core/index/fragments.h"
#include "core/index/run_layout.h"
#include "core/store/layout.h"

namespace paste::index {

// What nearly every frame has. A frame that is IPv4 in Ethernet, at most one tag between, is told by it alone; others have further terms
// behind it: u8 section, then the value in that section's width; or kStateTerm and kStateBytes that only tell flows apart.
struct FlowKey {
  enum Shape : uint8_t { kEvent, kTerms, kIpv4 };
  enum State : uint8_t {
    kOdd = 1,
    kReached = 2,
    kSourcePort = 4,
    kDestinationPort = 8,
    kIcmpType = 16,
    kIcmpCode = 32,
    kTagged = 64,
    kMacs = 128
  };

  uint8_t mac_destination[6];
  uint8_t mac_source[6];
  uint32_t ip_source, ip_destination;  // as in the frame
  uint16_t port_source, port_destination;
  uint32_t ingress, egress, rule;
  uint16_t vlan;
  uint8_t protocol;
  uint8_t icmp_type, icmp_code;
  uint8_t state;
  uint8_t outcome;                     // events: RecordType
  uint8_t shape;
  uint32_t term_bytes;
};
static_assert(sizeof(FlowKey) == 48);
inline constexpr uint8_t kStateTerm = 255;
inline constexpr uint32_t kStateBytes = 4;
// The longest terms: what dissect() can find at most, each with its section.
inline constexpr uint32_t kTermBytesMax = (kLinkLayersMax - 1) * 2 * 7 + kEtherTypesMax * 3 + kTagsMax * 3 +
                                          kNetworkLayersMax * (1 + kStateBytes + 2 * 17 + kProtocolsMax * 2 + 5 * 3);

// Fills the key of a frame record and writes its further terms, at most kTermBytesMax. `bytes` are those of the frame's first part.
class FlowKeys {
 public:
  FlowKeys(bool tunnels, uint64_t seed) : tunnels_(tunnels), fragments_(seed) {}
  void forget_fragments(uint64_t time_ns) { fragments_.forget(time_ns); }
  void frame(const layout::RecordHeader& header, uint32_t lane, const uint8_t* bytes, uint32_t length, FlowKey* key,
             uint8_t* terms);
  static void event(const layout::RecordHeader& header, FlowKey* key);
  // A frame whose bytes cannot be had.
  static void lost(const layout::RecordHeader& header, FlowKey* key);

 private:
  void put_ipv4(const Dissection& d, const uint8_t* bytes, FlowKey* key) const;
  uint8_t* put_terms(const layout::RecordHeader& header, uint32_t lane, const Dissection& d, const uint8_t* bytes,
                     uint8_t* terms);
  uint8_t* put_layer(const layout::RecordHeader& header, uint32_t lane, const NetworkLayer& layer, const uint8_t* bytes,
                     uint8_t* terms);
  uint8_t* put_fragment(const layout::RecordHeader& header, uint32_t lane, const NetworkLayer& layer,
                        const uint8_t* bytes, uint8_t* terms);

  const bool tunnels_;
  Fragments fragments_;
  Dissection dissection_;
};

inline uint64_t big_endian(const uint8_t* at, uint32_t size_bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < size_bytes; i++) value = value << 8 | at[i];
  return value;
}

// Calls put(section, value) for each value that the key says, and put16(section, bytes) for IPv6 addresses.
template <typename Put, typename Put16>
void each_term(const FlowKey& key, const uint8_t* terms, Put put, Put16 put16) {
  if (key.shape == FlowKey::kEvent) {
    put(kEventSection, key.outcome);
    return;
  }
  put(kIngressSection, key.ingress);
  put(kEgressSection, key.egress);
  put(kRuleSection, key.rule);
  put(kOutcomeSection, key.outcome);
  if (key.state & FlowKey::kOdd) put(kOddSection, 1);
  if (key.state & FlowKey::kMacs) {
    put(kMacSourceSection, big_endian(key.mac_source, 6));
    put(kMacDestinationSection, big_endian(key.mac_destination, 6));
  }
  if (key.shape == FlowKey::kIpv4) {
    if (key.state & FlowKey::kTagged) {
      put(kEthertypeSection, 0x8100);
      put(kVlanSection, key.vlan);
    }
    put(kEthertypeSection, 0x0800);
    put(kIp4SourceSection, __builtin_bswap32(key.ip_source));
    put(kIp4DestinationSection, __builtin_bswap32(key.ip_destination));
    put(kProtocolSection, key.protocol);
    if (key.state & FlowKey::kSourcePort) put(kPortSourceSection, key.port_source);
    if (key.state & FlowKey::kDestinationPort) put(kPortDestinationSection, key.port_destination);
    if (key.state & FlowKey::kIcmpType) put(kIcmpTypeSection, 0x400u | key.icmp_type);
    return;
  }
  for (uint32_t at = 0; at < key.term_bytes;) {
    const uint8_t section = terms[at++];
    if (section == kStateTerm) {
      at += kStateBytes;
      continue;
    }
    const uint32_t width = kSections[section].width;
    if (width == 16)
      put16(section, terms + at);
    else
      put(section, big_endian(terms + at, width));
    at += width;
  }
}

}  // namespace paste::index
