// Recovery: after the death of the process at any moment, and after damage to any part of what it left.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, copyFileSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "ava";
import fc from "fast-check";
import { blockKinds, constants, structs } from "../../logger/layout.js";
import { createStore, recoverStore, StoreAppender } from "../../logger/store.js";
import { framesOf, openDriver, scanStore, storeFolder } from "../support/native-store.js";

const blockBytes = 65536;
const victim = new URL("../support/store-victim.js", import.meta.url).pathname;

/** Runs the victim until it has acknowledged `acknowledgements` batches, kills it, and returns the last line it told. */
async function killAfter(path: string, acknowledgements: number): Promise<{ sequence: bigint; count: number }> {
  const child: ChildProcess = spawn(process.execPath, [victim, path, "10"], { stdio: ["ignore", "pipe", "inherit"] });
  let last = { sequence: 0n, count: 0 };
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    const [sequence = "0", count = "0"] = line.split(" ");
    last = { sequence: BigInt(sequence), count: Number(count) };
    seen += 1;
    if (seen === acknowledgements) child.kill("SIGKILL");
  }
  return last;
}

for (const medium of ["memory", "disk"] as const)
  for (const acknowledgements of [1, 7, 40])
    test(`killed after ${acknowledgements} acknowledged batches (${medium}): all of them are there, whole and in order`, async (t) => {
      const path = join(storeFolder(t, medium), "a.store");
      await createStore(path, { sizeBytes: 32 << 20, blockBytes });
      const { sequence, count } = await killAfter(path, acknowledgements);
      const dry = await recoverStore(path, { dryRun: true });
      const before = readFileSync(path);
      t.false(dry.wasClean);
      t.true(dry.lastSequence >= sequence);
      t.true(readFileSync(path).equals(before), "a dry run writes nothing");
      const report = await recoverStore(path);
      t.deepEqual({ ...report }, dry);
      const frames = framesOf(scanStore(path));
      t.true(frames.length >= count);
      frames.forEach((frame, i) => {
        if (frame.bytes.readUInt32LE(0) !== i || frame.sequence !== BigInt(i + 1))
          t.fail(`frame ${i} is not the ${i}th`);
        if (!frame.bytes.subarray(4).every((byte) => byte === (i & 0xff))) t.fail(`frame ${i} is not whole`);
      });
      const again = await recoverStore(path);
      t.like(again, {
        wasClean: true,
        blocksScanned: 0,
        blocksSealed: 0,
        recordsDiscarded: 0,
        lastSequence: report.lastSequence,
      });
      const appender = await StoreAppender.open(path);
      t.true(appender.recovery.wasClean);
      await appender.close();
    });

/** A store that died with `count` frames of about a third of a block each in its log, uncommitted ones among them. */
async function died(t: Parameters<typeof storeFolder>[0], lengths: number[]): Promise<string> {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 33 * blockBytes, blockBytes });
  const store = openDriver(path);
  lengths.forEach((length, i) => {
    const frames = [{ bytes: Buffer.alloc(length, i + 1), timeNs: BigInt(i), framed: 1 as const }];
    if (store.write(0, frames, true).plans[0] === "room") return;
    store.round();
    t.deepEqual(store.write(0, frames, true).plans, ["room"]);
  });
  store.abandon();
  return path;
}

function patch(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

test("a torn record ends its block; what came before stays, and its number is not given again", async (t) => {
  const path = await died(t, [100, 100, 100, 100]);
  const { blocks, blocksOffset } = scanStore(path);
  const records = blocks[0]!.records;
  patch(path, blocksOffset + records[2]!.offset + 64 + 50, Buffer.of(0xee));
  const report = await recoverStore(path);
  t.like(report, { blocksSealed: 1, framesKept: 2, recordsDiscarded: 2, lastSequence: 2n });
  t.regex(report.reasons.join(), /block 0, offset 448: a torn payload; 2 records discarded/);
  const store = openDriver(path);
  t.deepEqual(store.write(0, [{ bytes: Buffer.from("new"), timeNs: 1n }], true).sequences, [5n]);
  store.close();
  t.deepEqual(
    framesOf(scanStore(path)).map((frame) => frame.sequence),
    [1n, 2n, 5n],
  );
  t.is(scanStore(path).blocks[0]!.sealFlags, 1);
});

test("a damaged header hides its record only as far as the block goes on", async (t) => {
  const path = await died(t, [100, 100, 100]);
  const { blocks, blocksOffset } = scanStore(path);
  patch(path, blocksOffset + blocks[0]!.records[0]!.offset + 9, Buffer.of(0xff));
  const report = await recoverStore(path);
  t.like(report, { blocksSealed: 0, framesKept: 0, recordsDiscarded: 2 });
  t.is(scanStore(path).blocks.length, 0);
});

test("a long frame that is not whole is discarded whole, over all its blocks", async (t) => {
  const path = await died(t, [100, 250_000]);
  const { blocks, blocksOffset } = scanStore(path);
  t.true(blocks.length >= 5);
  const parts = blocks.flatMap((block) => block.records.map((record) => ({ block, record })));
  const last = parts.at(-1)!;
  t.is(last.record.part, last.record.parts - 1);
  patch(path, blocksOffset + last.block.index * blockBytes + last.record.offset + 64, Buffer.of(0xee));
  const report = await recoverStore(path);
  t.like(report, { blocksSealed: 1, framesKept: 1, lastSequence: 1n });
  t.is(report.recordsDiscarded, last.record.parts);
  t.regex(report.reasons.join(), /last parts are missing/);
  t.deepEqual(
    framesOf(scanStore(path)).map((frame) => frame.bytes.length),
    [100],
  );
});

test("a gap between lanes is said", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 33 * blockBytes, blockBytes });
  const store = openDriver(path, { lanes: 2 });
  for (const lane of [0, 1, 0, 1, 0]) store.write(lane, [{ bytes: Buffer.alloc(100, lane), timeNs: 1n }], true);
  store.abandon();
  const { blocks, blocksOffset } = scanStore(path);
  const block = blocks.find((each) => each.lane === 1 && each.records.length > 0)!;
  patch(path, blocksOffset + block.index * blockBytes + block.records[0]!.offset + 64, Buffer.of(0xee));
  const report = await recoverStore(path);
  t.deepEqual(report.gaps, [
    { from: 2n, to: 2n },
    { from: 4n, to: 4n },
  ]);
});

test("what a block's former life left never comes back", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 10 * blockBytes, blockBytes });
  for (let life = 1; life <= 30; life += 1) {
    const store = openDriver(path);
    store.write(
      0,
      Array.from({ length: 120 }, () => ({ bytes: Buffer.alloc(900, life), timeNs: BigInt(life), framed: 1 as const })),
      true,
    );
    store.round();
    store.abandon();
    for (const block of scanStore(path).blocks)
      for (const record of block.records) t.is(record.bytes[0], Number(record.timeNs));
  }
});

test("property: any damage to unsealed blocks leaves a prefix of each block, and recovering twice changes nothing", async (t) => {
  const folder = storeFolder(t);
  const lengths = [60, 1514, 20_000, 300, 64, 9000, 33_000, 70, 1000, 64, 200_000, 90];
  const original = await died(t, lengths);
  const { blocks, blocksOffset } = scanStore(original);
  const whole = framesOf(scanStore(original));
  t.is(whole.length, lengths.length);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          block: fc.nat(blocks.length - 1),
          offset: fc.nat(blockBytes - 9),
          bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      async (damages) => {
        const path = join(folder, `${++run}.store`);
        copyFileSync(original, path);
        for (const { block, offset, bytes } of damages)
          patch(path, blocksOffset + blocks[block]!.index * blockBytes + offset, bytes);
        const report = await recoverStore(path);
        const frames = framesOf(scanStore(path));
        const again = await recoverStore(path);
        return (
          frames.every((frame) => whole.find((each) => each.sequence === frame.sequence)?.bytes.equals(frame.bytes)) &&
          again.wasClean &&
          again.blocksScanned === 0 &&
          again.lastSequence === report.lastSequence &&
          scanStore(path).blocks.every((block) => block.sealed && block.recordCount === block.records.length)
        );
      },
    ),
    { numRuns: 100 },
  );
  t.pass();
});

const entryFields = structs.DirectoryEntry.fields;

/** A store of two log blocks and more, and the directory entry of the first one with its block's header. */
async function damageable(t: Parameters<typeof storeFolder>[0], end: "close" | "abandon") {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 33 * blockBytes, blockBytes });
  const store = openDriver(path);
  const frames = Array.from({ length: 300 }, (_, i) => ({ bytes: Buffer.alloc(400, i), timeNs: BigInt(i) }));
  store.write(0, frames, true);
  if (end === "close") store.round();
  store[end]();
  const { blocks, blocksOffset } = scanStore(path);
  const { index } = blocks.find((block) => block.records.length > 0)!;
  const at = Number(constants.kDirectoryOffset) + index * structs.DirectoryEntry.size;
  const word = readFileSync(path).readBigUInt64LE(at);
  return { path, index, at, word, header: blocksOffset + index * blockBytes, whole: framesOf(scanStore(path)) };
}

const wordBytes = (word: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(word & 0xffff_ffff_ffff_ffffn);
  return bytes;
};

// What is written over the entry, given its word; `unsealed`: also found where no seal helps.
const damages: [what: string, bytes: (word: bigint) => Uint8Array, offset: number, unsealed: boolean][] = [
  ["its kind gone", (word) => wordBytes(word & ~3n), 0, true],
  ["a buffer block's kind", (word) => wordBytes((word & ~3n) | BigInt(blockKinds.kBuffers)), 0, true],
  ["an index block's kind", (word) => wordBytes((word & ~3n) | BigInt(blockKinds.kIndex)), 0, true],
  ["a bit of its serial wrong", (word) => wordBytes(word ^ 0x100n), 0, true],
  ["a high bit of its serial wrong", (word) => wordBytes(word ^ (1n << 63n)), 0, true],
  ["ones over its word", () => wordBytes(-1n), 0, false],
  ["a lane that cannot be", () => Buffer.of(0xff, 0xff), entryFields.lane, false],
  ["its first line overwritten", () => Buffer.alloc(64, 0x5a), 0, false],
];
for (const [what, bytes, offset, unsealed] of damages)
  for (const end of unsealed ? (["close", "abandon"] as const) : (["close"] as const))
    test(`a directory entry with ${what} is restored from its block's header (${end})`, async (t) => {
      const { path, index, at, word, whole } = await damageable(t, end);
      t.is(whole.length, 300);
      patch(path, at + offset, bytes(word));
      const before = readFileSync(path);
      const dry = await recoverStore(path, { dryRun: true });
      t.true(readFileSync(path).equals(before), "a dry run writes nothing");
      t.like(dry, { blocksRestored: 1, recordsDiscarded: 0, firstSequence: 1n, lastSequence: 300n });
      t.regex(dry.reasons.join(), new RegExp(`block ${index}: its directory entry was damaged; it is restored`));
      t.deepEqual({ ...(await recoverStore(path)) }, dry);
      t.is(readFileSync(path).readBigUInt64LE(at), word);
      t.deepEqual(framesOf(scanStore(path)), whole);
      t.like(await recoverStore(path), {
        wasClean: true,
        blocksRestored: 0,
        blocksSealed: 0,
        blocksFreed: 0,
        reasons: [],
      });
      const store = openDriver(path);
      t.true(store.write(0, [{ bytes: Buffer.from("new"), timeNs: 1n }], true).sequences[0]! > 300n);
      store.close();
      t.is(framesOf(scanStore(path)).length, 301);
    });

test("what is not certain is not restored: a retired block, a header that is damaged, a serial that another entry has", async (t) => {
  const { path, at, word, header, whole } = await damageable(t, "close");
  const original = readFileSync(path);
  const left = async (...patches: [offset: number, bytes: Uint8Array][]) => {
    const bytes = Buffer.from(original);
    for (const [offset, change] of patches) bytes.set(change, offset);
    writeFileSync(path, bytes);
    t.is((await recoverStore(path)).blocksRestored, 0);
    return framesOf(scanStore(path)).length;
  };
  const kept = await left([at, wordBytes(0n)]);
  t.true(kept > 0 && kept < whole.length);
  t.is(await left([at, wordBytes(word & ~3n)], [header + 9, Buffer.of(0xee)]), kept);
  const last = Number(constants.kDirectoryOffset) + (scanBlocks(original) - 1) * structs.DirectoryEntry.size;
  const other = (word & ~3n) | BigInt(blockKinds.kBuffers);
  t.is(await left([at, wordBytes(word ^ 0x100n)], [last, wordBytes(other)]), kept);
});

const scanBlocks = (store: Buffer) => store.readUInt32LE(structs.Superblock.fields.block_count);

test("a disk's tickets become durable only with the keeper's group commit", async (t) => {
  const path = join(storeFolder(t, "disk"), "a.store");
  await createStore(path, { sizeBytes: 33 * blockBytes, blockBytes });
  const store = openDriver(path);
  if (store.hasBuffers()) return t.pass("temporary files lie on an immediate medium here");
  const { ticket } = store.write(0, [{ bytes: Buffer.from("slow"), timeNs: 1n }], true);
  t.true(store.durable(0) < ticket!);
  t.is(framesOf(scanStore(path)).length, 0, "nothing has reached the file");
  store.round();
  t.is(store.durable(0), ticket!);
  t.deepEqual(
    framesOf(scanStore(path)).map((frame) => frame.bytes.toString()),
    ["slow"],
  );
  store.abandon();
  t.like(await recoverStore(path), { framesKept: 1, recordsDiscarded: 0 });
  t.is(constants.kVersion, 1n);
});
