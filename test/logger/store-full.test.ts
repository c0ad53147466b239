// What happens when a store is full: overwrite, stop, block; trim; and who holds packet buffers.
import { join } from "node:path";
import test from "ava";
import { createStore, StoreAppender, trimStore } from "../../logger/store.js";
import { framesOf, openDriver, type StoreDriver, scanStore, storeFolder } from "../support/native-store.js";

const blockBytes = 65536;
const frames = (count: number, length = 1000) =>
  Array.from({ length: count }, (_, i) => ({ bytes: Buffer.alloc(length, i), timeNs: 1n, framed: 1 as const }));

async function small(t: Parameters<typeof storeFolder>[0], blocks = 16): Promise<string> {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: (blocks + 1) * blockBytes, blockBytes });
  return path;
}

/** Writes until a frame is refused for good; returns the reason and how many went in. */
function fill(store: StoreDriver, limit = 100_000): { reason: string; logged: number } {
  let logged = 0;
  while (logged < limit) {
    const { plans, sequences } = store.write(0, frames(50), true);
    logged += sequences.length;
    store.round();
    const refused = plans.find((plan) => plan !== "room" && plan !== "block");
    if (refused) return { reason: refused, logged };
  }
  return { reason: "", logged };
}

test("overwrite: the oldest blocks go, in order, and nothing is refused", async (t) => {
  const path = await small(t);
  const store = openDriver(path);
  t.deepEqual(fill(store, 5000), { reason: "", logged: 5000 });
  const { retiredBlocks, retiredFrames, firstSequence } = store.counters();
  t.true(retiredBlocks > 50);
  store.close();
  const kept = framesOf(scanStore(path));
  t.is(kept.length + retiredFrames, 5000);
  t.deepEqual(
    kept.map((frame) => frame.sequence),
    kept.map((_, i) => 5000n - BigInt(kept.length - 1 - i)),
  );
  t.true(firstSequence <= kept[0]!.sequence);
});

test("stop: refused as store_full, said in the log once there is room", async (t) => {
  const path = await small(t);
  const store = openDriver(path, { full: 1 });
  const { reason, logged } = fill(store);
  t.is(reason, "store_full");
  t.true(logged > 800 && logged < 16 * 64);
  const refusedMore = store.write(0, frames(1, 60_000), true);
  t.deepEqual(refusedMore.plans, ["store_full"]);
  t.is(store.counters().retiredBlocks, 0);
  t.true(store.trim(500n) > 5);
  const { sequences } = store.write(0, frames(3), true);
  t.is(sequences.length, 3);
  store.close();
  const lost = scanStore(path)
    .blocks.flatMap((block) => block.records)
    .filter((record) => record.type === 8);
  t.is(lost.length, 1);
  t.is(lost[0]!.sequence, sequences[0]! - 1n);
  t.true(lost[0]!.bytes.readBigUInt64LE(0) >= 2n);
  t.is(lost[0]!.bytes.readBigUInt64LE(8), lost[0]!.sequence);
});

test("block: held back until the time limit, then refused as block_timeout until there is room", async (t) => {
  const path = await small(t);
  const store = openDriver(path, { full: 2, blockTimeoutMs: 30 });
  let reason = "room";
  let blocked = 0;
  const start = performance.now();
  while (reason === "room" || reason === "block") {
    reason = store.write(0, frames(1, 3000), true).plans[0]!;
    if (reason === "block") blocked += 1;
    store.round();
  }
  t.is(reason, "block_timeout");
  t.true(blocked > 0 && performance.now() - start >= 30);
  t.is(store.write(0, frames(1, 3000), true).plans[0], "block_timeout");
  store.trim(10_000n);
  t.is(store.write(0, frames(1, 3000), true).plans[0], "room");
  store.close();
});

test("a plan that fails takes nothing: long frames in a nearly full store", async (t) => {
  const path = await small(t);
  const store = openDriver(path, { full: 1 });
  fill(store);
  const before = store.counters().mediumBytes;
  for (let i = 0; i < 20; i += 1) t.deepEqual(store.write(0, frames(1, 200_000), true).sequences, []);
  t.is(store.counters().mediumBytes, before);
  store.close();
});

test("offline trim retires whole blocks below the sequence, and only those", async (t) => {
  const path = await small(t, 32);
  const store = openDriver(path);
  fill(store, 1000);
  store.close();
  const logBlocks = () => scanStore(path).blocks.filter(({ kind }) => kind === 1);
  const before = logBlocks();
  const expected = before.filter((block) => block.lastSequence < 400n).length;
  t.is(await trimStore(path, 400n), expected);
  t.true(expected > 3);
  const after = { ...scanStore(path), blocks: logBlocks() };
  t.true(after.clean);
  t.is(after.trimmedBefore, 400n);
  t.deepEqual(
    after.blocks.map((block) => block.serial),
    before.filter((block) => block.lastSequence >= 400n).map((block) => block.serial),
  );
  t.is(await trimStore(path, 1n << 40n), after.blocks.length);
  const reopened = openDriver(path);
  t.deepEqual(reopened.write(0, frames(1), true).sequences, [1001n], "an emptied store still knows its numbers");
  reopened.close();
});

test("marked frames: bytes stay in their buffer, which is held until the log lets go of it", async (t) => {
  const path = await small(t, 64);
  const store = openDriver(path);
  t.is(store.takeBuffers(), null, "the first request only starts the pool");
  store.round();
  const block = store.takeBuffers()!;
  t.is(block.sizeBytes, blockBytes);
  store.fillBuffer(block.storeOffset + 2048, Buffer.alloc(1000, 0xab));
  const marked = { bytes: Buffer.alloc(1000), timeNs: 1n, storeOffset: block.storeOffset + 2048 };
  const { sequences } = store.write(0, [marked, ...frames(1)], true);
  t.is(sequences.length, 2);
  store.dropUses(block.index, 1);
  store.round();
  const find = () => scanStore(path).blocks.find((each) => each.index === block.index && each.kind === 2);
  t.is(find()?.heldUntil, 1n);
  const record = scanStore(path).blocks[0]!.records[0]!;
  t.deepEqual([record.flags, record.bytes], [1, Buffer.alloc(1000, 0xab)]);
  // The log goes round: once the block of that record is retired, the buffers come free.
  fill(store, 6000);
  t.is(find(), undefined);
  store.close();
});

test("buffers are held over a crash, and let go when nothing names them", async (t) => {
  const path = await small(t, 64);
  let store = openDriver(path);
  store.takeBuffers();
  store.round();
  const [held, idle] = [store.takeBuffers()!, store.takeBuffers()!];
  store.fillBuffer(held.storeOffset, Buffer.from("kept in place"));
  store.write(0, [{ bytes: Buffer.alloc(13), timeNs: 1n, storeOffset: held.storeOffset }], true);
  store.abandon();
  store = openDriver(path);
  t.is(store.framesKept, 1);
  const buffers = scanStore(path)
    .blocks.filter((block) => block.kind === 2)
    .map((block) => block.index);
  t.true(buffers.includes(held.index) && !buffers.includes(idle.index));
  t.is(framesOf(scanStore(path))[0]!.bytes.toString(), "kept in place");
  store.close();
});

test("marking everything cannot eat the log, and logging everything cannot eat the buffers", async (t) => {
  const path = await small(t, 64);
  const store = openDriver(path);
  let taken = 0;
  for (let i = 0; i < 2000; i += 1) {
    const block = store.takeBuffers();
    if (block) {
      const marks = Array.from({ length: 32 }, (_, k) => ({
        bytes: Buffer.alloc(2048),
        timeNs: 1n,
        storeOffset: block.storeOffset + k * 2048,
      }));
      t.is(store.write(0, marks, true).sequences.length, 32);
      store.dropUses(block.index, 1);
      taken += 1;
    }
    store.round();
  }
  t.true(taken > 200, `${taken} buffer blocks through a store of 64`);
  t.true(store.counters().blocksBuffers <= 48);
  t.deepEqual(fill(store, 3000), { reason: "", logged: 3000 });
  for (let i = 0; i < 20; i += 1) store.round();
  t.truthy(store.takeBuffers());
  store.close();
});

test("an import larger than its store keeps its newest frames and its times", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 16 << 20 });
  const appender = await StoreAppender.open(path);
  const eth0 = appender.addInterface("eth0");
  const count = 5000;
  const batch = {
    data: Buffer.alloc(count * 1500, 0x5a),
    count,
    offsets: new Uint32Array(count).map((_, i) => i * 1500),
    capturedLengths: new Uint32Array(count).fill(1500),
    wireLengths: new Uint32Array(count).fill(9000),
    interfaces: new Uint16Array(count).fill(eth0),
    timesNs: new BigInt64Array(count).map((_, i) => BigInt(1e15 - i)),
  };
  for (let i = 0; i < 10; i += 1) await appender.append(batch);
  t.like(appender.counters(), { frames: 50_000, bytes: 75_000_000, refused: 0, shortened: 0 });
  await appender.close();
  const kept = framesOf(scanStore(path));
  t.true(kept.length > 5000 && kept.length < 11_000);
  t.is(kept.at(-1)!.timeNs, BigInt(1e15 - count + 1));
  t.true(kept.every((frame, i) => i === 0 || frame.sequence === kept[i - 1]!.sequence + 1n));
});

test("batches that do not add up are refused before anything is written", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 16 << 20 });
  const appender = await StoreAppender.open(path);
  appender.addInterface("eth0");
  const good = {
    data: Buffer.alloc(100),
    count: 1,
    offsets: Uint32Array.of(0),
    capturedLengths: Uint32Array.of(60),
    wireLengths: Uint32Array.of(60),
    timesNs: BigInt64Array.of(1n),
    interfaces: Uint16Array.of(0),
  };
  for (const [bad, message] of [
    [{ offsets: Uint32Array.of(41) }, /outside of its data/],
    [{ offsets: Uint32Array.of(0xffffffff) }, /outside of its data/],
    [{ wireLengths: Uint32Array.of(59) }, /on the wire/],
    [{ timesNs: BigInt64Array.of(-1n) }, /before 1970/],
    [{ interfaces: Uint16Array.of(1) }, /interface 1/],
    [{ count: 2 }, /fewer entries/],
  ] as const)
    await t.throwsAsync(appender.append({ ...good, ...bad }), { code: "USAGE", message });
  await appender.append(good);
  t.is(appender.counters().frames, 1);
  await appender.close();
});
