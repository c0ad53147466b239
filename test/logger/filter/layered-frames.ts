// Random frames with tags, labels, sessions and tunnels around each other, and what they are made of: the model of `any ...`.
import { Dice } from "./frames.js";

export interface Layer {
  source: string;
  destination: string;
  protocols: readonly number[];
  ports?: readonly [number, number];
}
export interface LayeredFrame {
  data: Buffer;
  wireLength: number;
  timeNs: bigint;
  layers: readonly Layer[];
}

export const addresses4 = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.168.7.9"];
export const addresses6 = ["2001:db8::1", "2001:db8::2", "fe80::1", "2001:db8:1::1"];
export const portsUsed = [53, 80, 443, 5000, 5001];

const u16 = (...values: number[]) => Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
const types = { 4: 0x0800, 6: 0x86dd } as const;

export function addressBytes(text: string): Buffer {
  if (text.includes(".")) return Buffer.from(text.split(".").map(Number));
  const [head = "", tail = ""] = text.split("::");
  const groups = (part: string) =>
    part
      .split(":")
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16));
  const [first, last] = [groups(head), groups(tail)];
  return u16(...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last);
}

interface Packet {
  version: 4 | 6;
  data: Buffer;
  layers: Layer[];
}

interface Fragment {
  id: number;
  /** In units of 8 bytes. */
  offset: number;
  more: boolean;
}

function ip(
  dice: Dice,
  protocol: number,
  inside: Buffer,
  fragment?: Fragment,
  ends?: readonly [string, string],
): Packet {
  const version = ends ? (ends[0].includes(":") ? 6 : 4) : dice.pick([4, 4, 6] as const);
  const list = version === 4 ? addresses4 : addresses6;
  const [source, destination] = ends ?? [dice.pick(list), dice.pick(list)];
  const pair = Buffer.concat([addressBytes(source), addressBytes(destination)]);
  if (version === 4) {
    const bits = fragment ? (fragment.more ? 0x2000 : 0) | fragment.offset : dice.pick([0, 0x4000]);
    const options = Buffer.alloc(dice.pick([0, 0, 8]), 1);
    const start = [
      Buffer.from([0x45 + options.length / 4, 0]),
      u16(20 + options.length + inside.length, fragment?.id ?? 1, bits),
    ];
    const data = Buffer.concat([...start, Buffer.from([64, protocol, 0, 0]), pair, options, inside]);
    return { version, data, layers: [{ source, destination, protocols: [protocol] }] };
  }
  let [next, payload] = [protocol, inside];
  const protocols = [protocol];
  if (fragment) {
    const header = Buffer.concat([
      Buffer.from([next, 0]),
      u16((fragment.offset << 3) | Number(fragment.more), 0, fragment.id),
    ]);
    [next, payload] = [44, Buffer.concat([header, payload])];
    protocols.push(44);
  }
  if (dice.below(4) === 0) {
    payload = Buffer.concat([Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]), payload]);
    next = 60;
    protocols.push(60);
  }
  const data = Buffer.concat([u16(0x6000, 0, payload.length), Buffer.from([next, 64]), pair, payload]);
  return { version, data, layers: [{ source, destination, protocols }] };
}

function segment(dice: Dice, protocol: number, ports: readonly [number, number], payload: Buffer): Buffer {
  const start = u16(...ports);
  if (protocol === 17) return Buffer.concat([start, u16(8 + payload.length, 0), payload]);
  if (protocol === 6) return Buffer.concat([start, dice.bytes(8), u16(0x5018, 1000, 0, 0), payload]);
  return Buffer.concat([start, dice.bytes(8), payload]);
}

function plainPacket(dice: Dice): Packet {
  const protocol = dice.pick([6, 17, 132, 33, 1]);
  if (protocol === 1) return ip(dice, dice.pick([1, 47 + 42]), dice.bytes(20));
  const ports = [dice.pick(portsUsed), dice.pick(portsUsed)] as const;
  const packet = ip(dice, protocol, segment(dice, protocol, ports, dice.bytes(30)));
  packet.layers[0]!.ports = ports;
  return packet;
}

/** A packet inside another one. */
function tunnelled(dice: Dice, inner: Packet): Packet {
  const way = dice.below(5);
  const over = (protocol: number, inside: Buffer, ports?: readonly [number, number]): Packet => {
    const packet = ip(dice, protocol, inside);
    const [outer] = packet.layers;
    return { ...packet, layers: [ports ? { ...outer!, ports } : outer!, ...inner.layers] };
  };
  const frame = () => ethernet(dice, inner);
  if (way === 0) return over(inner.version === 4 ? 4 : 41, inner.data);
  if (way === 1) {
    const [flags, key] = dice.pick([
      [0, Buffer.alloc(0)],
      [0x2000, Buffer.from([0, 0, 0, 9])],
    ] as const);
    return over(47, Buffer.concat([u16(flags, types[inner.version]), key, inner.data]));
  }
  if (way === 2) return over(47, Buffer.concat([u16(0, 0x6558), frame()]));
  const ports = [dice.pick(portsUsed), way === 3 ? dice.pick([4789, 8472]) : 6081] as const;
  const header =
    way === 3
      ? Buffer.from("0800000000000700", "hex")
      : Buffer.concat([Buffer.from([1, 0]), u16(0x6558), Buffer.from("0000070001020304", "hex")]);
  return over(17, segment(dice, 17, ports, Buffer.concat([header, frame()])), ports);
}

/** A frame, perhaps with tags, labels or a session before the packet. */
function ethernet(dice: Dice, { version, data }: Packet): Buffer {
  const way = dice.below(7);
  const addresses = dice.bytes(12);
  const plain = Buffer.concat([u16(types[version]), data]);
  const behind: Record<number, () => Buffer> = {
    0: () => Buffer.concat([u16(0x8100, 5), plain]),
    1: () => Buffer.concat([u16(0x88a8, 7, 0x8100, 5), plain]),
    2: () => Buffer.concat([u16(0x8847), Buffer.from("0006404000007140", "hex"), data]),
    3: () => Buffer.concat([u16(0x8864, 0x1100, 3, data.length + 2, version === 4 ? 0x21 : 0x57), data]),
  };
  return Buffer.concat([addresses, behind[way]?.() ?? plain]);
}

/** Frames of whole packets, up to three within each other. */
export function layeredFrames(seed: number, count: number): LayeredFrame[] {
  const dice = new Dice(seed);
  return Array.from({ length: count }, (_, i) => {
    let packet = plainPacket(dice);
    for (let depth = dice.pick([0, 0, 1, 1, 2]); depth > 0; depth--) packet = tunnelled(dice, packet);
    const data = ethernet(dice, packet);
    return { data, wireLength: data.length, timeNs: BigInt(i), layers: packet.layers };
  });
}

/** Datagrams in fragments, those of several mixed; sometimes the first one comes late, sometimes never, sometimes long before. */
export function fragmentedFrames(seed: number, datagrams: number): LayeredFrame[] {
  const dice = new Dice(seed);
  const waiting: Omit<LayeredFrame, "timeNs">[][] = [];
  const frames: LayeredFrame[] = [];
  let timeNs = 1_000_000_000n;
  for (let i = 0; i < datagrams || waiting.length > 0; i++) {
    if (i < datagrams) waiting.push(fragmentsOf(dice, i));
    while (waiting.length > (i < datagrams ? 5 : 0)) {
      const one = dice.below(waiting.length);
      frames.push({ ...waiting[one]!.shift()!, timeNs });
      if (waiting[one]!.length === 0) waiting.splice(one, 1);
      timeNs += BigInt(dice.pick([1, 1000, 1_000_000_000, 20_000_000_000]));
    }
  }
  return withPorts(frames);
}

interface Piece extends Omit<LayeredFrame, "timeNs"> {
  datagram: number;
  first: boolean;
}

function fragmentsOf(dice: Dice, datagram: number): Piece[] {
  const protocol = dice.pick([17, 6]);
  const ports = [dice.pick(portsUsed), dice.pick(portsUsed)] as const;
  const whole = segment(dice, protocol, ports, dice.bytes(100));
  const list = dice.pick([addresses4, addresses6]);
  const ends = [dice.pick(list), dice.pick(list)] as const;
  const pieces = [0, 40, 80].map((at): Piece => {
    const fragment = { id: 1000 + datagram, offset: at / 8, more: at < 80 };
    const packet = ip(dice, protocol, whole.subarray(at, at + 40), fragment, ends);
    const data = ethernet(dice, packet);
    const layers = [at === 0 ? { ...packet.layers[0]!, ports } : packet.layers[0]!];
    return { data, wireLength: data.length, layers, datagram, first: at === 0 };
  });
  const [first, ...later] = pieces;
  return dice.pick([pieces, pieces, [...later, first!], later]);
}

/** Later fragments get the ports of a first one that came before, at most a minute ago. */
function withPorts(frames: LayeredFrame[]): LayeredFrame[] {
  const firsts = new Map<number, LayeredFrame>();
  return frames.map((frame) => {
    const { datagram, first } = frame as LayeredFrame & Piece;
    if (first) firsts.set(datagram, frame);
    const known = firsts.get(datagram);
    if (first || !known || frame.timeNs - known.timeNs > 60_000_000_000n) return frame;
    return {
      ...frame,
      layers: [{ ...frame.layers[0]!, ...(known.layers[0]!.ports && { ports: known.layers[0]!.ports }) }],
    };
  });
}
