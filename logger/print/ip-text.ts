// IPv4, IPv6 and what they carry, one line, as tcpdump -n prints them without -v.
import { icmp6Text, icmpText } from "./icmp-text.js";
import type { Octets } from "./octets.js";
import { type TcpConversations, tcpText } from "./tcp-text.js";
import { type Between, portsText, sctpText, udpText } from "./transport-text.js";

/** The line under way: text so far, and the name of the layer whose header is being read, for "[|tcp]". */
export interface Line {
  text: string;
  layer: string;
  /** Layers of IP within IP that were entered: a bound against frames that are all headers. */
  depth: number;
  readonly linkHeader: boolean;
  /** Whether what is not known here is dumped. */
  readonly dumpUnknown: boolean;
  readonly conversations: TcpConversations | undefined;
}

const depthMax = 8;
const ipv4Header = 20;
const ipv6Header = 40;

/** `length`: bytes from `at` on that were on the wire. */
export function ipv4Line(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "ip";
  const versionByte = octets.u8(at);
  const version = versionByte >> 4;
  if (version !== 4) {
    line.text += version === 6 ? "IP6, wrong link-layer encapsulation (invalid)" : `IP${version} (invalid)`;
    return;
  }
  if (!line.linkHeader) line.text += "IP ";
  octets.need(at, ipv4Header);
  if (length < ipv4Header) {
    line.text += `truncated-ip ${length}`;
    return;
  }
  const headerLength = (versionByte & 15) * 4;
  if (headerLength < ipv4Header) {
    line.text += `bad-hlen ${headerLength}`;
    return;
  }
  let total = octets.u16(at + 2);
  if (length < total) line.text += `truncated-ip - ${total - length} bytes missing! `;
  if (total < headerLength) {
    if (total !== 0) {
      line.text += `bad-len ${total}`;
      return;
    }
    total = length; // segmentation left to the device: the header says nothing
  }
  const body = octets.upTo(at + total);
  const fragment = octets.u16(at + 6);
  const protocol = octets.u8(at + 9);
  const source = octets.ipv4(at + 12);
  const destination = octets.ipv4(at + 16);
  const ends = { source, destination, fragmented: (fragment & 0x2000) !== 0, named: !withPorts.has(protocol) };
  if ((fragment & 0x1fff) !== 0) {
    line.text += `${source} > ${destination}: ip-proto-${protocol}`;
    return;
  }
  if (!withPorts.has(protocol)) line.text += `${source} > ${destination}: `;
  payloadLine(line, body, at + headerLength, total - headerLength, protocol, ends, 4);
}

/** Protocols whose lines begin with addresses and ports. */
const withPorts = new Set([6, 17, 132]);

export function ipv6Line(line: Line, octets: Octets, at: number, length: number): void {
  line.layer = "ip6";
  octets.need(at, ipv6Header);
  if (length < ipv6Header) {
    line.text += `truncated-ip6 ${length}`;
    return;
  }
  if (!line.linkHeader) line.text += "IP6 ";
  const version = octets.u8(at) >> 4;
  if (version !== 6) {
    line.text += `version error: ${version} != 6`;
    return;
  }
  let payload = octets.u16(at + 4);
  if (length < payload + ipv6Header) line.text += `truncated-ip6 - ${payload + ipv6Header - length} bytes missing!`;
  if (payload === 0 && octets.u8(at + 6) === 0) payload = length - ipv6Header; // a jumbogram (RFC 2675)
  const body = octets.upTo(at + ipv6Header + payload);
  const ends = { source: octets.ipv6(at + 8), destination: octets.ipv6(at + 24), fragmented: false, named: false };
  extensions(line, body, at + ipv6Header, payload, octets.u8(at + 6), ends);
}

const extensionsMax = 16;
const routingTypes = new Set([0, 2, 4]);

function extensions(line: Line, octets: Octets, start: number, payload: number, first: number, ends: Between): void {
  let next = first;
  let at = start;
  let left = payload;
  const name = () => {
    if (!ends.named) line.text += `${ends.source} > ${ends.destination}: `;
    ends.named = true;
  };
  for (let i = 0; i < extensionsMax; i++) {
    let length = 0;
    if (next === 0 || next === 60 || next === 43) {
      name();
      line.layer = next === 0 ? "hbhopt" : next === 60 ? "dstopt" : "rt6";
      length = (octets.u8(at + 1) + 1) * 8;
      octets.need(at, length);
      if (next === 43 && !routingTypes.has(octets.u8(at + 2))) {
        line.text += `RT6 (${routing(octets, at)} (unknown type) (invalid)`;
        return;
      }
      line.text += next === 0 ? "HBH " : next === 60 ? "DSTOPT " : `srcrt (${routing(octets, at)}) `;
    } else if (next === 44) {
      name();
      line.layer = "frag6";
      length = 8;
      const word = octets.u16(at + 2);
      octets.need(at, 8);
      line.text += `frag (${word & 0xfff8}|${Math.max(0, left - 8)}) `;
      if ((word & 0xfff8) !== 0) {
        line.text = line.text.trimEnd();
        return;
      }
      ends.fragmented = true;
    } else break;
    next = octets.u8(at);
    at += length;
    left -= length;
  }
  if (next === 59) {
    name();
    line.text += "no next header";
    return;
  }
  if (!withPorts.has(next)) name();
  payloadLine(line, octets, at, left, next, ends, 6);
}

function authentication(octets: Octets, at: number, length: number): string {
  const check = octets.hex(at + 12, Math.max(0, length - 12));
  return `AH(spi=0x${octets.hex(at + 4, 4)},seq=0x${octets.u32(at + 8).toString(16)},icv=0x${check}): `;
}

function routing(octets: Octets, at: number): string {
  return `len=${octets.u8(at + 1)}, type=${octets.u8(at + 2)}, segleft=${octets.u8(at + 3)}`;
}

function payloadLine(
  line: Line,
  octets: Octets,
  at: number,
  length: number,
  protocol: number,
  ends: Between,
  version: 4 | 6,
): void {
  const put = (text: string) => {
    line.text += text;
  };
  switch (protocol) {
    case 6:
      tcpLine(line, octets, at, length, ends);
      return;
    case 17:
      line.layer = "udp";
      udpText(octets, at, length, put, ends);
      return;
    case 132:
      line.layer = "sctp";
      sctpText(octets, at, length, put, ends);
      return;
    case 1:
      if (version !== 4) break;
      line.layer = "icmp";
      icmpText(octets, at, length, put);
      return;
    case 58:
      if (version !== 6) break;
      line.layer = "icmp6";
      icmp6Text(octets, at, length, put);
      return;
    case 4:
    case 41:
      innerLine(line, octets, at, length, protocol);
      return;
    case 50:
      line.layer = "esp";
      put(`ESP(spi=0x${octets.hex(at, 4)},seq=0x${octets.u32(at + 4).toString(16)}), length ${length}`);
      return;
    case 51:
      ahLine(line, octets, at, length, ends, version);
      return;
    default:
  }
  line.text += ` ip-proto-${protocol} ${length}`;
}

function tcpLine(line: Line, octets: Octets, at: number, length: number, ends: Between): void {
  line.layer = "tcp";
  const put = (text: string) => {
    line.text += text;
  };
  if (!ends.named && !octets.has(at, 4)) {
    put(`${ends.source} > ${ends.destination}:`);
    octets.need(at, 4);
  }
  portsText(octets, at, put, ends);
  const from = `${ends.source}.${octets.u16(at)}`;
  const to = `${ends.destination}.${octets.u16(at + 2)}`;
  const { conversations } = line;
  tcpText(octets, at, length, put, { from, to, conversations });
}

function ahLine(line: Line, octets: Octets, at: number, length: number, ends: Between, version: 4 | 6): void {
  line.layer = "ah";
  const size = (octets.u8(at + 1) + 2) * 4;
  line.text += authentication(octets, at, size);
  if (++line.depth > depthMax) return;
  payloadLine(line, octets, at + size, length - size, octets.u8(at), ends, version);
}

function innerLine(line: Line, octets: Octets, at: number, length: number, protocol: number): void {
  if (++line.depth > depthMax) {
    line.text += " [IP within IP too often]";
    return;
  }
  if (protocol === 4) ipv4Line(line, octets, at, length);
  else ipv6Line(line, octets, at, length);
}
