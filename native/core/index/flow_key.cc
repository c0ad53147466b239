#include "core/index/flow_key.h"

#include "core/store/checksums.h"

namespace paste::index {
namespace {

// Each gives the place behind what it wrote.
uint8_t* put_term(uint8_t* to, SectionIndex section, uint64_t value) {
  *to++ = section;
  for (uint32_t i = kSections[section].width; i-- > 0;) *to++ = static_cast<uint8_t>(value >> i * 8);
  return to;
}
uint8_t* put_half(uint8_t* to, SectionIndex section, uint32_t value) {
  to[0] = section;
  to[1] = static_cast<uint8_t>(value >> 8);
  to[2] = static_cast<uint8_t>(value);
  return to + 3;
}
uint8_t* put_address(uint8_t* to, SectionIndex section, const uint8_t* address, uint32_t size_bytes) {
  *to++ = section;
  size_bytes == 4 ? std::memcpy(to, address, 4) : std::memcpy(to, address, 16);
  return to + size_bytes;
}

uint8_t state_of(const NetworkLayer& layer) {
  return static_cast<uint8_t>(
      (layer.reached ? FlowKey::kReached : 0) | (layer.has_source_port ? FlowKey::kSourcePort : 0) |
      (layer.has_destination_port ? FlowKey::kDestinationPort : 0) | (layer.has_icmp_type ? FlowKey::kIcmpType : 0) |
      (layer.has_icmp_code ? FlowKey::kIcmpCode : 0));
}

void put_header(const layout::RecordHeader& header, FlowKey* key) {
  std::memset(key, 0, sizeof *key);
  key->ingress = header.ingress;
  key->egress = (header.flags & layout::kFlooded) != 0 ? kEgressFlooded : header.egress;
  key->rule = header.rule;
  key->outcome = header.outcome;
}

// One network layer, IPv4 and whole, behind at most one tag of the usual kind.
bool is_plain(const Dissection& d) {
  const NetworkLayer& layer = d.layers[0];
  return d.layer_count == 1 && d.link_count == 1 && layer.version == 4 && !layer.fragment &&
         layer.protocol_count == 1 &&
         (d.type_count == 1 || (d.type_count == 2 && d.tag_count == 1 && d.types[0] == 0x8100));
}

// The bytes end with the frame's first part, not with the frame, and something that was looked at may go on there.
bool ends_early(const layout::RecordHeader& header, const Dissection& d, uint32_t length) {
  constexpr uint32_t kNear = 64;
  if (header.parts == 1) return false;
  if (d.cut) return true;
  for (uint32_t i = 0; i < d.layer_count; i++)
    if (length - d.layers[i].transport < kNear) return true;
  return false;
}

}  // namespace

void FlowKeys::event(const layout::RecordHeader& header, FlowKey* key) {
  std::memset(key, 0, sizeof *key);
  key->shape = FlowKey::kEvent;
  key->outcome = header.type;
}

void FlowKeys::lost(const layout::RecordHeader& header, FlowKey* key) {
  put_header(header, key);
  key->shape = FlowKey::kTerms;
  key->state = FlowKey::kOdd;
}

void FlowKeys::frame(const layout::RecordHeader& header, uint32_t lane, const uint8_t* bytes, uint32_t length,
                     FlowKey* key, uint8_t* terms) {
  Dissection& d = dissection_;
  dissect(bytes, length, tunnels_, &d);
  put_header(header, key);
  if (d.odd || ends_early(header, d, length)) key->state |= FlowKey::kOdd;
  if (d.link_count != 0) {
    key->state |= FlowKey::kMacs;
    std::memcpy(key->mac_destination, bytes, 12);
  }
  if (is_plain(d)) {
    put_ipv4(d, bytes, key);
    return;
  }
  key->shape = FlowKey::kTerms;
  key->term_bytes = static_cast<uint32_t>(put_terms(header, lane, d, bytes, terms) - terms);
}

void FlowKeys::put_ipv4(const Dissection& d, const uint8_t* bytes, FlowKey* key) const {
  const NetworkLayer& layer = d.layers[0];
  key->shape = FlowKey::kIpv4;
  key->state |= state_of(layer);
  if (d.tag_count != 0) {
    key->state |= FlowKey::kTagged;
    key->vlan = d.tags[0] & 0xfff;
  }
  std::memcpy(&key->ip_source, bytes + layer.source, 8);
  key->port_source = layer.port_source;
  key->port_destination = layer.port_destination;
  key->protocol = layer.protocol;
  key->icmp_type = layer.icmp_type;
  key->icmp_code = layer.icmp_code;
}

uint8_t* FlowKeys::put_terms(const layout::RecordHeader& header, uint32_t lane, const Dissection& d,
                             const uint8_t* bytes, uint8_t* to) {
  for (uint32_t i = 1; i < d.link_count; i++) {
    to = put_term(to, kMacDestinationSection, big_endian(bytes + d.links[i], 6));
    to = put_term(to, kMacSourceSection, big_endian(bytes + d.links[i] + 6, 6));
  }
  for (uint32_t i = 0; i < d.type_count; i++) to = put_half(to, kEthertypeSection, d.types[i]);
  for (uint32_t i = 0; i < d.tag_count; i++) to = put_half(to, kVlanSection, d.tags[i] & 0xfff);
  for (uint32_t i = 0; i < d.layer_count; i++) to = put_layer(header, lane, d.layers[i], bytes, to);
  return to;
}

uint8_t* FlowKeys::put_layer(const layout::RecordHeader& header, uint32_t lane, const NetworkLayer& layer,
                             const uint8_t* bytes, uint8_t* to) {
  const uint8_t state[1 + kStateBytes] = {kStateTerm, layer.version, state_of(layer),
                                          static_cast<uint8_t>(layer.fragment << 1 | layer.later), layer.icmp_code};
  std::memcpy(to, state, sizeof state);
  to += sizeof state;
  const bool wide = layer.address_bytes == 16;
  to = put_address(to, wide ? kIp6SourceSection : kIp4SourceSection, bytes + layer.source, layer.address_bytes);
  to = put_address(to, wide ? kIp6DestinationSection : kIp4DestinationSection, bytes + layer.destination,
                   layer.address_bytes);
  for (uint32_t i = 0; i < layer.protocol_count; i++) {
    *to++ = kProtocolSection;
    *to++ = layer.protocols[i];
  }
  if (layer.has_source_port) to = put_half(to, kPortSourceSection, layer.port_source);
  if (layer.has_destination_port) to = put_half(to, kPortDestinationSection, layer.port_destination);
  if (layer.has_icmp_type)
    to = put_half(to, kIcmpTypeSection, static_cast<uint32_t>(layer.version) << 8 | layer.icmp_type);
  return layer.fragment ? put_fragment(header, lane, layer, bytes, to) : to;
}

uint8_t* FlowKeys::put_fragment(const layout::RecordHeader& header, uint32_t lane, const NetworkLayer& layer,
                                const uint8_t* bytes, uint8_t* to) {
  if (!layer.later) {
    if (layer.has_source_port) to = put_half(to, kFirstFragmentSection, layer.port_source);
    if (layer.has_destination_port) to = put_half(to, kFirstFragmentSection, layer.port_destination);
    fragments_.put(lane, bytes, layer, header.time_ns);
    return to;
  }
  Fragments::Ports ports;
  if (!fragments_.find(lane, bytes, layer, header.time_ns, &ports)) return put_term(to, kUnresolvedSection, 1);
  return put_half(put_half(to, kPortSourceSection, ports.source), kPortDestinationSection, ports.destination);
}

}  // namespace paste::index
