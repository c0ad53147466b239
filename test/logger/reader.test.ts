import { copyFileSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PasteError } from "../../logger/errors.js";
import { selectFrames } from "../../logger/filter/bpf-program.js";
import { compileFilter } from "../../logger/filter/compile.js";
import type { FrameBatch } from "../../logger/frame-batch.js";
import { openStore } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { Random } from "../../logger/traffic/random.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { crc32c } from "../support/checksums.js";
import { appendTo, firstDifference, recordsOf, storedFrames, storeWith, testFolder } from "./store-tools.js";

const entryBytes = 128;
const directoryOffset = 16384;

for (const seed of [1, 2, 3])
  test(`what is read is what was appended: awkward frames, giants among them, seed ${seed}`, async (t) => {
    const frames = awkwardFrames(seed, 1500, { giants: true, tiny: true }).map((frame, i) => ({
      ...frame,
      interface: i % 2,
    }));
    const bytes = frames.reduce((sum, frame) => sum + frame.data.length + 128, 0);
    const path = await storeWith(t, frames, { sizeBytes: Math.max(16 << 20, bytes * 2), blockBytes: 65536 });
    const found = await storedFrames(path);
    t.is(firstDifference(found, frames), -1);
    t.true(found.every((frame, i) => i === 0 || frame.sequence > found[i - 1]!.sequence));
    t.true(found.every((frame, i) => frame.ingress === (i % 2 ? "port-b" : "port-a")));
    const small = await storedFrames(path, { batchFrames: 7, batchBytes: 1000 });
    t.is(firstDifference(small, frames), -1, "in small batches");
  });

test("filters, ranges and snaplen give what a plain selection of all frames gives", async (t) => {
  const frames = awkwardFrames(11, 3000);
  const path = await storeWith(t, frames);
  const all = await storedFrames(path);
  for (const filter of ["tcp", "not tcp", "greater 1000", "vlan and ip6"]) {
    const { bytes } = compileFilter(filter);
    const selected = selectFrames(bytes, batchOf(all));
    const expected = all.filter((_, i) => selected[i]);
    t.true(expected.length > 0 && expected.length < all.length, filter);
    t.is(firstDifference(await storedFrames(path, { program: bytes }), expected), -1, filter);
  }
  const [from, to] = [all[100]!.sequence, all[2000]!.sequence];
  t.is(firstDifference(await storedFrames(path, { fromSequence: from, toSequence: to }), all.slice(100, 2001)), -1);
  t.is((await storedFrames(path, { fromSequence: 1n << 60n })).length, 0);
  const short = await storedFrames(path, { snaplen: 20, verifyPayload: false });
  t.is(
    firstDifference(
      short,
      all.map((frame) => ({ ...frame, data: frame.data.subarray(0, 20) })),
    ),
    -1,
  );
});

test("accessors of a batch", async (t) => {
  const path = await storeWith(t, [{ data: Buffer.alloc(60, 7), wireLength: 70, timeNs: 5n, interface: 1 }]);
  for await (const batch of openStore(path).frames()) {
    t.is(batch.count, 1);
    t.is(batch.wireLength(0), 70);
    t.is(batch.capturedLength(0), 60);
    t.is(batch.timeNs(0), 5n);
    t.is(batch.outcome(0), "forwarded");
    t.is(batch.egress(0), "");
    t.is(batch.rule(0), "");
    t.is(batch.vlanTci(0), undefined);
    t.deepEqual([...batch].length, 1);
    t.is(batch.names.ports.find((port) => port.id === batch.ingressId(0))?.name, "port-b");
    t.throws(() => batch.sequence(1), { instanceOf: RangeError });
    t.throws(() => batch.bytes(-1), { instanceOf: RangeError });
  }
});

test("memory that is used again: the same frames, and a batch that is kept too long is empty, never another one", async (t) => {
  const frames = awkwardFrames(6, 3000);
  const path = await storeWith(t, frames);
  t.is(firstDifference(await storedFrames(path, { reuse: true, batchBytes: 65536 }), frames), -1);
  const reader = openStore(path);
  let before: FrameBatch | undefined;
  let batches = 0;
  for await (const batch of reader.frames({ reuse: true, batchFrames: 100 })) {
    if (before) t.throws(() => before!.sequence(0), { instanceOf: RangeError });
    t.true(batch.bytes(0).length > 0);
    before = batch;
    batches++;
  }
  t.true(batches > 5);
});

test("info and verify of a whole store", async (t) => {
  const frames = awkwardFrames(5, 800, { giants: true });
  const path = await storeWith(t, frames);
  const reader = openStore(path);
  const info = await reader.info();
  t.is(info.frames, frames.length);
  t.is(
    info.frameBytes,
    frames.reduce((sum, frame) => sum + frame.data.length, 0),
  );
  t.true(info.clean && !info.writerAlive && info.blocksUnsealed === 0);
  t.is(info.nextSequence, info.durableSequence + 1n);
  const { problems, counters } = await reader.verify();
  t.deepEqual(problems, []);
  t.is(counters.frames, frames.length);
});

test("an empty store has no frames, and says so", async (t) => {
  const path = join(testFolder(t), "empty.store");
  await createStore(path, { sizeBytes: 16 << 20 });
  t.deepEqual(await storedFrames(path), []);
  const info = await openStore(path).info();
  t.is(info.frames, 0);
  t.deepEqual((await openStore(path).verify()).problems, []);
});

test("overwriting leaves the newest frames, in order and whole", async (t) => {
  const frames = Array.from({ length: 60_000 }, (_, i) => {
    const data = Buffer.alloc(600, i & 255);
    data.writeUInt32LE(i);
    return { data, wireLength: 600, timeNs: BigInt(i) };
  });
  const path = await storeWith(t, frames);
  const found = await storedFrames(path);
  t.true(found.length > 10_000 && found.length < frames.length);
  t.is(firstDifference(found, frames.slice(-found.length)), -1);
});

test("reading beside a writer that overwrites: whole frames in rising order, what is gone is counted", async (t) => {
  const path = await storeWith(t, []);
  const reader = openStore(path);
  const writer = await StoreAppender.open(path);
  writer.addInterface("busy");
  const columns = (start: number) => {
    const data = Buffer.alloc(400 * 500);
    for (let i = 0; i < 400; i++)
      data.fill((start + i) & 255, i * 500, i * 500 + 500).writeUInt32LE(start + i, i * 500);
    return {
      data,
      count: 400,
      offsets: Uint32Array.from({ length: 400 }, (_, i) => i * 500),
      capturedLengths: new Uint32Array(400).fill(500),
      wireLengths: new Uint32Array(400).fill(500),
      timesNs: BigInt64Array.from({ length: 400 }, (_, i) => BigInt(start + i)),
      interfaces: new Uint16Array(400),
    };
  };
  let written = 0;
  let done = false;
  const writing = (async () => {
    for (; !done; written += 400) await writer.append(columns(written));
  })();
  let read = 0;
  let last = -1;
  for (let round = 0; round < 30; round++)
    for await (const batch of reader.frames({ batchBytes: 65536 })) {
      last = read === 0 ? -1 : last;
      for (let i = 0; i < batch.count; i++) {
        const bytes = Buffer.from(batch.bytes(i));
        const number = bytes.readUInt32LE();
        if (bytes.length !== 500 || !bytes.subarray(4).every((byte) => byte === (number & 255))) t.fail("a torn frame");
        if (i > 0 && number <= last) t.fail("frames out of order");
        last = number;
        read++;
      }
    }
  done = true;
  await writing;
  await writer.close();
  t.true(read > 1000);
  t.is(reader.counters.corrupt, 0);
});

test("a damaged record costs itself only, and is told", async (t) => {
  const frames = Array.from({ length: 200 }, (_, i) => ({
    data: Buffer.alloc(100, i),
    wireLength: 100,
    timeNs: BigInt(i),
  }));
  const path = await storeWith(t, frames);
  const whole = readFileSync(path);
  for (const [what, find, problem] of [
    ["payload", Buffer.alloc(100, 77), /payload is damaged/],
    ["header", null, /header is damaged/],
  ] as const) {
    const bytes = Buffer.from(whole);
    const payload = bytes.indexOf(Buffer.alloc(100, 77));
    t.true(payload > 0);
    bytes[find ? payload + 50 : payload - 64 + 17]! ^= 1;
    writeFileSync(path, bytes);
    const reader = openStore(path);
    const found = await storedFrames(reader);
    t.is(firstDifference(found, [...frames.slice(0, 77), ...frames.slice(78)]), -1, what);
    t.is(reader.counters.corrupt, 1, what);
    const { problems } = await reader.verify();
    t.true(problems.length >= 1 && problem.test(problems[0]!.what), `${what}: ${JSON.stringify(problems)}`);
  }
  const unchecked = openStore(path);
  const bytes = Buffer.from(whole);
  bytes[bytes.indexOf(Buffer.alloc(100, 77)) + 50]! ^= 1;
  writeFileSync(path, bytes);
  t.is((await storedFrames(unchecked, { verifyPayload: false })).length, 200, "without checking payloads");
});

const refused: [string, (whole: Buffer) => Buffer, RegExp][] = [
  ["a foreign file", () => Buffer.alloc(20 << 20, 0x55), /no paste-switch store/],
  ["an empty file", () => Buffer.alloc(0), /empty|no paste-switch store/],
  ["a short file", (whole) => whole.subarray(0, 5000), /no paste-switch store/],
  ["a truncated store", (whole) => whole.subarray(0, 8 << 20), /truncated/],
  ["a newer format", (whole) => patch(whole, [8, 4096 + 8], 9), /format 9/],
  ["both superblocks damaged", (whole) => patch(whole, [60, 4096 + 60], 9), /damaged/],
];
for (const [what, make, message] of refused)
  test(`refused with its reason: ${what}`, async (t) => {
    const path = await storeWith(t, []);
    const bytes = make(readFileSync(path));
    writeFileSync(path, bytes);
    const error = t.throws(() => openStore(path), { instanceOf: PasteError });
    t.is(error?.code, "STORE");
    t.regex(error!.message, message);
    t.true(error!.message.includes(path));
  });

function patch(whole: Buffer, offsets: number[], value: number): Buffer {
  const bytes = Buffer.from(whole);
  for (const offset of offsets) bytes[offset] = value;
  return bytes;
}

test("one damaged superblock does not matter", async (t) => {
  const frames = awkwardFrames(3, 50);
  const path = await storeWith(t, frames);
  for (const offset of [100, 4096 + 100]) {
    const copy = `${path}.${offset}`;
    copyFileSync(path, copy);
    const bytes = readFileSync(copy);
    bytes[offset]! ^= 255;
    writeFileSync(copy, bytes);
    const found = await storedFrames(copy).catch(() => []);
    // The older copy may not know that the store was closed clean: then the frames are found block by block.
    t.is(firstDifference(found, frames), -1, `superblock at ${offset}`);
  }
});

test("hostile stores: whatever a mutation does, reading ends, and never with a crash", async (t) => {
  const frames = awkwardFrames(21, 900, { giants: true }).map((frame, i) => ({ ...frame, interface: i % 2 }));
  const path = await storeWith(t, frames.slice(0, 700), { blockBytes: 65536 });
  await appendTo(path, frames.slice(700), ["port-c", "port-d"]);
  const whole = readFileSync(path);
  const seed = Number(process.env.PASTE_SEED ?? Date.now() % 1_000_000);
  t.log(`seed ${seed}`);
  const random = new Random(seed);
  const target = `${path}.hostile`;
  writeFileSync(target, whole);
  const descriptor = openSync(target, "r+");
  let outcomes = { refused: 0, damaged: 0, whole: 0 };
  for (let round = 0; round < 300; round++) {
    const touched = mutate(whole, random, (bytes, offset) => writeSync(descriptor, bytes, 0, bytes.length, offset));
    const outcome = await readHostile(target);
    outcomes = { ...outcomes, [outcome]: outcomes[outcome] + 1 };
    for (const { offset, length } of touched) writeSync(descriptor, whole, offset, length, offset);
  }
  t.log(outcomes);
  t.true(outcomes.damaged > 50, "mutations were noticed");
  t.is(await readHostile(target), "whole", "and undone afterwards");
});

test("hostile stores whose checksums are right: lengths, parts, types and places that lie", async (t) => {
  const frames = awkwardFrames(22, 900, { giants: true });
  const path = await storeWith(t, frames, { blockBytes: 65536, sizeBytes: 128 << 20 });
  const whole = readFileSync(path);
  const records = recordsOf(whole);
  t.true(records.length > 900);
  const seed = Number(process.env.PASTE_SEED ?? Date.now() % 1_000_000);
  t.log(`seed ${seed}`);
  const random = new Random(seed);
  const descriptor = openSync(path, "r+");
  const outcomes = { refused: 0, damaged: 0, whole: 0 };
  for (let round = 0; round < 200; round++) {
    const touched = Array.from({ length: 1 + random.below(8) }, () => random.pick(records));
    for (const { offset, serial } of touched) {
      const header = Buffer.from(whole.subarray(offset, offset + 64));
      for (let i = 0; i < 1 + random.below(3); i++) {
        const field = random.pick([0, 2, 3, 8, 28, 44, 60, 62]); // lines, type, flags, sequence, ingress, length, part, parts
        const value = random.pick([0, 1, 2, 3, 255, 256, 257, 16384, 16385, 65535, 262144, 262145, 0xffffffff]);
        if (field === 28 || field === 44) header.writeUInt32LE(value, field);
        else if (field === 2 || field === 3) header[field] = value;
        else header.writeUInt16LE(value & 0xffff, field);
      }
      header.writeUInt32LE(0, 24);
      header.writeUInt32LE(crc32c(header, serial), 24);
      writeSync(descriptor, header, 0, 64, offset);
      if (random.chance(0.3)) {
        const place = Buffer.alloc(64); // offset, block word, length, checksum
        place.writeBigUInt64LE(BigInt(random.uint32()) << BigInt(random.below(32)), 0);
        place.writeBigUInt64LE(BigInt(random.below(4096)), 8);
        place.writeUInt32LE(random.pick([0, 1, 64, 65536, header.readUInt32LE(44), 0xffffffff]), 16);
        place.writeUInt32LE(crc32c(place.subarray(0, 20), serial), 20);
        writeSync(descriptor, place, 0, 64, offset + 64);
      }
    }
    outcomes[await readHostile(path)]++;
    for (const { offset } of touched) writeSync(descriptor, whole, offset, 128, offset);
  }
  t.log(outcomes);
  t.true(outcomes.damaged > 100);
  t.is(await readHostile(path), "whole");
});

/** One to six changes: in superblocks, live page, directory, block headers, record headers; bits, words, runs, copies. */
function mutate(whole: Buffer, random: Random, write: (bytes: Buffer, offset: number) => void) {
  const blocks = whole.readUInt32LE(60);
  const blockBytes = whole.readUInt32LE(56);
  const first = Number(whole.readBigUInt64LE(48));
  const touched: { offset: number; length: number }[] = [];
  const areas = [
    () => random.below(8192),
    () => 8192 + random.below(1200),
    () => directoryOffset + random.below(Math.min(blocks, 40)) * entryBytes + random.below(entryBytes),
    () => first + random.below(Math.min(blocks, 40)) * blockBytes + random.below(64),
    () => first + random.below(40 * blockBytes),
    () => first + random.below(40 * (blockBytes >> 6)) * 64 + random.below(64),
  ];
  const count = 1 + random.below(6);
  for (let i = 0; i < count; i++) {
    const offset = Math.min(random.pick(areas)(), whole.length - 4096);
    const length = random.pick([1, 1, 4, 8, 64, 200]);
    const bytes = Buffer.from(whole.subarray(offset, offset + length));
    const how = random.below(4);
    if (how === 0) bytes[0]! ^= 1 << random.below(8);
    else if (how === 1) bytes.fill(random.pick([0, 255, 128, 1]));
    else if (how === 2) random.bytes(length).copy(bytes);
    else whole.copy(bytes, 0, first + random.below(blockBytes * 8));
    write(bytes, offset);
    touched.push({ offset, length });
  }
  return touched;
}

async function readHostile(path: string): Promise<"refused" | "damaged" | "whole"> {
  try {
    const reader = openStore(path);
    let frames = 0;
    for await (const batch of reader.frames()) {
      for (let i = 0; i < batch.count; i++) frames += batch.bytes(i).length >= 0 ? 1 : 0;
    }
    let backward = 0;
    for await (const batch of reader.frames({ reverse: true })) backward += batch.count;
    for await (const batch of reader.frames({ filter: "tcp port 80" })) batch.bytes(0);
    const { problems, counters } = await reader.verify(5);
    await reader.info();
    return problems.length === 0 && counters.corrupt === 0 && frames === 900 && backward === 900 ? "whole" : "damaged";
  } catch (error) {
    if (error instanceof PasteError && error.code === "STORE") return "refused";
    throw error;
  }
}
