import type { Random } from "../../logger/traffic/random.js";
import { wordSum } from "./checksums.js";

/** Layers of awkward frames, as buffers that are put behind each other. Correct unless asked to be wrong. */

export const protocols = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  gre: 47,
  esp: 50,
  ah: 51,
  icmp6: 58,
  none: 59,
  sctp: 132,
};
export const types = {
  ipv4: 0x0800,
  arp: 0x0806,
  rarp: 0x8035,
  vlan: 0x8100,
  ipv6: 0x86dd,
  mpls: 0x8847,
  qinq: 0x88a8,
  qinq9100: 0x9100,
  pppoeDiscovery: 0x8863,
  pppoeSession: 0x8864,
  lldp: 0x88cc,
  teb: 0x6558,
};

export function u8(...values: number[]): Buffer {
  return Buffer.from(values.map((value) => value & 0xff));
}

export function u16(...values: number[]): Buffer {
  const buffer = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => void buffer.writeUInt16BE(value & 0xffff, 2 * i));
  return buffer;
}

export function u32(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => void buffer.writeUInt32BE(value >>> 0, 4 * i));
  return buffer;
}

/** The Internet checksum (RFC 1071). */
export function checksum(...parts: readonly Buffer[]): number {
  return ~wordSum(Buffer.concat(parts)) & 0xffff;
}

/** A host's unicast address, out of few, so that a switch learns, or out of many. */
export function hostMac(random: Random): Buffer {
  return random.chance(0.9) ? u8(0x02, 0, 0, 0, 0, random.below(40)) : Buffer.concat([u8(0x02), random.bytes(5)]);
}

export function anyMac(random: Random): Buffer {
  if (random.chance(0.8)) return hostMac(random);
  return random.pick([
    Buffer.alloc(6, 0xff),
    u8(0x01, 0x00, 0x5e, 0, 0, 0xfb),
    u8(0x33, 0x33, 0, 0, 0, 1),
    Buffer.alloc(6),
  ]);
}

export function ethernet(random: Random, type: number, ...payload: readonly Buffer[]): Buffer {
  return Buffer.concat([anyMac(random), hostMac(random), u16(type), ...payload]);
}

/** A tag behind a type that announced it: priority and VLAN, then the next type. */
export function tag(random: Random, vlan: number, nextType: number): Buffer {
  return u16((random.below(16) << 12) | vlan, nextType);
}

export function ipv4Address(random: Random): Buffer {
  return random.chance(0.9)
    ? u8(10, 0, random.below(2), random.below(40))
    : random.pick([u8(224, 0, 0, 251), Buffer.alloc(4, 255), Buffer.alloc(4), u8(127, 0, 0, 1), random.bytes(4)]);
}

export function ipv6Address(random: Random): Buffer {
  return random.chance(0.9)
    ? Buffer.concat([u16(0xfd00, 0, 0, 0, 0, 0, 0), u16(random.below(40))])
    : random.pick([u16(0xff02, 0, 0, 0, 0, 0, 0, 1), Buffer.alloc(16), random.bytes(16)]);
}

export interface Ipv4Options {
  options?: Buffer;
  /** In units of 8 bytes, with the flags (0x2000 more fragments, 0x4000 don't fragment) above. */
  fragment?: number;
  identification?: number;
  totalLength?: number;
  versionAndLength?: number;
  badChecksum?: boolean;
  addresses?: readonly [Buffer, Buffer];
}

export function ipv4(random: Random, protocol: number, payload: Buffer, options: Ipv4Options = {}): Buffer {
  const extra = options.options ?? Buffer.alloc(0);
  const headerLength = 20 + extra.length;
  const [source, destination] = options.addresses ?? [ipv4Address(random), ipv4Address(random)];
  const header = Buffer.concat([
    u8(options.versionAndLength ?? 0x40 | (headerLength / 4), random.below(256)),
    u16(
      options.totalLength ?? headerLength + payload.length,
      options.identification ?? random.below(65536),
      options.fragment ?? 0,
    ),
    u8(random.between(1, 255), protocol),
    u16(0),
    source,
    destination,
    extra,
  ]);
  header.writeUInt16BE(options.badChecksum ? checksum(header) ^ 0x5555 : checksum(header), 10);
  return Buffer.concat([header, payload]);
}

export interface Ipv6Options {
  payloadLength?: number;
  addresses?: readonly [Buffer, Buffer];
}

export function ipv6(random: Random, next: number, payload: Buffer, options: Ipv6Options = {}): Buffer {
  const [source, destination] = options.addresses ?? [ipv6Address(random), ipv6Address(random)];
  const first = (0x60000000 | (random.below(256) << 20) | random.below(0x100000)) >>> 0;
  return Buffer.concat([
    u32(first),
    u16(Math.min(65535, options.payloadLength ?? payload.length)),
    u8(next, random.between(1, 255)),
    source,
    destination,
    payload,
  ]);
}

/** Sets the checksum at `at` of a segment over the pseudo header of its addresses (both 4 or both 16 bytes long). */
export function withChecksum(
  segment: Buffer,
  at: number,
  protocol: number,
  addresses: readonly [Buffer, Buffer],
): Buffer {
  segment.writeUInt16BE(0, at);
  const sum = checksum(...addresses, u32(segment.length, protocol), segment);
  segment.writeUInt16BE(protocol === protocols.udp && sum === 0 ? 0xffff : sum, at);
  return segment;
}

export function port(random: Random): number {
  return random.chance(0.5) ? random.pick([22, 53, 80, 123, 443, 8080]) : random.below(65536);
}

export function udp(
  random: Random,
  payload: Buffer,
  addresses: readonly [Buffer, Buffer],
  ports?: readonly [number, number],
): Buffer {
  const [source, destination] = ports ?? [port(random), port(random)];
  const segment = Buffer.concat([u16(source, destination, 8 + payload.length, 0), payload]);
  return withChecksum(segment, 6, protocols.udp, addresses);
}

export function tcp(random: Random, payload: Buffer, addresses: readonly [Buffer, Buffer]): Buffer {
  const options = random.pick([
    Buffer.alloc(0),
    u8(2, 4, 5, 0xb4),
    u8(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
    Buffer.alloc(40, 1),
  ]);
  const flags = random.pick([0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0xff, 0x1ff]);
  const segment = Buffer.concat([
    u16(port(random), port(random)),
    u32(random.uint32(), random.uint32()),
    u16(((5 + options.length / 4) << 12) | flags, random.below(65536), 0, 0),
    options,
    payload,
  ]);
  return withChecksum(segment, 16, protocols.tcp, addresses);
}

/** A checksum of another kind (CRC32c) stands here as zero. */
export function sctp(random: Random, payload: Buffer): Buffer {
  const chunk = Buffer.concat([u8(0, 3), u16(16 + payload.length), u32(1, 0x00010001, 0), payload]);
  return Buffer.concat([u16(port(random), port(random)), u32(random.uint32(), 0), chunk]);
}

export function icmp(random: Random, payload: Buffer): Buffer {
  const [type, code] = random.pick([
    [8, 0],
    [0, 0],
    [3, 1],
    [3, 3],
    [11, 0],
    [5, 1],
  ] as const);
  const message = Buffer.concat([u8(type, code), u16(0, random.below(65536), random.below(65536)), payload]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

export function igmp(random: Random): Buffer {
  const message = Buffer.concat([u8(random.pick([0x11, 0x16, 0x17]), 0), u16(0), u8(224, 0, 1, random.below(256))]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

export function icmp6(random: Random, payload: Buffer, addresses: readonly [Buffer, Buffer]): Buffer {
  const message = Buffer.concat([
    u8(random.pick([128, 129, 1, 3]), 0),
    u16(0, random.below(65536), random.below(65536)),
    payload,
  ]);
  return withChecksum(message, 2, protocols.icmp6, addresses);
}

/** A neighbour solicitation or advertisement, with the link-layer address option. */
export function neighbour(random: Random, addresses: readonly [Buffer, Buffer]): Buffer {
  const solicits = random.chance(0.5);
  const option = Buffer.concat([u8(solicits ? 1 : 2, 1), hostMac(random)]);
  const message = Buffer.concat([u8(solicits ? 135 : 136, 0), u16(0), u32(0), addresses[1], option]);
  return withChecksum(message, 2, protocols.icmp6, addresses);
}
