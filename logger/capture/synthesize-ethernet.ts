import type { CaptureBatch, CaptureInterface } from "./capture.js";
import { canSynthesize, linkTypeName, linkTypes } from "./link-type.js";

const ethernetHeaderSize = 14;
const etherTypes = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd, experimental: 0x88b5 } as const;
/** Address families of IPv6 in NULL and LOOP headers: NetBSD and OpenBSD, FreeBSD, macOS, Linux. */
const ipv6Families = new Set([24, 28, 30, 10]);
/** ARPHRD_NETLINK: the protocol field is no EtherType. */
const hardwareNetlink = 824;

/** What a frame's own link header tells: how long it is, the EtherType to write, and the addresses that it knows. */
interface LinkHeader {
  length: number;
  etherType: number;
  /** SLL packet type: 1 is broadcast, 2 multicast; 0 where there is none. */
  packetType: number;
  /** Where the SLL source address lies in the data, and its length; 0 where there is none. */
  addressOffset: number;
  addressLength: number;
}

/**
 * Gives frames without Ethernet headers such headers, so that a switch can forward them. Addresses are made of what the
 * frame holds, the same for the same host in both directions: of IP addresses 02:00 and the IPv4 address, or 06 and a
 * hash of the IPv6 address (so also in ARP); of other frames' SLL source address the address itself, marked as locally
 * administered. Groups and broadcast keep their meaning.
 */
export class EthernetSynthesizer {
  readonly #interfaces: readonly CaptureInterface[];
  readonly #converted: CaptureInterface[] = [];
  readonly #counts = new Map<number, number>();
  #unknown = 0;
  readonly #header: LinkHeader = { length: 0, etherType: 0, packetType: 0, addressOffset: 0, addressLength: 0 };

  /** `interfaces` may grow while batches are converted. */
  constructor(interfaces: readonly CaptureInterface[]) {
    this.#interfaces = interfaces;
  }

  /** The interfaces as the converted batches mean them: Ethernet, with room for the header. */
  get interfaces(): readonly CaptureInterface[] {
    for (const each of this.#interfaces.slice(this.#converted.length)) {
      const snaplen = each.snaplen && each.snaplen + ethernetHeaderSize;
      this.#converted.push(canSynthesize(each.linkType) ? { ...each, snaplen, linkType: linkTypes.ethernet } : each);
    }
    return this.#converted;
  }

  /** What was done, one line per link type. */
  notes(): string[] {
    const lines = [...this.#counts].map(
      ([linkType, count]) =>
        `${count} frames of link type ${linkTypeName(linkType)} were given Ethernet headers, with addresses made of theirs`,
    );
    if (this.#unknown > 0)
      lines.push(`${this.#unknown} of them carry no protocol with an EtherType, or are cut off before it: type 0x88b5`);
    return lines;
  }

  /** A batch in which every frame is Ethernet; the same batch when all of them were. */
  convert(batch: CaptureBatch): CaptureBatch {
    if (this.#interfaces.every((each) => each.linkType === linkTypes.ethernet)) return batch;
    let total = 0;
    for (let i = 0; i < batch.count; i++) total += batch.capturedLengths[i]! + ethernetHeaderSize;
    const data = Buffer.allocUnsafeSlow(total);
    const offsets = new Uint32Array(batch.count);
    const capturedLengths = new Uint32Array(batch.count);
    const wireLengths = new Uint32Array(batch.count);
    let position = 0;
    for (let i = 0; i < batch.count; i++) {
      const linkType = this.#interfaces[batch.interfaces[i]!]!.linkType;
      const start = batch.offsets[i]!;
      const end = start + batch.capturedLengths[i]!;
      offsets[i] = position;
      let skipped = 0;
      if (linkType !== linkTypes.ethernet) {
        skipped = this.#writeHeader(data, position, batch.data, start, end, linkType);
        position += ethernetHeaderSize;
      }
      position += batch.data.copy(data, position, start + skipped, end);
      capturedLengths[i] = position - offsets[i]!;
      wireLengths[i] = batch.wireLengths[i]! - (end - start) + capturedLengths[i]!;
    }
    return { ...batch, data, offsets, capturedLengths, wireLengths };
  }

  /** Writes an Ethernet header at `position` for the frame in `from`; gives the bytes of its own link header. */
  #writeHeader(to: Buffer, position: number, from: Buffer, start: number, end: number, linkType: number): number {
    this.#counts.set(linkType, (this.#counts.get(linkType) ?? 0) + 1);
    const header = this.#header;
    readLinkHeader(header, from, start, end, linkType);
    if (header.etherType === etherTypes.experimental) this.#unknown++;
    to.fill(0, position, position + 12);
    const payload = start + header.length;
    if (!writeAddressesOfPayload(to, position, from, payload, end, header.etherType))
      writeAddressesOfLink(to, position, from, header);
    if (header.packetType === 1) to.fill(0xff, position, position + 6);
    // LLC and raw 802.3 have a length in the place of the type.
    const type = header.etherType === 0 ? Math.min(end - payload, 1500) : header.etherType;
    to.writeUInt16BE(type, position + 12);
    return header.length;
  }
}

/** Fills `header` for the frame `from[start..end)`. A frame that is too short for its link header is all link header. */
function readLinkHeader(header: LinkHeader, from: Buffer, start: number, end: number, linkType: number): void {
  header.packetType = 0;
  header.addressLength = 0;
  header.etherType = etherTypes.experimental;
  const captured = end - start;
  switch (linkType) {
    case linkTypes.linuxSll:
      header.length = Math.min(16, captured);
      if (captured < 16) return;
      header.packetType = from.readUInt16BE(start);
      header.addressLength = Math.min(8, from.readUInt16BE(start + 4));
      header.addressOffset = start + 6;
      header.etherType = sllEtherType(from.readUInt16BE(start + 2), from.readUInt16BE(start + 14));
      return;
    case linkTypes.linuxSll2:
      header.length = Math.min(20, captured);
      if (captured < 20) return;
      header.packetType = from[start + 10]!;
      header.addressLength = Math.min(8, from[start + 11]!);
      header.addressOffset = start + 12;
      header.etherType = sllEtherType(from.readUInt16BE(start + 8), from.readUInt16BE(start));
      return;
    case linkTypes.null:
    case linkTypes.loop: {
      header.length = Math.min(4, captured);
      if (captured < 4) return;
      // NULL is in the byte order of the machine that captured; families are small, so the order shows.
      const big = from.readUInt32BE(start);
      const family = linkType === linkTypes.loop || big < 65536 ? big : from.readUInt32LE(start);
      if (family === 2) header.etherType = etherTypes.ipv4;
      else if (ipv6Families.has(family)) header.etherType = etherTypes.ipv6;
      return;
    }
    default: {
      header.length = 0;
      const version = captured === 0 ? 0 : from[start]! >> 4;
      if (version === 4) header.etherType = etherTypes.ipv4;
      else if (version === 6) header.etherType = etherTypes.ipv6;
    }
  }
}

/** The EtherType that an SLL protocol means; 0 for frames that had a length there (LLC and raw 802.3). */
function sllEtherType(hardware: number, protocol: number): number {
  if (hardware === hardwareNetlink) return etherTypes.experimental;
  if (protocol === 1 || protocol === 4) return 0;
  return protocol >= 0x0600 ? protocol : etherTypes.experimental;
}

/** Writes both addresses of what is behind the link header. False when it names no hosts, or is cut off before. */
function writeAddressesOfPayload(
  to: Buffer,
  position: number,
  from: Buffer,
  payload: number,
  end: number,
  etherType: number,
): boolean {
  const length = end - payload;
  if (etherType === etherTypes.ipv4 && length >= 20) {
    writeIpv4Address(to, position, from, payload + 16);
    writeIpv4Address(to, position + 6, from, payload + 12);
  } else if (etherType === etherTypes.ipv6 && length >= 40) {
    writeIpv6Address(to, position, from, payload + 24);
    writeIpv6Address(to, position + 6, from, payload + 8);
  } else if (etherType === etherTypes.arp && length >= 28 && from.readUInt16BE(payload + 2) === etherTypes.ipv4) {
    const request = from.readUInt16BE(payload + 6) === 1;
    if (request) to.fill(0xff, position, position + 6);
    else writeIpv4Address(to, position, from, payload + 24);
    writeIpv4Address(to, position + 6, from, payload + 14);
  } else return false;
  // A group can send nothing: a switch would refuse it as a source.
  to[position + 6] = to[position + 6]! & 0xfe;
  return true;
}

function writeAddressesOfLink(to: Buffer, position: number, from: Buffer, header: LinkHeader): void {
  to[position] = header.packetType === 2 ? 0x03 : 0x02;
  to[position + 6] = 0x02;
  if (header.addressLength === 0) return;
  from.copy(to, position + 6, header.addressOffset, header.addressOffset + Math.min(6, header.addressLength));
  to[position + 6] = (to[position + 6]! | 0x02) & 0xfe;
}

function writeIpv4Address(to: Buffer, position: number, from: Buffer, offset: number): void {
  const address = from.readUInt32BE(offset);
  if (address === 0xffffffff) {
    to.fill(0xff, position, position + 6);
  } else if (address >>> 28 === 0xe) {
    to.writeUIntBE(0x01005e, position, 3);
    to.writeUIntBE(address & 0x7fffff, position + 3, 3);
  } else {
    to.writeUInt16BE(0x0200, position);
    to.writeUInt32BE(address, position + 2);
  }
}

/** A group's address ends with its last 32 bits (RFC 2464); a host's with a 40-bit hash (FNV-1a, twice) of its own. */
function writeIpv6Address(to: Buffer, position: number, from: Buffer, offset: number): void {
  if (from[offset] === 0xff) {
    to.writeUInt16BE(0x3333, position);
    from.copy(to, position + 2, offset + 12, offset + 16);
    return;
  }
  let low = 0x811c9dc5;
  let high = 0x811c9dc5;
  for (let i = 0; i < 16; i++) {
    low = Math.imul(low ^ from[offset + i]!, 0x01000193);
    high = Math.imul(high ^ from[offset + 15 - i]!, 0x01000193);
  }
  to[position] = 0x06;
  to[position + 1] = high >>> 24;
  to.writeUInt32BE(low >>> 0, position + 2);
}
