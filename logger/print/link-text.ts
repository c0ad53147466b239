// Ethernet, VLAN tags, ARP and the protocols of bridges, as tcpdump prints them.
import { hexAndAsciiLines } from "./hex-dump.js";
import { ipv4Line, ipv6Line, type Line } from "./ip-text.js";
import { llcLine } from "./llc-text.js";
import type { Octets } from "./octets.js";
import { plainText } from "./plain-text.js";

const etherHeader = 14;
const lengthMax = 1500;
const vlanTypes = new Set([0x8100, 0x88a8, 0x9100, 0x9200]);
const vlansMax = 16;

const etherTypeNames = new Map<number, string>([
  [0x0800, "IPv4"],
  [0x0806, "ARP"],
  [0x8035, "Reverse ARP"],
  [0x86dd, "IPv6"],
  [0x8100, "802.1Q"],
  [0x88a8, "802.1Q-QinQ"],
  [0x9100, "802.1Q-9100"],
  [0x9200, "802.1Q-9200"],
  [0x8847, "MPLS unicast"],
  [0x8848, "MPLS multicast"],
  [0x8863, "PPPoE D"],
  [0x8864, "PPPoE S"],
  [0x888e, "EAPOL"],
  [0x88cc, "LLDP"],
  [0x8809, "Slow Protocols"],
  [0x9000, "Loopback"],
  [0x880b, "PPP"],
  [0x8137, "NetWare IPX/SPX"],
  [0x80f3, "Appletalk ARP"],
  [0x809b, "Appletalk"],
  [0x88a2, "AoE"],
  [0x88f5, "MVRP"],
  [0x88f6, "MMRP"],
  [0x8899, "Realtek protocols"],
  [0x8902, "CFM"],
  [0x88e5, "802.1AE MACsec"],
  [0x88f7, "PTP"],
  [0x876b, "TCP Compression"],
  [0x4305, "B.A.T.M.A.N."],
  [0x8948, "MS NLB heartbeat"],
]);

/** What the frame's end is: where the link's headers end, so that -x can leave them out. */
export interface LinkResult {
  headerBytes: number;
}

export function etherType(type: number): string {
  return `ethertype ${etherTypeNames.get(type) ?? "Unknown"} (0x${type.toString(16).padStart(4, "0")})`;
}

/** Adds to the line; `result.headerBytes` is right also when the captured bytes end early. */
export function ethernetLine(line: Line, octets: Octets, wireLength: number, result: LinkResult): void {
  line.layer = "ether";
  const put = (text: string) => {
    line.text += text;
  };
  result.headerBytes = etherHeader;
  octets.need(0, etherHeader);
  const addresses = `${octets.mac(6)} > ${octets.mac(0)}, `;
  if (line.linkHeader) put(addresses);
  let at = etherHeader;
  let type = octets.u16(12);
  let told = false;
  for (let tags = 0; vlanTypes.has(type) && tags < vlansMax; tags++) {
    line.layer = "vlan";
    const tci = octets.u16(at);
    if (line.linkHeader) {
      put(`${etherType(type)}, ${told ? "" : `length ${wireLength}: `}${tciText(tci)}, `);
      told = true;
    }
    type = octets.u16(at + 2);
    at += 4;
    result.headerBytes = at;
  }
  const rest = Math.max(0, wireLength - at);
  if (type <= lengthMax) {
    const length = Math.min(type, rest);
    if (line.linkHeader) put(`802.3${told ? ", " : `, length ${length}: `}`);
    const header = llcLine(line, octets.upTo(at + length), at, length, octets.mac(6), octets.mac(0));
    if (header < 0) dump(line, octets.upTo(at + length), at);
    result.headerBytes = at + Math.abs(header);
    return;
  }
  if (line.linkHeader) put(`${etherType(type)}${told ? ", " : `, length ${wireLength}: `}`);
  if (etherPayload(line, octets, at, rest, type)) return;
  if (!line.linkHeader) put(`${addresses}${etherType(type)}, length ${wireLength}: `);
  dump(line, octets, at);
}

function dump(line: Line, octets: Octets, at: number): void {
  if (line.dumpUnknown) line.text += hexAndAsciiLines(octets.bytes.subarray(at, octets.end));
}

function tciText(tci: number): string {
  return `vlan ${tci & 0xfff}, p ${tci >> 13}${tci & 0x1000 ? ", DEI" : ""}`;
}

/** False: a protocol that is not known here. */
export function etherPayload(line: Line, octets: Octets, at: number, length: number, type: number): boolean {
  switch (type) {
    case 0x0800:
      ipv4Line(line, octets, at, length);
      return true;
    case 0x86dd:
      ipv6Line(line, octets, at, length);
      return true;
    case 0x0806:
    case 0x8035:
      arpLine(line, octets, at, length);
      return true;
    case 0x88cc:
      lldpLine(line, octets, at, length);
      return true;
    case 0x8864:
      return pppoeLine(line, octets, at, length);
    case 0x8847:
    case 0x8848:
      mplsLine(line, octets, at, length);
      return true;
    default:
      return false;
  }
}

const arpOperations = new Map<number, string>([
  [1, "Request"],
  [2, "Reply"],
  [3, "Reverse Request"],
  [4, "Reverse Reply"],
  [8, "Inverse Request"],
  [9, "Inverse Reply"],
  [10, "NACK Reply"],
]);

function arpLine(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "arp";
  octets.need(at, 8);
  const [hardware, protocol] = [octets.u16(at), octets.u16(at + 2)];
  const [hardwareBytes, protocolBytes] = [octets.u8(at + 4), octets.u8(at + 5)];
  const operation = octets.u16(at + 6);
  octets.need(at + 8, 2 * (hardwareBytes + protocolBytes));
  const put = (text: string) => {
    line.text += text;
  };
  if (!line.linkHeader) put("ARP, ");
  if (protocol !== 0x0800 || protocolBytes !== 4 || hardwareBytes === 0) {
    put(
      `${hardwareText(hardware)} (len ${hardwareBytes}), ${arpProtocol(protocol)} (len ${protocolBytes}), length ${length}`,
    );
    return;
  }
  const sender = at + 8;
  const senderProtocol = sender + hardwareBytes;
  const target = senderProtocol + protocolBytes;
  const targetProtocol = target + hardwareBytes;
  const address = (place: number) => hardwareAddress(octets, place, hardwareBytes);
  const ip = (place: number) => octets.ipv4(place);
  const zero = octets.bytes.subarray(target, targetProtocol).every((byte) => byte === 0);
  put(`${arpOperations.get(operation) ?? `Unknown (${operation})`} `);
  if (operation === 1)
    put(`who-has ${ip(targetProtocol)}${zero ? "" : ` (${address(target)})`} tell ${ip(senderProtocol)}`);
  else if (operation === 2) put(`${ip(senderProtocol)} is-at ${address(sender)}`);
  else if (operation === 3 || operation === 8) put(`who-is ${address(target)} tell ${address(sender)}`);
  else if (operation === 4) put(`${address(target)} at ${ip(targetProtocol)}`);
  else if (operation === 9) put(`${address(sender)} at ${ip(senderProtocol)}`);
  else {
    dump(line, octets, at);
    return;
  }
  put(`, length ${length}`);
}

function hardwareText(type: number): string {
  return (
    new Map([
      [1, "Ethernet"],
      [6, "TokenRing"],
      [7, "ArcNet"],
      [15, "FrameRelay"],
      [20, "Strip"],
      [24, "IEEE 1394"],
    ]).get(type) ?? `Unknown Hardware (${type})`
  );
}

function arpProtocol(type: number): string {
  return type === 0x0800
    ? "IPv4"
    : (etherTypeNames.get(type) ?? `Unknown Protocol (0x${type.toString(16).padStart(4, "0")})`);
}

function hardwareAddress(octets: Octets, at: number, count: number): string {
  if (count === 0) return "<No address>";
  if (count === 6) return octets.mac(at);
  return Array.from({ length: count }, (_, i) => octets.hex(at + i, 1)).join(":");
}

const lldpTlvsMax = 128;
const lldpSystemName = 5;

function lldpLine(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "lldp";
  line.text += `LLDP, length ${length}`;
  let tlv = at;
  for (let i = 0; i < lldpTlvsMax && tlv + 2 <= at + length; i++) {
    const word = octets.u16(tlv);
    const [type, size] = [word >> 9, word & 0x1ff];
    if (type === 0) return;
    octets.need(tlv + 2, size);
    if (type === lldpSystemName) line.text += `: ${plainText(octets.bytes.subarray(tlv + 2, tlv + 2 + size))}`;
    tlv += 2 + size;
  }
}

const pppoeHeader = 6;
const pppProtocols = new Map<number, [name: string, print: typeof ipv4Line]>([
  [0x0021, ["IP", ipv4Line]],
  [0x0057, ["IP6", ipv6Line]],
]);

/** A session's IP packets; what else PPP says is dumped. */
function pppoeLine(line: Line, octets: Octets, at: number, length: number): boolean {
  if (!octets.has(at, pppoeHeader + 2) || octets.u16(at) !== 0x1100) return false;
  const protocol = octets.u16(at + pppoeHeader);
  const [name, print] = pppProtocols.get(protocol) ?? [];
  if (!name || !print) return false;
  line.layer = "pppoe";
  const inner = at + pppoeHeader + 2;
  const left = length - pppoeHeader - 2;
  const stated = Math.max(0, Math.min(octets.u16(at + 4) - 2, left));
  line.text += `PPPoE  [ses 0x${octets.u16(at + 2).toString(16)}] `;
  if (line.linkHeader) line.text += `${name} (0x${octets.hex(at + pppoeHeader, 2)}), length ${stated + 2}: `;
  print(line, octets.upTo(inner + stated), inner, stated);
  return true;
}

const labelsMax = 16;

function mplsLine(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "mpls";
  line.text += "MPLS";
  let label = at;
  for (let i = 0; i < labelsMax; i++, label += 4) {
    const word = octets.u32(label);
    if (i > 0) line.text += "\n\t".slice(0, 0);
    line.text += `${i === 0 ? " (" : " ("}label ${word >>> 12}${labelName(word >>> 12)}, tc ${(word >>> 9) & 7}${word & 0x100 ? ", [S]" : ""}, ttl ${word & 0xff})`;
    if (word & 0x100) {
      const inner = label + 4;
      const left = length - (inner - at);
      const version = octets.u8(inner) >> 4;
      if (version === 4 || version === 6) {
        line.text += line.linkHeader ? " " : " ";
        if (version === 4) ipv4Line(line, octets, inner, left);
        else ipv6Line(line, octets, inner, left);
      } else dump(line, octets.upTo(inner + left), inner);
      return;
    }
  }
}

function labelName(label: number): string {
  const name = ["IPv4 explicit NULL", "router alert", "IPv6 explicit NULL", "implicit NULL"][label];
  return name ? ` (${name})` : "";
}
