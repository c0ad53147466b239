import type { Random } from "./random.js";

/** A station of the generated network. */
export interface Host {
  readonly mac: Buffer;
  readonly ipv4: number;
  readonly ipv6: Buffer;
  /** The VLAN whose tag its frames carry; 0 for none. */
  readonly vlan: number;
  /** The switch port that it is plugged into. */
  readonly port: number;
}

export const etherTypes = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
export const protocols = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;
export const broadcast = Buffer.alloc(6, 0xff);

/** The longest frame that is generated: 1500 bytes behind a header with one tag. */
export const frameLengthMax = 1518;
const frameLengthMin = 60;
const ttl = 64;
const poolSize = 65536;

/** Marks a payload whose last eight bytes are a test sequence number, big endian; it stands right before them. */
const sequenceMark = 0x50534551; // "PSEQ"
export const sequenceTrailerSize = 12;

/**
 * The test sequence number that a generated frame carries; null for one without. Frames of less than 60 bytes are
 * padded, so that only longer ones carry one: it is then at the very end.
 */
export function readTestSequence(frame: Uint8Array): bigint | null {
  if (frame.length < frameLengthMin) return null;
  const view = new DataView(frame.buffer, frame.byteOffset + frame.length - sequenceTrailerSize, sequenceTrailerSize);
  return view.getUint32(0) === sequenceMark ? view.getBigUint64(4) : null;
}

/** Writes frames one behind the other, with correct lengths and checksums, into a buffer that grows. */
export class FrameWriter {
  data: Buffer;
  /** Where the current frame begins and where the next byte goes. */
  start = 0;
  position = 0;
  /** What the next frame that carries a test sequence number carries. */
  sequence = 0n;
  readonly #random: Random;
  readonly #pool: Buffer;

  constructor(random: Random) {
    this.#random = random;
    this.#pool = words(random, poolSize);
    this.data = Buffer.alloc(0);
  }

  /** Starts over in a buffer of its own for about `frames` frames; the one before belongs to whoever took it. */
  renew(frames: number): void {
    this.data = Buffer.allocUnsafeSlow(Math.max(1, frames) * 512 + frameLengthMax);
    this.start = 0;
    this.position = 0;
  }

  /** Begins a frame with its Ethernet header, tagged when the sender is in a VLAN. */
  begin(sender: Host, destination: Buffer, etherType: number): void {
    if (this.data.length - this.position < frameLengthMax) this.#grow();
    this.start = this.position;
    const { data } = this;
    data.set(destination, this.position);
    data.set(sender.mac, this.position + 6);
    this.position += 12;
    if (sender.vlan !== 0) this.u16(etherTypes.vlan, sender.vlan);
    this.u16(etherType);
  }

  /** Ends the frame: pads it to the least length, which Ethernet's own checksum would complete to 64 bytes. */
  end(): void {
    const least = this.start + frameLengthMin;
    if (this.position >= least) return;
    this.data.fill(0, this.position, least);
    this.position = least;
  }

  u8(...values: readonly number[]): void {
    for (const value of values) this.data[this.position++] = value;
  }

  u16(...values: readonly number[]): void {
    for (const value of values) {
      this.data[this.position++] = value >>> 8;
      this.data[this.position++] = value & 0xff;
    }
  }

  u32(...values: readonly number[]): void {
    for (const value of values) this.position = this.data.writeUInt32BE(value >>> 0, this.position);
  }

  bytes(bytes: Uint8Array): void {
    this.data.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Some text; from 12 bytes on it ends with the next test sequence number. */
  payload(length: number): void {
    const from = this.#random.below(poolSize - length);
    this.#pool.copy(this.data, this.position, from, from + length);
    this.position += length;
    if (length < sequenceTrailerSize) return;
    this.data.writeUInt32BE(sequenceMark, this.position - 12);
    this.data.writeBigUInt64BE(this.sequence++, this.position - 8);
  }

  /** An IPv4 header for `length` bytes behind it. */
  ipv4(source: number, destination: number, protocol: number, length: number): void {
    const header = this.position;
    this.u16(0x4500, 20 + length, this.#random.below(65536), 0x4000);
    this.u8(ttl, protocol);
    this.u16(0);
    this.u32(source, destination);
    this.setChecksum(header, header + 10, 0);
  }

  /** An IPv6 header for `length` bytes behind it. */
  ipv6(source: Buffer, destination: Buffer, next: number, length: number, hopLimit = ttl): void {
    this.u32(0x60000000);
    this.u16(length);
    this.u8(next, hopLimit);
    this.bytes(source);
    this.bytes(destination);
  }

  /** An IP header of the family that is asked for, from one host to another. */
  ip(version: 4 | 6, from: Host, to: Host, protocol: number, length: number): void {
    if (version === 4) this.ipv4(from.ipv4, to.ipv4, protocol, length);
    else this.ipv6(from.ipv6, to.ipv6, protocol, length);
  }

  /** Sets the checksum at `at` over everything from `start` to the position, and a pseudo header's sum. */
  setChecksum(start: number, at: number, pseudo: number): void {
    const { data, position } = this;
    data[at] = 0;
    data[at + 1] = 0;
    const sum = ~folded(sumWords(data, start, position) + pseudo) & 0xffff;
    data[at] = sum >>> 8;
    data[at + 1] = sum & 0xff;
  }

  /** Sets the checksum of a TCP, UDP or ICMPv6 segment that began at `start`, behind an IP header of that version. */
  setSegmentChecksum(version: 4 | 6, protocol: number, start: number, at: number): void {
    const addresses = version === 4 ? 8 : 32;
    const pseudo = sumWords(this.data, start - addresses, start) + protocol + this.position - start;
    this.setChecksum(start, at, pseudo);
    // In UDP zero means that there is no checksum.
    if (protocol === protocols.udp && this.data.readUInt16BE(at) === 0) this.data.writeUInt16BE(0xffff, at);
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(this.data.length * 2 + frameLengthMax);
    this.data.copy(larger, 0, 0, this.position);
    this.data = larger;
  }
}

/** Text, as dissectors guess at protocols in random bytes, and find broken ones. */
function words(random: Random, size: number): Buffer {
  const some = [
    "copper",
    "river",
    "seven",
    "paste",
    "lantern",
    "north",
    "window",
    "quiet",
    "orange",
    "ladder",
    "stone",
  ];
  let text = "";
  while (text.length < size) text += `${random.pick(some)} `;
  return Buffer.from(text.slice(0, size), "latin1");
}

/** The sum of 16-bit words, an odd last byte counting as the high one. Below 2^31 for the lengths of a frame. */
function sumWords(data: Buffer, start: number, end: number): number {
  let sum = 0;
  let i = start;
  for (; i + 1 < end; i += 2) sum += (data[i]! << 8) | data[i + 1]!;
  return i < end ? sum + (data[i]! << 8) : sum;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + (rest >>> 16);
  return rest;
}
