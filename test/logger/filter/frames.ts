// The frames over which filters are compared with tcpdump. Made from a seed and from small pools of addresses and ports, so
// that filters find something; half of them are cut short, because what a load beyond the captured bytes does is the hardest
// part. The expectations in `filter-table.json` belong to exactly these frames: changing them means making the table anew.
import type { FrameBatch } from "../../../logger/filter/bpf-program.js";

export interface TestFrame {
  data: Buffer;
  wireLength: number;
}

/** Another seed: PASTE_SEED=N npm test. */
export const seed = Number(process.env.PASTE_SEED ?? 20261122);

/** A small generator of its own (mulberry32), so that nothing else can change the frames. */
export class Dice {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

export const macs = [
  "02:00:00:00:00:01",
  "02:00:00:00:00:02",
  "ff:ff:ff:ff:ff:ff",
  "01:00:5e:00:00:fb",
  "33:33:00:00:00:01",
];
export const ipv4s = ["10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.1.1", "224.0.0.251", "255.255.255.255", "0.0.0.0"];
export const ipv6s = ["fe80::1", "2001:db8::1", "2001:db8:0:1::2", "ff02::1", "::1"];
export const ports = [22, 53, 67, 80, 443, 5353, 8080, 60000];

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/[^0-9a-f]/g, ""), "hex");
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const u32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, value >>> 16, value >>> 8, value].map((b) => b & 0xff));
const ipv4 = (text: string): Buffer => Buffer.from(text.split(".").map(Number));

function ipv6(text: string): Buffer {
  const [head = "", tail = ""] = text.split("::");
  const groups = (part: string) =>
    part
      .split(":")
      .filter(Boolean)
      .map((group) => u16(Number.parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail)];
  return Buffer.concat([...first, Buffer.alloc(16 - 2 * (first.length + last.length)), ...last]);
}

function transport(dice: Dice): { number: number; data: Buffer } {
  const pair = Buffer.concat([u16(dice.pick(ports)), u16(dice.pick(ports))]);
  const rest = dice.bytes(dice.pick([0, 4, 30]));
  switch (dice.below(9)) {
    case 0:
    case 1:
    case 2: {
      const flags = dice.pick([0x02, 0x12, 0x10, 0x11, 0x14, 0x18, 0x04, 0xc2, 0x3f]);
      const header = [pair, dice.bytes(8), Buffer.from([0x50, flags]), u16(1024), dice.bytes(4)];
      return { number: 6, data: Buffer.concat([...header, rest]) };
    }
    case 3:
    case 4:
      return { number: 17, data: Buffer.concat([pair, u16(8 + rest.length), dice.bytes(2), rest]) };
    case 5:
      return { number: 132, data: Buffer.concat([pair, dice.bytes(8), rest]) };
    case 6:
      return {
        number: 1,
        data: Buffer.concat([Buffer.from([dice.pick([0, 3, 8, 11]), dice.below(3)]), dice.bytes(6), rest]),
      };
    case 7:
      return {
        number: 58,
        data: Buffer.concat([Buffer.from([dice.pick([1, 128, 129, 135, 136]), 0]), dice.bytes(6), rest]),
      };
    default:
      return { number: dice.pick([2, 9, 41, 47, 50, 51, 89, 103, 112, 115]), data: dice.bytes(24) };
  }
}

function ipv4Packet(dice: Dice): Buffer {
  const { number, data } = transport(dice);
  const options = Buffer.alloc(dice.pick([0, 0, 0, 4, 20, 40]), 1);
  const fragment = dice.pick([0, 0, 0, 0x4000, 0x2000, 0x2001, 0x00b9]);
  const length = 20 + options.length + data.length;
  const start = [Buffer.from([0x40 | (5 + options.length / 4), dice.pick([0, 0, 0xb8])]), u16(length), dice.bytes(2)];
  const middle = [u16(fragment), Buffer.from([dice.pick([1, 64, 255]), number]), dice.bytes(2)];
  const addresses = [ipv4(dice.pick(ipv4s)), ipv4(dice.pick(ipv4s))];
  return Buffer.concat([...start, ...middle, ...addresses, options, data]);
}

function ipv6Packet(dice: Dice): Buffer {
  const { number, data } = transport(dice);
  let payload = data;
  let next = number;
  for (const header of dice.pick([[], [], [], [44], [0], [60, 44], [43], [51]])) {
    payload = Buffer.concat([Buffer.from([next, 0]), dice.bytes(6), payload]);
    next = header;
  }
  const start = [u32(0x60000000 | dice.below(0x100000)), u16(payload.length), Buffer.from([next, 64])];
  return Buffer.concat([...start, ipv6(dice.pick(ipv6s)), ipv6(dice.pick(ipv6s)), payload]);
}

function arpPacket(dice: Dice): Buffer {
  const start = hex("0001080006040001");
  const parts = [hex(dice.pick(macs)), ipv4(dice.pick(ipv4s)), hex(dice.pick(macs)), ipv4(dice.pick(ipv4s))];
  return Buffer.concat([start, ...parts, Buffer.alloc(18)]);
}

function llcPacket(dice: Dice): Buffer {
  const snaps = ["aaaa03000000809b", "aaaa03080007809b", "aaaa0300000080f3", "aaaa030000008137", "aaaa0300000c2004"];
  const osi = [
    "fefe0381",
    "fefe0382",
    ...[15, 16, 17, 18, 20, 24, 25, 26, 27].map((pdu) => `fefe03831b0100${pdu.toString(16).padStart(2, "0")}`),
  ];
  const controls = ["03", "63", "43", "0f", "6f", "e3", "af", "87", "01", "05", "09", "00", "7f"].map(
    (byte) => `0202${byte}`,
  );
  const others = ["424203", "e0e003", "ffff0022", "f0f003", "060603", "aaaa03", "4242e3", "fefe01", ...controls];
  return Buffer.concat([hex(dice.pick([...snaps, ...osi, ...others])), dice.bytes(30)]);
}

/** What follows the addresses: a type field and its payload, perhaps behind tags, labels or PPPoE. */
function typed(dice: Dice, depth = 0): Buffer {
  const choice = dice.below(depth > 3 ? 14 : 20);
  if (choice < 6) return Buffer.concat([u16(0x0800), ipv4Packet(dice)]);
  if (choice < 9) return Buffer.concat([u16(0x86dd), ipv6Packet(dice)]);
  if (choice === 9) return Buffer.concat([u16(0x0806), arpPacket(dice)]);
  if (choice === 10) return Buffer.concat([u16(0x8035), arpPacket(dice)]);
  if (choice < 13) {
    const llc = llcPacket(dice);
    return Buffer.concat([u16(llc.length), llc]);
  }
  if (choice === 13) {
    const types = [
      0x8863, 0x88cc, 0x6003, 0x6004, 0x6007, 0x6001, 0x6002, 0x809b, 0x80f3, 0x8137, 0x9000, 0x88e5, 0x05dc, 0x05dd,
    ];
    return Buffer.concat([u16(dice.pick(types)), dice.bytes(40)]);
  }
  if (choice < 17) {
    const tag = u16((dice.below(8) << 13) | dice.pick([0, 1, 5, 100, 4095]));
    return Buffer.concat([u16(dice.pick([0x8100, 0x8100, 0x88a8, 0x9100])), tag, typed(dice, depth + 1)]);
  }
  if (choice < 19) return mpls(dice);
  const ppp = dice.pick([
    () => [u16(0x21), ipv4Packet(dice)],
    () => [u16(0x57), ipv6Packet(dice)],
    () => [u16(0xc021), dice.bytes(20)],
  ]);
  const inside = Buffer.concat(ppp());
  return Buffer.concat([u16(0x8864), Buffer.from([0x11, 0]), u16(dice.pick([0, 1, 7])), u16(inside.length), inside]);
}

function mpls(dice: Dice): Buffer {
  const labels = dice.pick([1, 1, 2, 3]);
  const stack = Array.from({ length: labels }, (_, index) =>
    u32(((dice.pick([16, 100, 1048575]) << 12) | (index === labels - 1 ? 0x100 : 0) | 64) >>> 0),
  );
  const inside = dice.pick([ipv4Packet, ipv6Packet, (d: Dice) => d.bytes(40)])(dice);
  return Buffer.concat([u16(0x8847), ...stack, inside]);
}

/** `count` frames; the first few are as short as a frame can be captured. */
export function testFrames(seed: number, count: number): TestFrame[] {
  const dice = new Dice(seed);
  const frames: TestFrame[] = [0, 1, 5, 11, 12, 13, 14].map((length) => ({ data: dice.bytes(length), wireLength: 60 }));
  while (frames.length < count) {
    const whole = Buffer.concat([hex(dice.pick(macs)), hex(dice.pick(macs)), typed(dice)]);
    const wireLength = Math.max(whole.length, dice.pick([0, 60, 60, 1514]));
    const padded = Buffer.concat([whole, Buffer.alloc(Math.max(0, Math.min(wireLength, 60) - whole.length))]);
    const cut = dice.pick([false, true]) ? dice.below(Math.min(90, padded.length + 1)) : padded.length;
    frames.push({ data: padded.subarray(0, cut), wireLength: Math.max(wireLength, padded.length) });
  }
  return frames;
}

/** The frames as the program's batch. */
export function batchOf(frames: readonly TestFrame[]): FrameBatch {
  const offsets = new Uint32Array(frames.length);
  let offset = 0;
  for (const [index, { data }] of frames.entries()) {
    offsets[index] = offset;
    offset += data.length;
  }
  return {
    data: Buffer.concat(frames.map(({ data }) => data)),
    offsets,
    capturedLengths: Uint32Array.from(frames, ({ data }) => data.length),
    wireLengths: Uint32Array.from(frames, ({ wireLength }) => wireLength),
  };
}
