// What is awkward about frames, kind by kind: truncated, nested, misnumbered, and things that are hardly ever seen.
import type { Random } from "../../logger/traffic/random.js";
import {
  anyMac,
  ethernet,
  hostMac,
  icmp,
  icmp6,
  igmp,
  ipv4,
  ipv4Address,
  ipv6,
  ipv6Address,
  neighbour,
  protocols,
  sctp,
  tag,
  tcp,
  types,
  u8,
  u16,
  u32,
  udp,
} from "./awkward-packets.js";

export type Maker = (random: Random) => Buffer;
type Addresses = readonly [Buffer, Buffer];

function addresses4(random: Random): Addresses {
  return [ipv4Address(random), ipv4Address(random)];
}

function addresses6(random: Random): Addresses {
  return [ipv6Address(random), ipv6Address(random)];
}

/** Mostly small, sometimes empty, sometimes as long as a usual frame lets it be. */
function payload(random: Random): Buffer {
  return random.bytes(random.pick([0, 1, 7, 18, 64, random.below(600), 1400]));
}

export function over4(random: Random, protocol: number, make: (addresses: Addresses) => Buffer, options = {}): Buffer {
  const addresses = addresses4(random);
  return ipv4(random, protocol, make(addresses), { addresses, ...options });
}

function over6(random: Random, protocol: number, make: (addresses: Addresses) => Buffer): Buffer {
  const addresses = addresses6(random);
  return ipv6(random, protocol, make(addresses), { addresses });
}

const udp4 = (random: Random): Buffer =>
  over4(random, protocols.udp, (addresses) => udp(random, payload(random), addresses));
export const tcp4 = (random: Random): Buffer =>
  over4(random, protocols.tcp, (addresses) => tcp(random, payload(random), addresses));
const tcp6 = (random: Random): Buffer =>
  over6(random, protocols.tcp, (addresses) => tcp(random, payload(random), addresses));

/** IPv6 extension headers of every kind before `last`; `first` gets the first one's number. */
function extensionChain(random: Random, length: number, last: number): { first: number; chain: Buffer } {
  let next = last;
  let chain = Buffer.alloc(0);
  for (let i = 0; i < length; i++) {
    // The innermost is made first; hop-by-hop may stand at the very front only.
    const kind = i === length - 1 ? random.pick([0, 43, 60]) : random.pick([43, 60, 51]);
    const units = random.below(3);
    // The authentication header counts in units of 4 bytes, less two; the others in units of 8, less one.
    const size = kind === 51 ? 8 * (units + 2) : 8 * (units + 1);
    const header = Buffer.alloc(size);
    header[0] = next;
    header[1] = kind === 51 ? size / 4 - 2 : units;
    if (kind === 0 || kind === 60) header.set([1, size - 4], 2);
    if (kind === 43) header.set([253, 0], 2);
    chain = Buffer.concat([header, chain]);
    next = kind;
  }
  return { first: next, chain };
}

function chained6(random: Random, length: number): Buffer {
  const addresses = addresses6(random);
  const { first, chain } = extensionChain(random, length, protocols.udp);
  return ipv6(random, first, Buffer.concat([chain, udp(random, payload(random), addresses)]), { addresses });
}

function fragment4(random: Random, offset: number, more: boolean, length: number): Buffer {
  const flags = (more ? 0x2000 : 0) | offset;
  const body =
    offset === 0
      ? (addresses: Addresses) => udp(random, random.bytes(length - 8), addresses)
      : () => random.bytes(length);
  return over4(random, protocols.udp, body, { fragment: flags, identification: random.below(8) });
}

function fragment6(random: Random, offset: number, more: boolean, length: number): Buffer {
  return over6(random, 44, (addresses) => {
    const header = Buffer.concat([u8(protocols.udp, 0), u16((offset << 3) | (more ? 1 : 0)), u32(random.below(8))]);
    const body = offset === 0 ? udp(random, random.bytes(length - 8), addresses) : random.bytes(length);
    return Buffer.concat([header, body]);
  });
}

function tunnel(random: Random, destination: number, ...parts: readonly Buffer[]): Buffer {
  return over4(random, protocols.udp, (addresses) =>
    udp(random, Buffer.concat(parts), addresses, [random.between(1024, 65535), destination]),
  );
}

function mpls(random: Random, labels: number, bottom: boolean): Buffer {
  const stack = Array.from({ length: labels }, (_, i) =>
    u32((random.between(16, 0xfffff) << 12) | (bottom && i === labels - 1 ? 0x100 : 0) | 64),
  );
  return Buffer.concat(stack);
}

function arp(random: Random, operation: number): Buffer {
  return Buffer.concat([
    u16(1, types.ipv4),
    u8(6, 4),
    u16(operation),
    hostMac(random),
    u8(10, 0, 0, random.below(40)),
    operation === 1 ? Buffer.alloc(6) : hostMac(random),
    u8(10, 0, 0, random.below(40)),
  ]);
}

/** A frame of 802.3: a length in the place of the type. */
function llc(random: Random, content: Buffer, length = content.length): Buffer {
  return Buffer.concat([anyMac(random), hostMac(random), u16(length), content]);
}

/** By name; where a frame is shorter than Ethernet's 60 bytes it is padded. */
export const makers: Record<string, Maker> = {
  "ipv4 tcp": (r) => ethernet(r, types.ipv4, tcp4(r)),
  "ipv4 udp": (r) => ethernet(r, types.ipv4, udp4(r)),
  "ipv4 icmp": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.icmp, () => icmp(r, payload(r))),
    ),
  "ipv4 icmp error": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.icmp, () => Buffer.concat([u8(3, 3), u16(0, 0, 0), udp4(r).subarray(0, 28)])),
    ),
  "ipv4 igmp": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.igmp, () => igmp(r), { options: u8(148, 4, 0, 0) }),
    ),
  "ipv4 sctp": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.sctp, () => sctp(r, payload(r))),
    ),
  "ipv4 esp": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.esp, () => r.bytes(64)),
    ),
  "ipv4 options": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.tcp, (a) => tcp(r, payload(r), a), {
        options: r.pick([u8(7, 3, 4, 0), Buffer.alloc(40, 1), u8(131, 7, 4, 10, 0, 0, 1, 0)]),
      }),
    ),
  "ipv4 bad checksum": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.udp, (a) => udp(r, payload(r), a), { badChecksum: true }),
    ),
  "ipv4 length too long": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.udp, (a) => udp(r, payload(r), a), { totalLength: r.between(2000, 65535) }),
    ),
  "ipv4 length too short": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.tcp, (a) => tcp(r, payload(r), a), { totalLength: r.below(40) }),
    ),
  "ipv4 header length wrong": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.tcp, (a) => tcp(r, payload(r), a), { versionAndLength: 0x40 | r.pick([0, 1, 4, 15]) }),
    ),
  "ipv4 version wrong": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.tcp, (a) => tcp(r, payload(r), a), { versionAndLength: (r.pick([0, 5, 6, 15]) << 4) | 5 }),
    ),
  "ipv4 protocol unknown": (r) => ethernet(r, types.ipv4, ipv4(r, r.pick([0, 61, 253, 255]), payload(r))),
  "ipv4 no payload": (r) =>
    ethernet(r, types.ipv4, ipv4(r, r.pick([protocols.tcp, protocols.udp, protocols.icmp]), Buffer.alloc(0))),
  "ipv4 first fragment": (r) => ethernet(r, types.ipv4, fragment4(r, 0, true, 1480)),
  "ipv4 middle fragment": (r) => ethernet(r, types.ipv4, fragment4(r, 185, true, 1480)),
  "ipv4 last fragment": (r) => ethernet(r, types.ipv4, fragment4(r, 370, false, r.between(1, 700))),
  "ipv4 overlapping fragment": (r) => ethernet(r, types.ipv4, fragment4(r, r.between(1, 200), r.chance(0.5), 800)),
  "ipv4 tiny first fragment": (r) => ethernet(r, types.ipv4, fragment4(r, 0, true, 8)),
  "udp length wrong": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.udp, (a) => {
        const segment = udp(r, payload(r), a);
        segment.writeUInt16BE(r.pick([0, 7, 9000, 65535]), 4);
        return segment;
      }),
    ),
  "tcp header length wrong": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.tcp, (a) => {
        const segment = tcp(r, payload(r), a);
        segment[12] = r.pick([0, 0x40, 0xf0]);
        return segment;
      }),
    ),
  "ipv6 tcp": (r) => ethernet(r, types.ipv6, tcp6(r)),
  "ipv6 udp": (r) =>
    ethernet(
      r,
      types.ipv6,
      over6(r, protocols.udp, (a) => udp(r, payload(r), a)),
    ),
  "ipv6 icmp6": (r) =>
    ethernet(
      r,
      types.ipv6,
      over6(r, protocols.icmp6, (a) => icmp6(r, payload(r), a)),
    ),
  "ipv6 neighbour": (r) =>
    ethernet(
      r,
      types.ipv6,
      over6(r, protocols.icmp6, (a) => neighbour(r, a)),
    ),
  "ipv6 sctp": (r) =>
    ethernet(
      r,
      types.ipv6,
      over6(r, protocols.sctp, () => sctp(r, payload(r))),
    ),
  "ipv6 extension chain": (r) => ethernet(r, types.ipv6, chained6(r, r.between(1, 4))),
  "ipv6 long extension chain": (r) => ethernet(r, types.ipv6, chained6(r, r.between(8, 24))),
  "ipv6 chain behind the end": (r) =>
    ethernet(r, types.ipv6, ipv6(r, 0, Buffer.concat([u8(60, 200), r.bytes(r.below(30))]))),
  "ipv6 no next header": (r) => ethernet(r, types.ipv6, ipv6(r, protocols.none, payload(r))),
  "ipv6 payload length zero": (r) => ethernet(r, types.ipv6, ipv6(r, protocols.tcp, r.bytes(60), { payloadLength: 0 })),
  "ipv6 first fragment": (r) => ethernet(r, types.ipv6, fragment6(r, 0, true, 1448)),
  "ipv6 middle fragment": (r) => ethernet(r, types.ipv6, fragment6(r, 181, true, 1448)),
  "ipv6 last fragment": (r) => ethernet(r, types.ipv6, fragment6(r, 362, false, r.between(1, 700))),
  "ipv6 overlapping fragment": (r) => ethernet(r, types.ipv6, fragment6(r, r.between(1, 200), r.chance(0.5), 800)),
  "ipv6 atomic fragment": (r) => ethernet(r, types.ipv6, fragment6(r, 0, false, 100)),
  vlan: (r) => ethernet(r, types.vlan, tag(r, r.between(1, 12), types.ipv4), r.chance(0.5) ? udp4(r) : tcp4(r)),
  "vlan ipv6": (r) => ethernet(r, types.vlan, tag(r, r.between(1, 12), types.ipv6), tcp6(r)),
  "vlan arp": (r) => ethernet(r, types.vlan, tag(r, r.between(1, 12), types.arp), arp(r, 1)),
  "vlan 4095": (r) => ethernet(r, types.vlan, tag(r, 4095, types.ipv4), udp4(r)),
  "vlan llc": (r) => ethernet(r, types.vlan, tag(r, 7, 3), u8(0x42, 0x42, 3), Buffer.alloc(40)),
  "vlan and nothing": (r) => ethernet(r, types.vlan, tag(r, 5, types.vlan)),
  "priority tag": (r) => ethernet(r, types.vlan, tag(r, 0, types.ipv4), udp4(r)),
  "qinq 88a8": (r) =>
    ethernet(r, types.qinq, tag(r, r.between(1, 4094), types.vlan), tag(r, r.between(1, 12), types.ipv4), tcp4(r)),
  "qinq 9100": (r) =>
    ethernet(r, types.qinq9100, tag(r, r.between(1, 4094), types.vlan), tag(r, r.between(1, 12), types.ipv4), udp4(r)),
  "qinq 8100": (r) => ethernet(r, types.vlan, tag(r, 100, types.vlan), tag(r, 200, types.ipv6), tcp6(r)),
  "qinq of many tags": (r) =>
    ethernet(
      r,
      types.vlan,
      ...Array.from({ length: 8 }, (_, i) => tag(r, i + 1, types.vlan)),
      tag(r, 9, types.ipv4),
      udp4(r),
    ),
  "mpls ipv4": (r) => ethernet(r, types.mpls, mpls(r, r.between(1, 3), true), udp4(r)),
  "mpls ipv6": (r) => ethernet(r, types.mpls, mpls(r, r.between(1, 3), true), tcp6(r)),
  "mpls without bottom": (r) => ethernet(r, types.mpls, mpls(r, 12, false)),
  "vlan mpls": (r) => ethernet(r, types.vlan, tag(r, 8, types.mpls), mpls(r, 2, true), tcp4(r)),
  "pppoe discovery": (r) => ethernet(r, types.pppoeDiscovery, u8(0x11, 0x09), u16(0, 4, 0x0101, 0)),
  "pppoe ipv4": (r) => {
    const inner = udp4(r);
    return ethernet(r, types.pppoeSession, u8(0x11, 0), u16(r.below(100), inner.length + 2, 0x0021), inner);
  },
  "pppoe ipv6": (r) => {
    const inner = tcp6(r);
    return ethernet(r, types.pppoeSession, u8(0x11, 0), u16(r.below(100), inner.length + 2, 0x0057), inner);
  },
  "arp request": (r) => ethernet(r, types.arp, arp(r, 1)),
  "arp reply": (r) => ethernet(r, types.arp, arp(r, 2)),
  "arp too short": (r) => ethernet(r, types.arp, arp(r, 1).subarray(0, r.below(28))),
  rarp: (r) => ethernet(r, types.rarp, arp(r, 3)),
  lldp: (r) => ethernet(r, types.lldp, u8(2, 7, 4), hostMac(r), u8(4, 2, 7, 49, 6, 2, 0, 120, 0, 0)),
  "gre ipv4": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.gre, () => Buffer.concat([u16(0, types.ipv4), udp4(r)])),
    ),
  "gre key ethernet": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.gre, () => Buffer.concat([u16(0x2000, types.teb), u32(77), ethernet(r, types.ipv4, tcp4(r))])),
    ),
  "ip in ip": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.ipip, () => tcp4(r)),
    ),
  "ip in ip in ip": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.ipip, () => over4(r, protocols.ipip, () => udp4(r))),
    ),
  "6in4": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.ipv6, () => tcp6(r)),
    ),
  "4in6": (r) =>
    ethernet(
      r,
      types.ipv6,
      over6(r, protocols.ipip, () => udp4(r)),
    ),
  vxlan: (r) =>
    ethernet(r, types.ipv4, tunnel(r, 4789, u32(0x08000000, r.below(1 << 24) << 8), ethernet(r, types.ipv4, tcp4(r)))),
  "vxlan vlan": (r) =>
    ethernet(
      r,
      types.ipv4,
      tunnel(r, 4789, u32(0x08000000, 0x100), ethernet(r, types.vlan, tag(r, 3, types.ipv6), tcp6(r))),
    ),
  geneve: (r) =>
    ethernet(r, types.ipv4, tunnel(r, 6081, u16(0, types.teb), u32(0x500), ethernet(r, types.ipv4, udp4(r)))),
  "gtp-u": (r) => {
    const inner = udp4(r);
    return ethernet(r, types.ipv4, tunnel(r, 2152, u8(0x30, 0xff), u16(inner.length), u32(r.uint32()), inner));
  },
  "llc stp": (r) => llc(r, Buffer.concat([u8(0x42, 0x42, 3), Buffer.alloc(35)])),
  "llc snap": (r) => llc(r, Buffer.concat([u8(0xaa, 0xaa, 3, 0, 0, 0), u16(types.ipv4), udp4(r)])),
  "802.3 raw": (r) => llc(r, Buffer.concat([u16(0xffff, 30), Buffer.alloc(30)])),
  "802.3 length lies": (r) => llc(r, r.bytes(46), r.pick([0, 1, 1500])),
  "type between length and ethernet": (r) => llc(r, r.bytes(46), r.between(1501, 1535)),
  "type unknown": (r) => ethernet(r, r.pick([0x0600, 0x88b5, 0xffff, 0x6003]), payload(r)),
  "station sends to itself": (r) => {
    const mac = hostMac(r);
    return Buffer.concat([mac, mac, u16(types.ipv4), udp4(r)]);
  },
  "group as source": (r) =>
    Buffer.concat([hostMac(r), r.pick([Buffer.alloc(6, 0xff), u8(1, 0, 0x5e, 1, 1, 1)]), u16(types.ipv4), udp4(r)]),
  "random bytes": (r) => r.bytes(r.between(60, 1514)),
  "random payload of a known type": (r) => ethernet(r, r.pick(Object.values(types)), r.bytes(r.between(1, 200))),
  "full size": (r) =>
    ethernet(
      r,
      types.ipv4,
      over4(r, protocols.udp, (a) => udp(r, r.bytes(1472), a)),
    ),
};
