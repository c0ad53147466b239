// The index inside a store: runs behind the log, dropped with what they cover, checked and made anew; native/core/store/indexer.h.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { openStore } from "../../logger/reader.js";
import { createStore, recoverStore, StoreAppender } from "../../logger/store.js";
import { indexOf, openDriver, type StoreDriver, scanStore, storeFolder } from "../support/native-store.js";

const blockBytes = 65536;

async function small(t: Parameters<typeof storeFolder>[0], blocks = 128, medium: "memory" | "disk" = "memory") {
  const path = join(storeFolder(t, medium), "a.store");
  await createStore(path, { sizeBytes: (blocks + 1) * blockBytes, blockBytes });
  return path;
}

/** A UDP frame of its own addresses and ports for each number: the index's worst traffic. */
function frameOf(number: number, length = 1000): Buffer {
  const frame = Buffer.alloc(length);
  frame.writeUIntBE(0x020000000000 + number, 0, 6);
  frame.writeUIntBE(0x060000000000 + number, 6, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame.writeUInt16BE(length - 14, 16);
  frame[22] = 64;
  frame[23] = 17;
  frame.writeUInt32BE((0x0a000000 + number) >>> 0, 26);
  frame.writeUInt32BE((0x0b000000 + number * 7) >>> 0, 30);
  frame.writeUInt16BE(number & 0xffff, 34);
  frame.writeUInt16BE((number * 3) & 0xffff, 36);
  frame.writeUInt16BE(length - 34, 38);
  return frame;
}

let made = 0;
function write(store: StoreDriver, count: number, length = 1000): void {
  for (let left = count; left > 0; left -= 50) {
    const frames = Array.from({ length: Math.min(left, 50) }, () => ({
      bytes: frameOf(made++, length),
      timeNs: BigInt(made),
    }));
    store.write(0, frames, true);
    store.round();
  }
}

/** Log blocks that are sealed and that no run names. */
function uncovered(path: string): bigint[] {
  const covered = new Set(indexOf(path).flatMap(({ covers }) => covers.map(({ serial }) => serial)));
  return scanStore(path)
    .blocks.filter(({ kind, sealed, serial }) => kind === 1 && sealed && !covered.has(serial))
    .map(({ serial }) => serial);
}

for (const medium of ["memory", "disk"] as const)
  test(`${medium}: everything sealed is indexed at close, under runs that are whole`, async (t) => {
    const path = await small(t, 128, medium);
    const store = openDriver(path);
    write(store, 2000);
    store.indexRound(false);
    const { indexRuns, indexedFrames, blocksIndex, indexLagBlocks } = store.counters();
    t.true(indexRuns >= 1 && indexedFrames > 500 && blocksIndex >= 1);
    t.true(indexLagBlocks < 20);
    store.close();
    const index = indexOf(path);
    t.deepEqual(uncovered(path), []);
    t.true(index.every(({ whole, sealed }) => whole && sealed));
    t.true(index.every(({ covers, heldUntil }) => covers.every(({ serial, live }) => live && serial <= heldUntil)));
    const records = scanStore(path).blocks.filter(({ kind }) => kind === 1);
    const counted = index.flatMap(({ covers }) => covers).reduce((sum, { records }) => sum + records, 0);
    t.is(
      counted,
      records.reduce((sum, { frameCount }) => sum + frameCount, 0),
    );
  });

test("going round: runs are dropped with what they cover, and take a sixteenth of the blocks at most", async (t) => {
  const path = await small(t);
  const store = openDriver(path);
  for (let i = 0; i < 60; i += 1) {
    write(store, 1000, 200);
    store.indexRound(i % 3 === 0);
    const { blocksIndex } = store.counters();
    t.true(blocksIndex <= 8, `${blocksIndex} blocks of 128`);
    store.round();
    for (const { whole, sealed, covers } of indexOf(path)) {
      t.true(whole);
      t.true(!sealed || covers.some(({ live }) => live), "a block that serves nothing any more is given back");
    }
  }
  t.true(store.counters().retiredBlocks > 100);
  t.true(store.counters().indexedBlocks > 100);
  store.close();
});

test("traffic that no room would hold the index of: logging goes on, blocks stay unindexed, and both are counted", async (t) => {
  const path = await small(t, 16);
  const store = openDriver(path);
  for (let i = 0; i < 40; i += 1) {
    write(store, 500, 64);
    store.indexRound(true);
  }
  const counters = store.counters();
  t.true(counters.blocksIndex <= 1);
  t.is(counters.nextSequence, 20_001n, "every frame was logged");
  t.true(counters.indexSkippedBlocks + counters.indexLagBlocks > 0);
  store.close();
});

// Runs are planned by what records took so far: traffic that all at once has nothing in common leaves one that can only say "all".
test("a run that had no room for anything but its blocks is whole, not damaged", async (t) => {
  const path = await small(t, 1024);
  const store = openDriver(path);
  const same = frameOf(made++, 64);
  for (let i = 0; i < 14; i += 1) {
    for (let j = 0; j < 24; j += 1) {
      const frames = Array.from({ length: 100 }, () => ({ bytes: same, timeNs: BigInt(made) }));
      store.write(0, frames, true);
      store.round();
    }
    store.indexRound(true);
  }
  const wanted = frameOf(made + 20_000)
    .toString("hex", 0, 6)
    .replace(/..(?=.)/g, "$&:");
  write(store, 40_000, 64);
  store.indexRound(true);
  store.close();
  const runs = indexOf(path).reduce((sum, { runs }) => sum + runs, 0);
  t.is((await recoverStore(path, { dryRun: true })).indexBlocksDamaged, 0);
  const next = openDriver(path);
  next.indexRound(true);
  t.is(next.counters().indexDamaged, 0);
  t.is(next.counters().indexRuns, runs, "nothing was indexed again");
  next.close();
  const reader = openStore(path);
  let found = 0;
  for await (const batch of reader.frames({ filter: `in-port nobody or ether dst ${wanted}` })) found += batch.count;
  t.is(found, 1);
  t.is(reader.counters.runsDamaged, 0);
  reader.close();
});

test("full and stopped: the index takes what is free, never what the log holds", async (t) => {
  const path = await small(t, 32);
  const store = openDriver(path, { full: 1 });
  let logged = 0;
  for (let i = 0; i < 100; i += 1) {
    const frames = Array.from({ length: 40 }, () => ({ bytes: frameOf(made++), timeNs: 1n }));
    logged += store.write(0, frames, true).sequences.length;
    store.round();
    store.indexRound(false);
  }
  t.is(store.counters().retiredBlocks, 0);
  store.close();
  t.is(
    scanStore(path).blocks.reduce((sum, { frameCount, kind }) => sum + (kind === 1 ? frameCount : 0), 0),
    logged,
  );
  t.true(indexOf(path).length <= 2);
});

test("off: no block is taken; a store from before is indexed by the next writer", async (t) => {
  const path = await small(t);
  const plain = openDriver(path, { index: 0 });
  write(plain, 1500);
  plain.indexRound(true);
  t.is(plain.counters().blocksIndex, 0);
  plain.close();
  t.deepEqual(indexOf(path), []);
  const store = openDriver(path);
  store.indexRound(true);
  t.is(store.counters().indexLagBlocks, 0);
  store.close();
  t.deepEqual(uncovered(path), []);
});

test("runs of a trickle are made one, and their block goes", async (t) => {
  const path = await small(t, 256);
  const store = openDriver(path);
  const runs: number[] = [];
  for (let i = 0; i < 80; i += 1) {
    write(store, 60);
    store.indexRound(true);
    runs.push(indexOf(path).reduce((sum, block) => sum + block.runs, 0));
  }
  t.true(Math.max(...runs) < 40, `${Math.max(...runs)} runs at once`);
  store.close();
  t.deepEqual(uncovered(path), []);
});

test("many openings with little to index do not fill the store with index blocks", async (t) => {
  const path = await small(t, 256);
  for (let i = 0; i < 12; i += 1) {
    const store = openDriver(path);
    write(store, 70);
    store.indexRound(true);
    store.close();
  }
  t.true(indexOf(path).length <= 6, `${indexOf(path).length} index blocks`);
  t.deepEqual(uncovered(path), []);
});

const harms: [name: string, place: (block: { end: number }) => number][] = [
  ["a run's header", () => 64 + 8],
  ["a run's table", () => 64 + 70],
  ["a run's pages", ({ end }) => Math.floor(end * 0.7)],
  ["the block's header", () => 8],
];
for (const [name, place] of harms)
  test(`damage to ${name} is found, said, and made good`, async (t) => {
    const path = await small(t);
    const store = openDriver(path);
    write(store, 2000);
    store.indexRound(true);
    store.close();
    const [index] = indexOf(path);
    const { blocksOffset } = scanStore(path);
    const bytes = readFileSync(path);
    bytes[blocksOffset + index!.block * blockBytes + place(index!)]! ^= 0x40;
    writeFileSync(path, bytes);
    t.false(indexOf(path)[0]!.whole);
    const { problems } = await openStore(path).verify();
    t.is(problems.length, 1);
    t.regex(problems[0]!.what, /^the index is damaged \(checksum\): what it covers is scanned/);
    const dry = await recoverStore(path, { dryRun: true });
    t.is(dry.indexBlocksDamaged, 1);
    t.true(readFileSync(path).equals(bytes), "a dry run writes nothing");

    const next = openDriver(path);
    next.indexRound(true);
    t.is(next.counters().indexDamaged, 1);
    t.is(next.counters().indexLagBlocks, 0);
    next.close();
    t.true(indexOf(path).every(({ whole }) => whole));
    t.deepEqual((await openStore(path).verify()).problems, []);
    t.deepEqual(uncovered(path), []);

    const damaged = readFileSync(path);
    const [rebuilt] = indexOf(path);
    damaged[blocksOffset + rebuilt!.block * blockBytes + place(rebuilt!)]! ^= 1;
    writeFileSync(path, damaged);
    t.is((await recoverStore(path)).indexBlocksDamaged, 1);
    t.true(
      indexOf(path).every(({ whole }) => whole),
      "recovery gave it up",
    );
    t.is((await recoverStore(path)).indexBlocksDamaged, 0);
  });

test("a writer that died: runs that were there serve on, what was sealed since is indexed by the next", async (t) => {
  const path = await small(t);
  const store = openDriver(path);
  write(store, 1500);
  store.indexRound(true);
  const before = indexOf(path).reduce((sum, { runs }) => sum + runs, 0);
  write(store, 1500);
  store.abandon();
  t.true(indexOf(path).every(({ whole }) => whole));
  const next = openDriver(path);
  next.indexRound(true);
  t.is(next.counters().indexDamaged, 0);
  t.true(next.counters().indexRuns > before);
  t.is(next.counters().indexLagBlocks, 0);
  next.close();
  t.deepEqual(uncovered(path), []);
});

test("an import is indexed when it is closed, by a thread of its own meanwhile", async (t) => {
  const path = await small(t, 512);
  const appender = await StoreAppender.open(path);
  const name = appender.addInterface("capture");
  const count = 1000;
  const frames = Array.from({ length: count }, (_, i) => frameOf(i));
  for (let round = 0; round < 12; round += 1)
    await appender.append({
      data: Buffer.concat(frames),
      count,
      offsets: Uint32Array.from(frames, (_, i) => i * 1000),
      capturedLengths: new Uint32Array(count).fill(1000),
      wireLengths: new Uint32Array(count).fill(1000),
      timesNs: BigInt64Array.from(frames, (_, i) => BigInt(round * count + i)),
      interfaces: new Uint16Array(count).fill(name),
    });
  await appender.close();
  t.deepEqual(uncovered(path), []);
  const runs = indexOf(path).reduce((sum, block) => sum + block.runs, 0);
  t.true(runs > 0 && runs < 20, `${runs} runs`);
});
