import test from "ava";
import fc from "fast-check";
import { batchOf } from "../../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../../logger/capture/pcap-writer.js";
import { PcapngWriter } from "../../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../../logger/errors.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { type ReadFrame, readAll } from "./read-all.js";

/** A good file, with the place at which each frame's record ends. */
interface Good {
  readonly bytes: Buffer;
  readonly ends: readonly number[];
  readonly frames: readonly ReadFrame[];
  /** Bytes of what stands before the first frame. */
  readonly headerSize: number;
}

const seed = 21;
const source = awkwardFrames(seed, 40, { lengthMax: 300 });

async function good(header: Buffer, record: (i: number) => Buffer): Promise<Good> {
  const parts = [header, ...source.map((_, i) => record(i))];
  const bytes = Buffer.concat(parts);
  const ends: number[] = [];
  let position = header.length;
  for (const part of parts.slice(1)) {
    position += part.length;
    ends.push(position);
  }
  return { bytes, ends, frames: (await readAll(bytes)).frames, headerSize: header.length };
}

async function goodPcap(nanoseconds: boolean, bigEndian: boolean): Promise<Good> {
  const writer = new PcapWriter({ nanoseconds, bigEndian });
  return good(writer.header(), (i) => writer.append(batchOf([source[i]!])));
}

async function goodPcapng(bigEndian: boolean): Promise<Good> {
  const writer = new PcapngWriter({ bigEndian });
  const extras = { flags: Uint32Array.of(1), packetIds: BigUint64Array.of(9n) };
  const header = writer.header([{ name: "fuzz", linkType: 1, snaplen: 0 }]);
  return good(header, (i) => writer.append(batchOf([source[i]!]), extras));
}

const files: readonly (readonly [string, Promise<Good>])[] = [
  ["pcap", goodPcap(false, false)],
  ["pcap, nanoseconds, big endian", goodPcap(true, true)],
  ["pcapng", goodPcapng(false)],
  ["pcapng, big endian", goodPcapng(true)],
];

type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "word"; readonly at: number; readonly value: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "remove"; readonly at: number; readonly count: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "repeat"; readonly at: number; readonly from: number; readonly count: number };

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const extremes = fc.constantFrom(
  0,
  1,
  3,
  4,
  12,
  16,
  0x7fffffff,
  0x80000000,
  0xffffffff,
  0xfffffffc,
  262144,
  262145,
  16777216,
);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat({ max: 7 }) }),
  fc.record({ kind: fc.constant("word" as const), at: place, value: fc.oneof(extremes, fc.nat()) }),
  fc.record({ kind: fc.constant("insert" as const), at: place, bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
  fc.record({ kind: fc.constant("remove" as const), at: place, count: fc.integer({ min: 1, max: 500 }) }),
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({ kind: fc.constant("repeat" as const), at: place, from: place, count: fc.integer({ min: 1, max: 500 }) }),
);

/** The mutated bytes, and the first place at which they differ from the good ones (or at which they end). */
function mutate(bytes: Buffer, change: Mutation): { mutated: Buffer; at: number } {
  const at = Math.floor(change.at * bytes.length);
  const before = bytes.subarray(0, at);
  switch (change.kind) {
    case "flip": {
      const mutated = Buffer.from(bytes);
      mutated[at] = mutated[at]! ^ (1 << change.bit);
      return { mutated, at };
    }
    case "word": {
      // Lengths stand at multiples of four in pcapng, and often enough in pcap.
      const mutated = Buffer.from(bytes);
      const aligned = Math.min(at & ~3, bytes.length - 4);
      mutated.writeUInt32LE(change.value >>> 0, aligned);
      return { mutated, at: aligned };
    }
    case "insert":
      return { mutated: Buffer.concat([before, change.bytes, bytes.subarray(at)]), at };
    case "remove":
      return { mutated: Buffer.concat([before, bytes.subarray(at + change.count)]), at };
    case "cut":
      return { mutated: Buffer.from(before), at };
    case "repeat": {
      const from = Math.floor(change.from * bytes.length);
      return { mutated: Buffer.concat([before, bytes.subarray(from, from + change.count), bytes.subarray(at)]), at };
    }
  }
}

const same = (a: ReadFrame, b: ReadFrame): boolean =>
  a.timeNs === b.timeNs && a.wireLength === b.wireLength && a.interface === b.interface && a.data.equals(b.data);

for (const [name, promise] of files) {
  test(`damaged ${name}: frames before the damage are delivered, and nothing but a PasteError is thrown`, async (t) => {
    t.timeout(120_000);
    const file = await promise;
    t.is(file.frames.length, source.length);
    await fc.assert(
      fc.asyncProperty(mutation, fc.integer({ min: 1, max: 4000 }), async (change, chunkSize) => {
        const { mutated, at } = mutate(file.bytes, change);
        const { frames, error } = await readAll(mutated, {}, chunkSize);
        if (error !== null && !(error instanceof PasteError && error.code === "CAPTURE")) throw error;
        if (at < file.headerSize) return;
        const whole = file.ends.filter((end) => end <= at).length;
        const wrong = file.frames.slice(0, whole).findIndex((frame, i) => !frames[i] || !same(frame, frames[i]));
        if (wrong >= 0) throw new Error(`frame ${wrong} of ${whole} before the damage at ${at} is missing or changed`);
        const atBoundary = at === file.headerSize || file.ends.includes(at);
        if (change.kind === "cut" && (error === null) !== atBoundary)
          throw new Error(`cut at ${at}: ${error === null ? "no error" : "an error at the end of a record"}`);
      }),
      { numRuns: 1200 },
    );
    t.pass();
  });

  if (name.startsWith("pcapng")) continue;
  test(`damaged ${name}: without an error, every byte of the file is accounted for`, async (t) => {
    const file = await promise;
    await fc.assert(
      fc.asyncProperty(mutation, async (change) => {
        const { mutated } = mutate(file.bytes, change);
        const { frames, error } = await readAll(mutated);
        const size = frames.reduce((sum, frame) => sum + 16 + frame.data.length, 24);
        if (error === null && size !== mutated.length) throw new Error(`${size} of ${mutated.length} bytes`);
      }),
      { numRuns: 400 },
    );
    t.pass();
  });
}
