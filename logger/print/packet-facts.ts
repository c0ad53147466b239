// What a frame says about itself, as values: for JSON, for the story of one frame. Only its outermost addresses; no tunnels.
import { Octets } from "./octets.js";

export interface PacketFacts {
  sourceMac?: string;
  destinationMac?: string;
  /** VLAN identifiers, the outermost first. */
  vlans: number[];
  /** Behind the tags; absent for 802.3 frames. */
  etherType?: number;
  sourceIp?: string;
  destinationIp?: string;
  /** IANA's number of what is in the IP packet, behind IPv6's extension headers. */
  ipProtocol?: number;
  sourcePort?: number;
  destinationPort?: number;
  icmpType?: number;
  icmpCode?: number;
  tcpFlags?: number;
  /** A later fragment: what its ports are stands in its datagram's first. */
  laterFragment?: true;
  ttl?: number;
}

const tagTypes = new Set([0x8100, 0x88a8, 0x9100]);
const tagsMax = 4;
const extensionsMax = 8;

/** Never throws, whatever the bytes: what is cut off or makes no sense is absent. */
export function packetFacts(bytes: Uint8Array): PacketFacts {
  const octets = new Octets(bytes);
  const facts: PacketFacts = { vlans: [] };
  if (!octets.has(0, 14)) return facts;
  facts.destinationMac = octets.mac(0);
  facts.sourceMac = octets.mac(6);
  let at = 12;
  let type = octets.u16(at);
  while (tagTypes.has(type) && facts.vlans.length < tagsMax && octets.has(at + 2, 4)) {
    facts.vlans.push(octets.u16(at + 2) & 0xfff);
    at += 4;
    type = octets.u16(at);
  }
  if (type <= 1500) return facts;
  facts.etherType = type;
  at += 2;
  if (type === 0x0800) ipv4Facts(facts, octets, at);
  else if (type === 0x86dd) ipv6Facts(facts, octets, at);
  else if (type === 0x0806 || type === 0x8035) arpFacts(facts, octets, at);
  return facts;
}

function arpFacts(facts: PacketFacts, octets: Octets, at: number): void {
  if (!octets.has(at, 28) || octets.u16(at + 2) !== 0x0800 || octets.u16(at + 4) !== 0x0604) return;
  facts.sourceIp = octets.ipv4(at + 14);
  facts.destinationIp = octets.ipv4(at + 24);
}

function ipv4Facts(facts: PacketFacts, octets: Octets, at: number): void {
  if (!octets.has(at, 20) || octets.u8(at) >> 4 !== 4) return;
  const header = (octets.u8(at) & 15) * 4;
  if (header < 20) return;
  facts.sourceIp = octets.ipv4(at + 12);
  facts.destinationIp = octets.ipv4(at + 16);
  facts.ttl = octets.u8(at + 8);
  facts.ipProtocol = octets.u8(at + 9);
  if ((octets.u16(at + 6) & 0x1fff) !== 0) facts.laterFragment = true;
  else transportFacts(facts, octets, at + header);
}

// Extension headers as in RFC 8200, section 4.
function ipv6Facts(facts: PacketFacts, octets: Octets, start: number): void {
  if (!octets.has(start, 40) || octets.u8(start) >> 4 !== 6) return;
  facts.sourceIp = octets.ipv6(start + 8);
  facts.destinationIp = octets.ipv6(start + 24);
  facts.ttl = octets.u8(start + 7);
  let next = octets.u8(start + 6);
  let at = start + 40;
  for (let i = 0; i < extensionsMax && (next === 0 || next === 43 || next === 44 || next === 60); i++) {
    if (!octets.has(at, 8)) break;
    if (next === 44 && (octets.u16(at + 2) & 0xfff8) !== 0) {
      facts.ipProtocol = octets.u8(at);
      facts.laterFragment = true;
      return;
    }
    const length = next === 44 ? 8 : (octets.u8(at + 1) + 1) * 8;
    next = octets.u8(at);
    at += length;
  }
  facts.ipProtocol = next;
  transportFacts(facts, octets, at);
}

const tcp = 6;
const withPorts = new Set([tcp, 17, 33, 132, 136]);

function transportFacts(facts: PacketFacts, octets: Octets, at: number): void {
  const protocol = facts.ipProtocol!;
  if (withPorts.has(protocol) && octets.has(at, 4)) {
    facts.sourcePort = octets.u16(at);
    facts.destinationPort = octets.u16(at + 2);
    if (protocol === tcp && octets.has(at, 14)) facts.tcpFlags = octets.u8(at + 13);
  } else if ((protocol === 1 || protocol === 58) && octets.has(at, 2)) {
    facts.icmpType = octets.u8(at);
    facts.icmpCode = octets.u8(at + 1);
  }
}
