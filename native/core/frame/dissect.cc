#include "core/frame/dissect.h"

#include "core/frame/wire.h"

namespace paste {
namespace {

using namespace wire;

// What stands at a place, still to be looked at.
struct Next {
  enum class What : uint8_t { kNothing, kEthernet, kPayload };
  What what = What::kNothing;
  uint16_t type = 0;  // payload: its EtherType
  uint32_t at = 0;
};

class Dissector {
 public:
  Dissector(const uint8_t* frame, uint32_t length, bool tunnels, Dissection* d)
      : frame_(frame), length_(length), tunnels_(tunnels), d_(*d) {}

  void run() {
    Next next = ethernet(0);
    while (next.what != Next::What::kNothing)
      next = next.what == Next::What::kEthernet ? ethernet(next.at) : payload(next.type, next.at);
  }

 private:
  bool has(uint32_t at, uint32_t bytes) const { return at <= length_ && length_ - at >= bytes; }
  Next odd() {
    d_.odd = true;
    return {};
  }
  Next cut() {
    d_.cut = true;
    return odd();
  }
  bool add_type(uint16_t type) {
    if (d_.type_count == kEtherTypesMax) return false;
    d_.types[d_.type_count++] = type;
    return true;
  }
  static Next payload_of(uint16_t type, uint32_t at) { return {Next::What::kPayload, type, at}; }

  Next ethernet(uint32_t at) {
    if (!has(at, 14)) return cut();
    if (d_.link_count == kLinkLayersMax) return odd();
    d_.links[d_.link_count++] = at;
    return payload_of(big16(frame_ + at + 12), at + 14);
  }

  Next payload(uint16_t type, uint32_t at) {
    if (type < 1536) return {};  // a length (IEEE 802.3): nothing that is understood here
    if (!add_type(type)) return odd();
    switch (type) {
      case kIpv4: return ipv4(at);
      case kIpv6: return ipv6(at);
      case kVlan:
      case kServiceVlan:
      case kOldServiceVlan: return tag(at);
      case kArp:
      case kRarp: return arp(at);
      case kMpls:
      case kMplsMulticast: return mpls(at);
      case kPppoeSession: return pppoe(at);
      default: return {};
    }
  }

  Next tag(uint32_t at) {
    if (!has(at, 2)) return cut();
    if (d_.tag_count == kTagsMax) return odd();
    d_.tags[d_.tag_count++] = big16(frame_ + at);
    return has(at, 4) ? payload_of(big16(frame_ + at + 2), at + 4) : cut();
  }

  Next mpls(uint32_t at) {
    for (uint32_t i = 0; i < kLabelsMax; i++, at += 4) {
      if (!has(at, 4)) return cut();
      if ((frame_[at + 2] & 1) == 0) continue;  // not the bottom of the stack
      at += 4;
      if (!has(at, 1)) return cut();
      const uint32_t version = frame_[at] >> 4;
      return version == 4 ? payload_of(kIpv4, at) : version == 6 ? payload_of(kIpv6, at) : Next{};
    }
    return odd();
  }

  // RFC 2516, then PPP's protocol numbers (uncompressed).
  Next pppoe(uint32_t at) {
    if (!has(at, 8)) return cut();
    switch (big16(frame_ + at + 6)) {
      case kPppIpv4: return payload_of(kIpv4, at + 8);
      case kPppIpv6: return payload_of(kIpv6, at + 8);
      case kPppMpls: return payload_of(kMpls, at + 8);
      default: return {};
    }
  }

  NetworkLayer* add_layer(uint8_t version, uint32_t at, uint32_t source, uint32_t destination) {
    if (d_.layer_count == kNetworkLayersMax) return nullptr;
    NetworkLayer& layer = d_.layers[d_.layer_count++];
    layer = NetworkLayer{};
    layer.version = version;
    layer.address_bytes = version == 6 ? 16 : 4;
    layer.offset = at;
    layer.source = at + source;
    layer.destination = at + destination;
    return &layer;
  }

  // The places of Ethernet and IPv4, as BPF has them, whatever the lengths in the message say.
  Next arp(uint32_t at) {
    if (!has(at, 28)) return cut();
    NetworkLayer* layer = add_layer(NetworkLayer::kArp, at, 14, 24);
    if (layer == nullptr) return odd();
    layer->header_bytes = 28;
    layer->transport = layer->payload = at + 28;
    return big16(frame_ + at + 2) == kIpv4 && big16(frame_ + at + 4) == 0x0604 ? Next{} : odd();
  }

  Next ipv4(uint32_t at) {
    if (!has(at, 20)) return cut();
    const uint8_t* ip = frame_ + at;
    const uint32_t header = (ip[0] & 15u) * 4;
    NetworkLayer* layer = add_layer(4, at, 12, 16);
    if (layer == nullptr) return odd();
    layer->protocols[0] = layer->protocol = ip[9];
    layer->protocol_count = 1;
    const uint16_t fragment = big16(ip + 6);
    layer->fragment = (fragment & 0x3fff) != 0;
    layer->later = (fragment & 0x1fff) != 0;
    layer->fragment_id = big16(ip + 4);
    if (ip[0] >> 4 != 4 || header < 20) return odd();
    return chain(*layer, at + header);
  }

  // Extension headers as in RFC 8200, section 4.
  Next ipv6(uint32_t at) {
    if (!has(at, 40)) return cut();
    NetworkLayer* layer = add_layer(6, at, 8, 24);
    if (layer == nullptr) return odd();
    layer->protocols[0] = layer->protocol = frame_[at + 6];
    layer->protocol_count = 1;
    if (frame_[at] >> 4 != 6) return odd();
    return chain(*layer, at + 40);
  }

  static bool is_extension(const NetworkLayer& layer) {
    const uint8_t p = layer.protocol;
    if (p == kAuthentication) return true;
    return layer.version == 6 && (p == kHopByHop || p == kRouting || p == kFragment || p == kDestinationOptions);
  }

  // Steps over extension headers to the transport header. IPv4 has one of them, the authentication header (RFC 4302).
  Next chain(NetworkLayer& layer, uint32_t at) {
    while (!layer.later && is_extension(layer)) {
      if (!has(at, 8)) return cut();
      if (layer.protocol_count == kProtocolsMax) return odd();
      const uint8_t* header = frame_ + at;
      const uint8_t kind = layer.protocol;
      layer.protocols[layer.protocol_count++] = layer.protocol = header[0];
      if (kind == kFragment) {
        layer.fragment = (big16(header + 2) & 0xfff9) != 0;
        layer.later = (big16(header + 2) & 0xfff8) != 0;
        layer.fragment_id = big32(header + 4);
        // BPF's protochain steps over this header by a length that is not there: reserved, 0.
        if (header[1] != 0) d_.odd = true;
      }
      at += kind == kFragment ? 8 : kind == kAuthentication ? (header[1] + 2u) * 4 : (header[1] + 1u) * 8;
    }
    layer.transport = layer.payload = at < length_ ? at : length_;
    layer.header_bytes = layer.transport - layer.offset;
    // Behind a later fragment's header stands the middle of something: what a chain that goes on would find there is left open.
    if (layer.later) return is_extension(layer) ? odd() : Next{};
    if (at > length_) {
      d_.cut = true;
      return {};
    }
    layer.reached = true;
    return transport(layer, at);
  }

  Next transport(NetworkLayer& layer, uint32_t at) {
    switch (layer.protocol) {
      case kTcp:
        ports(layer, at);
        if (!has(at, 14)) return {};
        layer.tcp_flags = frame_[at + 13];
        set_payload(layer, at, (frame_[at + 12] >> 4) * 4u);
        return {};
      case kUdp:
        ports(layer, at);
        set_payload(layer, at, 8);
        return tunnels_ && has(at, 8) ? udp_tunnel(layer.port_destination, at + 8) : Next{};
      case kSctp:
        ports(layer, at);
        set_payload(layer, at, 12);
        return {};
      case kDccp:
        ports(layer, at);
        if (has(at, 5)) set_payload(layer, at, frame_[at + 4] * 4u);
        return {};
      case kIcmp:
        if (layer.version == 4) icmp(layer, at);
        return {};
      case kIcmp6:
        if (layer.version == 6) icmp(layer, at);
        return {};
      case kGre: return tunnels_ ? gre(at) : Next{};
      case kIpInIp: return tunnels_ ? payload_of(kIpv4, at) : Next{};
      case kIpv6InIp: return tunnels_ ? payload_of(kIpv6, at) : Next{};
      default: return {};
    }
  }

  void set_payload(NetworkLayer& layer, uint32_t at, uint32_t header) {
    layer.payload = has(at, header) ? at + header : length_;
  }

  // The first four bytes of TCP, UDP, SCTP and DCCP alike.
  void ports(NetworkLayer& layer, uint32_t at) {
    if (has(at, 2)) {
      layer.has_source_port = true;
      layer.port_source = big16(frame_ + at);
    }
    if (has(at, 4)) {
      layer.has_destination_port = true;
      layer.port_destination = big16(frame_ + at + 2);
    }
  }

  void icmp(NetworkLayer& layer, uint32_t at) {
    if (has(at, 1)) {
      layer.has_icmp_type = true;
      layer.icmp_type = frame_[at];
    }
    if (has(at, 2)) {
      layer.has_icmp_code = true;
      layer.icmp_code = frame_[at + 1];
    }
    set_payload(layer, at, 8);
  }

  // VXLAN: RFC 7348. GENEVE: RFC 8926. Other contents than a frame or IP are left alone.
  Next udp_tunnel(uint16_t port, uint32_t at) {
    if (port != 4789 && port != 8472 && port != 6081) return {};
    if (!has(at, 8)) return cut();
    if (port != 6081) return (frame_[at] & 8) != 0 ? Next{Next::What::kEthernet, 0, at + 8} : Next{};
    if (frame_[at] >> 6 != 0) return {};
    const uint32_t behind = at + 8 + (frame_[at] & 63u) * 4;
    return encapsulated(big16(frame_ + at + 2), behind);
  }

  // RFC 2784, 2890; ERSPAN as Wireshark's and Linux's headers have it (type I: no sequence number; II: 8 bytes; III: 12 or 20).
  Next gre(uint32_t at) {
    if (!has(at, 4)) return cut();
    const uint16_t flags = big16(frame_ + at), type = big16(frame_ + at + 2);
    if ((flags & 7) != 0) return {};          // version 1 is PPTP's
    if ((flags & 0x4000) != 0) return odd();  // routing, which RFC 2784 took out
    const bool numbered = (flags & 0x1000) != 0;
    at += 4 + ((flags & 0x8000) != 0 ? 4 : 0) + ((flags & 0x2000) != 0 ? 4 : 0) + (numbered ? 4 : 0);
    if (type == kErspan2) return encapsulated(kBridged, at + (numbered ? 8 : 0));
    if (type != kErspan3) return encapsulated(type, at);
    if (!has(at, 12)) return cut();
    return encapsulated(kBridged, at + ((frame_[at + 11] & 1) != 0 ? 20 : 12));
  }

  Next encapsulated(uint16_t type, uint32_t at) {
    if (type == kBridged) return {Next::What::kEthernet, 0, at};
    return payload_of(type, at);
  }

  const uint8_t* const frame_;
  const uint32_t length_;
  const bool tunnels_;
  Dissection& d_;
};

}  // namespace

void dissect(const uint8_t* frame, uint32_t length, bool tunnels, Dissection* d) {
  d->odd = d->cut = false;
  d->link_count = d->type_count = d->tag_count = d->layer_count = 0;
  Dissector(frame, length, tunnels, d).run();
}

}  // namespace paste
