// What lanes write: a model says which records a store holds after any run of writes, crashes, closings and keeper rounds.
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { createStore } from "../../logger/store.js";
import {
  framesOf,
  openDriver,
  type StoreDriver,
  scanStore,
  storeFolder,
  type TestFrame,
} from "../support/native-store.js";

const blockBytes = 65536;

function bytesOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) bytes[i] = (seed * 131 + i * 7 + (i >> 8)) & 0xff;
  return bytes;
}

test("every field of a frame's record comes back, framed or not", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 32 * blockBytes, blockBytes });
  const store = openDriver(path);
  store.describePort(0, 7, "vale0:a");
  store.describePort(0, 8, "vale0:b");
  store.describeRule(0, 9, 3, "web", "tcp port 80");
  const frame = {
    wireLength: 1514,
    ingress: 7,
    egress: 8,
    rule: 9,
    flags: 2 | 4 | 8,
    outcome: 3,
    flowHash: 0xdeadbeef,
    vlanTci: 0xe00c,
    copiesReserved: 65535,
    copiesRefused: 258,
  };
  const frames: TestFrame[] = [0, 1].map((framed) => ({
    ...frame,
    bytes: bytesOf(65, 1),
    timeNs: 1700000000123456789n,
    framed: framed as 0 | 1,
  }));
  t.deepEqual(store.write(0, frames, true), { plans: ["room", "room"], sequences: [1n, 2n], ticket: 2n });
  t.is(store.durable(0), 2n);
  store.close();
  const { blocks, clean } = scanStore(path);
  t.true(clean);
  t.deepEqual(
    blocks[0]!.records.map((record) => [record.type, record.flags, record.sequence]),
    [
      [3, 16, 1n],
      [3, 16, 1n],
      [4, 16, 1n],
      [1, 14, 1n],
      [1, 14, 2n],
    ],
  );
  for (const record of blocks[0]!.records.slice(3))
    t.like(record, {
      ...frame,
      payloadLength: 65,
      timeNs: 1700000000123456789n,
      parts: 1,
      part: 0,
      bytes: bytesOf(65, 1),
    });
  t.is(blocks[0]!.records[0]!.bytes.subarray(12).toString(), "vale0:a");
  t.is(blocks[0]!.records[2]!.bytes.subarray(12).toString(), "webtcp port 80");
  t.like(blocks[0]!, {
    sealed: true,
    firstSequence: 1n,
    lastSequence: 2n,
    frameCount: 2,
    recordCount: 5,
    frameBytes: 130,
  });
});

test("each block describes what its records name, before they do", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 64 * blockBytes, blockBytes });
  const store = openDriver(path);
  for (let port = 1; port <= 100; port += 1) store.describePort(0, port, `vale0:${port}`);
  store.describeRule(0, 200, 1, "r", "ip");
  for (let batch = 0; batch < 12; batch += 1) {
    const frames = Array.from({ length: 100 }, (_, i) => ({
      bytes: bytesOf(300, i),
      timeNs: 1n,
      ingress: 1 + ((i * 37) % 100),
      egress: 1 + ((i * 11) % 100),
      rule: 200,
      framed: 1 as const,
    }));
    t.is(store.write(0, frames, true).sequences.length, 100);
    store.round();
  }
  store.close();
  const blocks = scanStore(path).blocks.filter(({ kind }) => kind === 1);
  t.true(blocks.length > 5);
  for (const block of blocks) {
    const known = new Set<number>();
    for (const record of block.records)
      if (record.type === 3 || record.type === 4) {
        const id = record.bytes.readUInt32LE(0);
        t.false(known.has(id));
        known.add(id);
      } else t.true(known.has(record.ingress) && known.has(record.egress) && known.has(record.rule));
    t.is(block.recordCount, block.records.length);
    t.is(block.endBytes, block.scannedBytes!);
  }
});

test("live times never run backwards within a lane", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 16 * blockBytes, blockBytes });
  const store = openDriver(path);
  store.write(
    0,
    [10n, 5n, 11n, 3n].map((timeNs) => ({ bytes: Buffer.from("t"), timeNs, framed: 1 })),
    true,
  );
  store.close();
  t.deepEqual(
    framesOf(scanStore(path)).map((frame) => frame.timeNs),
    [10n, 10n, 11n, 11n],
  );
});

test("events take their place in the order, also between plan and append", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 16 * blockBytes, blockBytes });
  const store = openDriver(path);
  t.true(store.event(0, 6, 5n, Buffer.from("mac")));
  t.true(store.planInVain(0, { bytes: bytesOf(20000, 1), timeNs: 1n }));
  t.true(store.event(0, 7, 6n, Buffer.from("deferred")));
  t.deepEqual(store.write(0, [{ bytes: Buffer.from("frame"), timeNs: 7n }], true).sequences, [2n]);
  t.false(store.event(0, 5, 8n, Buffer.alloc(blockBytes)), "larger than a block");
  t.true(store.event(0, 5, 9n, Buffer.from("rules")));
  store.close();
  t.deepEqual(
    scanStore(path).blocks[0]!.records.map((record) => [
      record.type,
      record.sequence,
      record.type === 8 ? "" : record.bytes.toString(),
    ]),
    [
      [6, 1n, "mac"],
      [1, 2n, "frame"],
      [7, 3n, "deferred"],
      [8, 4n, ""],
      [5, 5n, "rules"],
    ],
  );
});

/** One step of a run: a batch of frames on a lane, a keeper round, a crash or a clean closing. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      lane: fc.nat(1),
      lengths: fc.array(fc.oneof({ weight: 8, arbitrary: fc.nat(1600) }, { weight: 1, arbitrary: fc.nat(150_000) }), {
        maxLength: 20,
      }),
      framed: fc.boolean(),
      commit: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "round" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "crash" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "close" as const }) },
);

test("model: what was committed is there, in order and byte for byte, whatever happens between", async (t) => {
  const folder = storeFolder(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const path = join(folder, `${++run}.store`);
      await createStore(path, { sizeBytes: 256 * blockBytes, blockBytes });
      const expected = new Map<bigint, Buffer>();
      let seed = 0;
      let store: StoreDriver = openDriver(path, { lanes: 2 });
      for (const each of steps) {
        if (each.kind === "write") {
          const frames = each.lengths.map((length) => ({
            bytes: bytesOf(length, ++seed),
            timeNs: BigInt(seed),
            framed: (each.framed ? 1 : 0) as 0 | 1,
          }));
          const { plans, sequences } = store.write(each.lane, frames, each.commit);
          const taken = frames.filter((_, i) => plans[i] === "room");
          sequences.forEach((sequence, i) => {
            expected.set(sequence, taken[i]!.bytes);
          });
        } else if (each.kind === "round") store.round();
        else {
          // On this medium a process's death loses nothing that was written, committed or not; only power loss would.
          store[each.kind === "crash" ? "abandon" : "close"]();
          store = openDriver(path, { lanes: 2 });
        }
      }
      store.close();
      const found = framesOf(scanStore(path));
      if (found.length !== expected.size) return false;
      return found.every((frame) => expected.get(frame.sequence)?.equals(frame.bytes));
    }),
    { numRuns: 60 },
  );
  t.pass();
});
