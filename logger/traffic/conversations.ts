import { broadcast, etherTypes, type FrameWriter, type Host, protocols } from "./frame-writer.js";
import type { Random } from "./random.js";

/** What two hosts say to each other: each step writes one frame and yields the host that sends it. */
export type Conversation = Generator<Host, void, void>;

interface Parties {
  readonly writer: FrameWriter;
  readonly random: Random;
  readonly client: Host;
  readonly server: Host;
}

const segmentMax = 1460;
const tcpFlags = { fin: 0x01, syn: 0x02, psh: 0x08, ack: 0x10 } as const;
const names = ["www", "mail", "git", "db", "cache", "print", "time", "wiki"];

/** A host says where it is, as it does when its link comes up: a gratuitous ARP. */
export function* announcement({ writer, client }: Parties): Conversation {
  writeArp(writer, client, client, 1, broadcast);
  yield client;
}

export function* arp({ writer, client, server }: Parties): Conversation {
  writeArp(writer, client, server, 1, broadcast);
  yield client;
  writeArp(writer, server, client, 2, client.mac);
  yield server;
}

export function* neighbourDiscovery({ writer, client, server }: Parties): Conversation {
  // The solicited-node group of RFC 4291: ff02::1:ff and the address's last three bytes.
  const group = Buffer.from("ff0200000000000000000001ff000000", "hex");
  server.ipv6.copy(group, 13, 13);
  const groupMac = Buffer.concat([Buffer.from([0x33, 0x33]), group.subarray(12)]);
  writeNeighbour(writer, client, groupMac, group, 135, server.ipv6);
  yield client;
  writeNeighbour(writer, server, client.mac, client.ipv6, 136, server.ipv6);
  yield server;
}

export function* echo(parties: Parties): Conversation {
  const { random, client, server } = parties;
  const version = random.chance(0.8) ? 4 : 6;
  const identifier = random.below(65536);
  const length = random.pick([32, 56, 56, 56, 1400]);
  const count = random.between(1, 5);
  for (let i = 0; i < count; i++) {
    writeEcho(parties.writer, version, client, server, true, identifier, i, length);
    yield client;
    writeEcho(parties.writer, version, server, client, false, identifier, i, length);
    yield server;
  }
}

export function* dns({ writer, random, client, server }: Parties): Conversation {
  const version = random.chance(0.8) ? 4 : 6;
  const identifier = random.below(65536);
  const name = random.pick(names);
  const port = random.between(32768, 60999);
  const question = dnsMessage(identifier, name, null);
  writeUdp(writer, version, client, server, port, 53, question);
  yield client;
  writeUdp(writer, version, server, client, 53, port, dnsMessage(identifier, name, server.ipv4));
  yield server;
}

/** A stream of datagrams of one size one way, now and then one back: voice, video, a tunnel. */
export function* datagrams({ writer, random, client, server }: Parties): Conversation {
  const version = random.chance(0.75) ? 4 : 6;
  const length = random.pick([18, 18, 32, 172, 172, 548, 1200, 1400]);
  const ports = [random.between(32768, 60999), random.pick([3074, 9987, 27015, 51820])] as const;
  const count = random.between(4, 60);
  for (let i = 0; i < count; i++) {
    const back = random.chance(0.15);
    const [from, to] = back ? [server, client] : [client, server];
    writeUdp(writer, version, from, to, back ? ports[1] : ports[0], back ? ports[0] : ports[1], length);
    yield from;
  }
}

/** Service discovery to a group, and what older systems shout to everybody. */
export function* shout({ writer, random, client }: Parties): Conversation {
  const toGroup = random.chance(0.7);
  const port = toGroup ? 5353 : 137;
  writer.begin(client, toGroup ? Buffer.from("01005e0000fb", "hex") : broadcast, etherTypes.ipv4);
  const content = dnsMessage(0, random.pick(names), null);
  writer.ipv4(client.ipv4, toGroup ? 0xe00000fb : 0xffffffff, protocols.udp, 8 + content.length);
  finishUdp(writer, 4, port, port, content);
  yield client;
}

/** A connection: handshake, requests with answers of some segments that are acknowledged, and its end. */
export function* connection({ writer, random, client, server }: Parties): Conversation {
  const version = random.chance(0.75) ? 4 : 6;
  const ports = [random.between(32768, 60999), random.pick([22, 443, 443, 3306, 8443, 9092])] as const;
  const next = [random.uint32(), random.uint32()];
  const write = (side: 0 | 1, flags: number, length: number): Host => {
    const [from, to] = side === 0 ? [client, server] : [server, client];
    const acknowledged = flags & tcpFlags.ack ? next[1 - side]! : 0;
    writeTcp(
      writer,
      version,
      from,
      to,
      ports[side],
      ports[side === 0 ? 1 : 0],
      next[side]!,
      acknowledged,
      flags,
      length,
    );
    next[side] = (next[side]! + length + (flags & (tcpFlags.syn | tcpFlags.fin) ? 1 : 0)) >>> 0;
    return from;
  };
  yield write(0, tcpFlags.syn, 0);
  yield write(1, tcpFlags.syn | tcpFlags.ack, 0);
  yield write(0, tcpFlags.ack, 0);
  const requests = random.between(1, 4);
  for (let request = 0; request < requests; request++) {
    yield write(0, tcpFlags.psh | tcpFlags.ack, random.between(40, 500));
    const segments = random.pick([0, 0, 1, 2, 8]);
    for (let i = 0; i < segments; i++) {
      // IPv6's header is 20 bytes longer, its segments that much shorter.
      yield write(1, tcpFlags.ack, version === 4 ? segmentMax : segmentMax - 20);
      if (i % 2 === 1) yield write(0, tcpFlags.ack, 0);
    }
    yield write(1, tcpFlags.psh | tcpFlags.ack, random.between(20, 900));
    yield write(0, tcpFlags.ack, 0);
  }
  yield write(0, tcpFlags.fin | tcpFlags.ack, 0);
  yield write(1, tcpFlags.fin | tcpFlags.ack, 0);
  yield write(0, tcpFlags.ack, 0);
}

function writeArp(writer: FrameWriter, from: Host, about: Host, operation: 1 | 2, destination: Buffer): void {
  writer.begin(from, destination, etherTypes.arp);
  writer.u16(1, etherTypes.ipv4, 0x0604, operation);
  writer.bytes(from.mac);
  writer.u32(from.ipv4);
  if (operation === 1) writer.u16(0, 0, 0);
  else writer.bytes(about.mac);
  writer.u32(about.ipv4);
  writer.end();
}

/** A solicitation (135) or advertisement (136); hop limit 255 is what makes it valid (RFC 4861). */
function writeNeighbour(
  writer: FrameWriter,
  from: Host,
  destinationMac: Buffer,
  destination: Buffer,
  type: 135 | 136,
  target: Buffer,
): void {
  writer.begin(from, destinationMac, etherTypes.ipv6);
  writer.ipv6(from.ipv6, destination, protocols.icmp6, 32, 255);
  const start = writer.position;
  writer.u8(type, 0);
  writer.u16(0);
  writer.u32(type === 135 ? 0 : 0x60000000); // solicited, override
  writer.bytes(target);
  writer.u8(type === 135 ? 1 : 2, 1);
  writer.bytes(from.mac);
  writer.setSegmentChecksum(6, protocols.icmp6, start, start + 2);
  writer.end();
}

function writeEcho(
  writer: FrameWriter,
  version: 4 | 6,
  from: Host,
  to: Host,
  request: boolean,
  identifier: number,
  index: number,
  length: number,
): void {
  const protocol = version === 4 ? protocols.icmp : protocols.icmp6;
  writer.begin(from, to.mac, version === 4 ? etherTypes.ipv4 : etherTypes.ipv6);
  writer.ip(version, from, to, protocol, 8 + length);
  const start = writer.position;
  if (version === 4) writer.u8(request ? 8 : 0, 0);
  else writer.u8(request ? 128 : 129, 0);
  writer.u16(0, identifier, index);
  writer.payload(length);
  if (version === 4) writer.setChecksum(start, start + 2, 0);
  else writer.setSegmentChecksum(6, protocol, start, start + 2);
  writer.end();
}

/** A datagram with this content, or with that many bytes of payload. */
function writeUdp(
  writer: FrameWriter,
  version: 4 | 6,
  from: Host,
  to: Host,
  sourcePort: number,
  destinationPort: number,
  content: Buffer | number,
): void {
  writer.begin(from, to.mac, version === 4 ? etherTypes.ipv4 : etherTypes.ipv6);
  writer.ip(version, from, to, protocols.udp, 8 + (typeof content === "number" ? content : content.length));
  finishUdp(writer, version, sourcePort, destinationPort, content);
}

function finishUdp(
  writer: FrameWriter,
  version: 4 | 6,
  sourcePort: number,
  destinationPort: number,
  content: Buffer | number,
): void {
  const start = writer.position;
  writer.u16(sourcePort, destinationPort, 8 + (typeof content === "number" ? content : content.length), 0);
  if (typeof content === "number") writer.payload(content);
  else writer.bytes(content);
  writer.setSegmentChecksum(version, protocols.udp, start, start + 6);
  writer.end();
}

function writeTcp(
  writer: FrameWriter,
  version: 4 | 6,
  from: Host,
  to: Host,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledged: number,
  flags: number,
  length: number,
): void {
  const options = flags & tcpFlags.syn ? 4 : 0;
  writer.begin(from, to.mac, version === 4 ? etherTypes.ipv4 : etherTypes.ipv6);
  writer.ip(version, from, to, protocols.tcp, 20 + options + length);
  const start = writer.position;
  writer.u16(sourcePort, destinationPort);
  writer.u32(sequence, acknowledged);
  writer.u16(((5 + options / 4) << 12) | flags, 64240, 0, 0);
  if (options > 0) writer.u16(0x0204, version === 4 ? segmentMax : segmentMax - 20);
  if (length > 0) writer.payload(length);
  writer.setSegmentChecksum(version, protocols.tcp, start, start + 16);
  writer.end();
}

/** A question for NAME.example, or the answer to it with one address. */
function dnsMessage(identifier: number, name: string, address: number | null): Buffer {
  const label = Buffer.from(name);
  const message = Buffer.alloc(12 + 1 + label.length + 9 + 4 + (address === null ? 0 : 16));
  message.writeUInt16BE(identifier, 0);
  message.writeUInt16BE(address === null ? 0x0100 : 0x8180, 2);
  message.writeUInt16BE(1, 4);
  message[12] = label.length;
  label.copy(message, 13);
  let position = 13 + label.length;
  position += message.write("\x07example\0", position, "latin1");
  message.writeUInt32BE(0x00010001, position);
  if (address === null) return message;
  message.writeUInt16BE(1, 6);
  message.writeUInt32BE(0xc00c0001, position + 4);
  message.writeUInt32BE(0x00010000, position + 8);
  message.writeUInt32BE(0x012c0004, position + 12);
  message.writeUInt32BE(address, position + 16);
  return message;
}
