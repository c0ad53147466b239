// Checksums and segments against ones computed here, from random frames; and headers that lie.
import test from "ava";
import { wordSum } from "../support/checksums.js";
import { finishChecksum, join, segments } from "../support/native-frame-memory.js";

/** A small generator with a seed, so that a failure can be repeated. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** RFC 1071, word by word. */
interface Made {
  frame: Buffer;
  l3: number;
  l4: number;
  start: number;
  ipv6: boolean;
  tcp: boolean;
}

const extension = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]); // filled in: its next header

/** A TCP or UDP frame over either IP, with tags, options and extension headers by chance; its checksums are rubbish. */
function randomFrame(
  random: (below: number) => number,
  payload: number,
  { ipv6 = random(2) === 1, tcp = random(2) === 1 } = {},
): Made {
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random(256)));
  const tags = Array.from({ length: random(3) }, (_, i) =>
    Buffer.concat([Buffer.from(i === 0 ? [0x81, 0] : [0x88, 0xa8]), bytes(2)]),
  );
  const protocol = tcp ? 6 : 17;
  const l4Header = tcp ? 20 + 4 * random(11) : 8;
  const transport = Buffer.concat([bytes(l4Header), bytes(payload)]);
  if (tcp) transport[12] = (l4Header / 4) << 4;
  let network: Buffer;
  if (ipv6) {
    const extensions = random(3);
    const chain = Array.from({ length: extensions }, (_, i) => {
      const header = Buffer.from(extension);
      header[0] = i + 1 === extensions ? protocol : 60;
      return header;
    });
    const fixed = Buffer.concat([Buffer.from([0x60, 0, 0, 0]), bytes(36)]);
    fixed.writeUInt16BE((8 * extensions + transport.length) & 0xffff, 4);
    fixed[6] = extensions > 0 ? 0 : protocol;
    network = Buffer.concat([fixed, ...chain]);
  } else {
    const length = 20 + 4 * random(11);
    network = bytes(length);
    network[0] = 0x40 | (length / 4);
    network.writeUInt16BE((length + transport.length) & 0xffff, 2);
    network.writeUInt16BE(0x4000, 6);
    network[9] = protocol;
  }
  const ethernet = Buffer.concat([bytes(12), ...tags, Buffer.from(ipv6 ? [0x86, 0xdd] : [8, 0])]);
  const l3 = ethernet.length;
  const l4 = l3 + network.length;
  return { frame: Buffer.concat([ethernet, network, transport]), l3, l4, start: l4 + l4Header, ipv6, tcp };
}

function pseudoSum({ ipv6, tcp, l3 }: Made, frame: Buffer, length: number): number {
  const addresses = ipv6 ? frame.subarray(l3 + 8, l3 + 40) : frame.subarray(l3 + 12, l3 + 20);
  return wordSum(addresses, (tcp ? 6 : 17) + length);
}

function header(
  made: Made,
  gsoSize: number,
  more: { flags?: number; gso?: number; start?: number; offset?: number } = {},
): Buffer {
  const bytes = Buffer.alloc(12);
  bytes[0] = more.flags ?? 1;
  bytes[1] = more.gso ?? (gsoSize === 0 ? 0 : made.tcp ? (made.ipv6 ? 4 : 1) : 5);
  bytes.writeUInt16LE(made.start, 2);
  bytes.writeUInt16LE(gsoSize, 4);
  bytes.writeUInt16LE(more.start ?? made.l4, 6);
  bytes.writeUInt16LE(more.offset ?? (made.tcp ? 16 : 6), 8);
  return bytes;
}

for (const seed of [1, 2, 3, 4])
  test(`property: finished checksums are right, and nothing else changes (seed ${seed})`, (t) => {
    const random = randomFrom(seed);
    for (let round = 0; round < 250; round++) {
      const made = randomFrame(random, random(1400));
      const field = made.l4 + (made.tcp ? 16 : 6);
      made.frame.writeUInt16BE(pseudoSum(made, made.frame, made.frame.length - made.l4), field);
      const finished = finishChecksum(header(made, 0), made.frame)!;
      t.is(wordSum(finished.subarray(made.l4), pseudoSum(made, finished, finished.length - made.l4)), 0xffff);
      t.not(finished.readUInt16BE(field), 0, "0 says that a UDP frame has none");
      finished.copy(made.frame, field, field, field + 2);
      t.true(finished.equals(made.frame));
    }
  });

test("a header that asks for nothing leaves the frame as it is", (t) => {
  const made = randomFrame(randomFrom(9), 100);
  t.deepEqual(finishChecksum(header(made, 0, { flags: 2, start: 60_000 }), made.frame), made.frame);
});

for (const seed of [5, 6, 7, 8])
  test(`property: segments carry the whole payload in order, each a right frame of its own (seed ${seed})`, (t) => {
    const random = randomFrom(seed);
    for (let round = 0; round < 60; round++) {
      const size = 48 + random(1460);
      const made = randomFrame(random, random(Math.min(65_000, size * 60)));
      const { frame, l3, l4, start, ipv6, tcp } = made;
      const cut = segments(
        header(made, size, { flags: random(2), gso: header(made, size)[1]! | (random(2) << 7) }),
        frame,
      )!;
      t.is(cut.length, Math.max(1, Math.ceil((frame.length - start) / size)));
      for (const [i, piece] of cut.entries()) {
        const last = i + 1 === cut.length;
        const length = last ? frame.length - start - i * size : size;
        t.true(piece.subarray(start).equals(frame.subarray(start + i * size, start + i * size + length)));
        t.is(wordSum(piece.subarray(l4), pseudoSum(made, piece, piece.length - l4)), 0xffff);
        if (ipv6) t.is(piece.readUInt16BE(l3 + 4), piece.length - l3 - 40);
        else {
          t.is(piece.readUInt16BE(l3 + 2), piece.length - l3);
          t.is(piece.readUInt16BE(l3 + 4), (frame.readUInt16BE(l3 + 4) + i) & 0xffff);
          t.is(wordSum(piece.subarray(l3, l4)), 0xffff);
        }
        const expected = Buffer.from(frame.subarray(0, start));
        const same = (at: number, bytes: number) => piece.copy(expected, at, at, at + bytes);
        if (tcp) {
          t.is(piece.readUInt32BE(l4 + 4), (frame.readUInt32BE(l4 + 4) + i * size) >>> 0);
          t.is(piece[l4 + 13], frame[l4 + 13]! & (last ? 0xff : 0xf6) & (i === 0 ? 0xff : 0x7f), "FIN, PSH, CWR");
          same(l4 + 4, 4);
          same(l4 + 13, 1);
          same(l4 + 16, 2);
        } else {
          t.is(piece.readUInt16BE(l4 + 4), piece.length - l4);
          same(l4 + 4, 4);
        }
        if (ipv6) same(l3 + 4, 2);
        else {
          same(l3 + 2, 4);
          same(l3 + 10, 2);
        }
        t.true(piece.subarray(0, start).equals(expected), "the rest of the headers is as it was");
      }
    }
  });

const tcp4 = (payload = 3000) => randomFrame(randomFrom(77), payload, { ipv6: false, tcp: true });
for (const [what, change] of [
  ["no segment size", (h) => h.writeUInt16LE(0, 4)],
  ["more segments than there may be", (h) => h.writeUInt16LE(1, 4)],
  ["IP fragments asked for", (h) => (h[1] = 3)],
  ["an unknown kind", (h) => (h[1] = 9)],
  ["another IP than the frame's", (h) => (h[1] = 4)],
  ["another transport than the frame's", (h) => (h[1] = 5)],
  ["a checksum that begins elsewhere", (h) => h.writeUInt16LE(14, 6)],
  ["a checksum field elsewhere", (h) => h.writeUInt16LE(2, 8)],
  ["an IP header that is too short", (_, m) => (m.frame[m.l3] = 0x44)],
  ["an IP header beyond the end", (_, m) => (m.frame = m.frame.subarray(0, m.l3 + 12))],
  ["a fragment", (_, m) => m.frame.writeUInt16BE(0x2000, m.l3 + 6)],
  ["a TCP header that is too short", (_, m) => (m.frame[m.l4 + 12] = 0x40)],
  ["a TCP header beyond the end", (_, m) => (m.frame = m.frame.subarray(0, m.l4 + 18))],
  ["another protocol", (_, m) => (m.frame[m.l3 + 9] = 1)],
  ["no IP at all", (_, m) => m.frame.writeUInt16BE(0x88b5, m.l3 - 2)],
  [
    "segments longer than the switch takes",
    (h, m) => {
      m.frame = tcp4(20_000).frame;
      h.writeUInt16LE(9400, 4);
    },
  ],
] as [string, (header: Buffer, made: Made) => unknown][])
  test(`segments: refused with ${what}`, (t) => {
    const made = tcp4();
    const bytes = header(made, 1000);
    t.truthy(segments(bytes, made.frame), "as it is it passes");
    change(bytes, made);
    t.is(segments(bytes, made.frame), null);
  });

test("checksums: refused with a place outside the frame", (t) => {
  const made = tcp4(10);
  const end = made.frame.length;
  for (const [start, offset, fits] of [
    [0, 16, false],
    [13, 1, false],
    [14, 0, true],
    [end - 2, 0, true],
    [end - 1, 0, false],
    [14, end - 15, false],
    [14, end - 16, true],
    [0xffff, 0xffff, false],
  ] as [number, number, boolean][])
    t.is(finishChecksum(header(made, 0, { start, offset }), made.frame) !== null, fits, `${start} + ${offset}`);
});

test("property: rubbish is refused or cut within the frame, whatever it says", (t) => {
  const random = randomFrom(4711);
  let taken = 0;
  for (let round = 0; round < 3000; round++) {
    const made = randomFrame(random, random(3000));
    const bytes = header(made, 1 + random(2000));
    for (let flips = random(4); flips > 0; flips--) {
      const target = random(2) === 0 ? bytes : made.frame.subarray(12, made.start);
      target[random(target.length)] = random(256);
    }
    const cut = segments(
      bytes,
      made.frame.subarray(0, random(2) === 0 ? made.frame.length : random(made.frame.length)),
    );
    if (cut) taken += cut.every((piece) => piece.length <= 9216) ? 1 : 0;
    finishChecksum(bytes, made.frame);
  }
  t.true(taken > 100);
});

/** A TCP frame as a plain sender's, cut into segments. */
function plainSegments(random: (below: number) => number, size: number): Buffer[] {
  for (;;) {
    const made = randomFrame(random, size + random(size * 30), { tcp: true });
    const plain = made.l3 === 14 && made.l4 - made.l3 === (made.ipv6 ? 40 : 20);
    made.frame[made.l4 + 13] = random(2) === 0 ? 0x10 : 0x18;
    if (plain && made.frame.length < 65_000) return segments(header(made, size), made.frame)!;
  }
}

for (const seed of [11, 12])
  test(`property: segments that are joined and cut again are what they were (seed ${seed})`, (t) => {
    const random = randomFrom(seed);
    for (let round = 0; round < 40; round++) {
      const cut = plainSegments(random, 100 + random(1400));
      const whole = join(cut)!;
      t.is(whole.count, cut.length);
      if (cut.length === 1) continue;
      t.deepEqual(segments(whole.header, whole.frame), cut);
    }
  });

for (const [what, spoil] of [
  ["a wrong checksum", (piece) => (piece[piece.length - 1]! ^= 1)],
  ["a gap", undefined],
  ["another flag", () => {}],
] as [string, ((piece: Buffer) => unknown) | undefined][])
  test(`joined: not over ${what}`, (t) => {
    const random = randomFrom(21);
    let cut = plainSegments(random, 500);
    while (cut.length < 6) cut = plainSegments(random, 500);
    const ipv6 = cut[0]!.readUInt16BE(12) === 0x86dd;
    if (spoil) spoil(cut[3]!);
    else cut.splice(3, 1);
    if (what === "another flag") {
      // URG, with the checksum made right again.
      const tcp = ipv6 ? 54 : 34;
      cut[3]![tcp + 13]! |= 0x20;
      const sum = wordSum(cut[3]!.subarray(tcp + 16, tcp + 18), 0xffff - 0x20);
      cut[3]!.writeUInt16BE(sum, tcp + 16);
    }
    t.is(join(cut)!.count, 3);
    const first = cut.slice(3);
    if (what !== "a gap") t.is(join(first), null, "nor does it begin one");
  });
