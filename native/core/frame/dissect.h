// What a frame is made of: the one parser for everything that looks behind tags, extension headers and tunnels (index, `any` tests).
// Forwarding has its own, which need less.
//
// It reads what is there, as BPF does: a length that a header claims for its packet (IPv4's total length, UDP's length) bounds nothing, so
// that whatever a pcap-filter expression finds at fixed places is found here, too. Where a frame is not what it says (a wrong version, a
// header cut off, more layers than fit), the frame is `odd`: what was found stands, and there may be more.
//
// Bytes may be anything: no read leaves the frame, and the steps are bounded by the limits below.
#pragma once

#include <cstdint>

namespace paste {

inline constexpr uint32_t kNetworkLayersMax = 4;
inline constexpr uint32_t kLinkLayersMax = 4;
inline constexpr uint32_t kTagsMax = 8;          // VLAN tags of all layers together
inline constexpr uint32_t kEtherTypesMax = 16;
inline constexpr uint32_t kProtocolsMax = 10;    // of one network layer: its protocol field, then one for each extension header
inline constexpr uint32_t kLabelsMax = 16;       // of one MPLS stack

// A later fragment belongs to the first fragment with its addresses, protocol and id that came at most so long before it (by the records'
// times): ids come again. RFC 8200, section 4.5: reassembly is given up after 60 s.
inline constexpr uint64_t kFragmentWindow_ns = 60'000'000'000;

// Places are offsets into the frame. An IPv4 or IPv6 header, or an ARP or RARP message with its protocol addresses.
struct NetworkLayer {
  uint8_t version;           // 4, 6, or kArp
  uint8_t address_bytes;     // 4 (ARP, too) or 16
  uint8_t protocol_count;    // ARP: 0
  uint8_t protocol;          // the last of them: what `transport` is
  bool fragment;             // first or later
  bool later;                // its offset is not 0: no transport header
  bool reached;              // `transport` lies within the frame or at its end; false: later fragments, headers cut off, ARP
  bool has_source_port;      // TCP, UDP, SCTP, DCCP, whose port is there
  bool has_destination_port;
  bool has_icmp_type;        // ICMP in IPv4, ICMPv6 in IPv6
  bool has_icmp_code;
  uint8_t icmp_type, icmp_code;
  uint8_t tcp_flags;         // 0 where there are none
  uint16_t port_source, port_destination;
  uint32_t offset;           // of the header
  uint32_t header_bytes;     // up to `transport`: options and extension headers included
  uint32_t source, destination;
  uint32_t fragment_id;
  uint32_t transport;
  uint32_t payload;          // behind the transport header that was understood, at most the frame's length; else = transport
  uint8_t protocols[kProtocolsMax];

  static constexpr uint8_t kArp = 1;
};

struct Dissection {
  bool odd;                  // there may be more than was found
  bool cut;                  // a header goes on behind the bytes
  uint8_t link_count, type_count, tag_count, layer_count;
  uint32_t links[kLinkLayersMax];          // Ethernet headers: destination, then source address, 12 bytes
  uint16_t types[kEtherTypesMax];          // EtherTypes (>= 1536) inwards, those of tags and MPLS, too; what PPP, MPLS or a tunnel
                                           // holds counts under its EtherType (0x0800, 0x86dd, 0x8847)
  uint16_t tags[kTagsMax];                 // TCIs, outermost first: the VID is the low 12 bits
  NetworkLayer layers[kNetworkLayersMax];  // outermost first
};

// Fills what its counts say. `tunnels`: also looks into VXLAN (UDP to 4789, 8472), GENEVE (UDP to 6081), GRE (IP, MPLS, Ethernet, ERSPAN)
// and IP in IP (protocols 4 and 41). Wrong versions, checksums that fail and unknown contents end a way inwards without being odd where no
// filter could look further either.
void dissect(const uint8_t* frame, uint32_t length, bool tunnels, Dissection* d);

}  // namespace paste
