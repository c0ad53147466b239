// What is read by the index is exactly what a scan from end to end reads.
import { openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { compileFilter } from "../../logger/filter/compile.js";
import { type FrameOptions, openStore } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { Random } from "../../logger/traffic/random.js";
import { TrafficGenerator } from "../../logger/traffic/traffic-generator.js";
import { openNativeReader } from "../../native/reader.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { indexOf, openDriver, scanStore, storeFolder } from "../support/native-store.js";
import { firstDifference, stopHeartbeat, storedFrames, storeWith, testFolder } from "./store-tools.js";

const blockBytes = 65536;
const filters = [
  "host 10.0.0.1",
  "tcp",
  "not tcp",
  "arp or icmp or icmp6",
  "tcp port 80 or udp port 53",
  "vlan 10 and ip",
  "ether host 02:00:00:00:00:01",
  "net 10.0.0.0/29 and greater 500",
  "in-port port-b and tcp",
  "any port 53",
  "host 203.0.113.77",
];

/** The same reading with and without the index gives the same frames; returns what the indexed ones counted together. */
async function same(t: ExecutionContext, path: string, list: readonly string[], options: FrameOptions = {}) {
  const sum = { matched: 0, blocksIndexed: 0, recordsJumped: 0, runsRead: 0, runsDamaged: 0 };
  for (const filter of list) {
    const reader = openStore(path);
    const scanned = await storedFrames(reader, { ...options, filter, index: false });
    t.is(reader.counters.blocksIndexed, 0);
    const found = await storedFrames(reader, { ...options, filter });
    t.is(firstDifference(found, scanned), -1, filter);
    t.deepEqual(
      found.map(({ sequence, ingress }) => `${sequence} ${ingress}`),
      scanned.map(({ sequence, ingress }) => `${sequence} ${ingress}`),
      filter,
    );
    const counters = reader.counters;
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += counters[name];
    if (filter.includes("any port")) continue; // later fragments are known by earlier ones
    const backward = await storedFrames(reader, { ...options, filter, reverse: true });
    t.is(firstDifference(backward, [...scanned].reverse()), -1, `${filter}, newest first`);
  }
  return sum;
}

for (const seed of [1, 2])
  test(`awkward frames, giants across blocks among them, seed ${seed}`, async (t) => {
    const frames = awkwardFrames(seed, 2500, { giants: true, tiny: true }).map((frame, i) => ({
      ...frame,
      interface: i % 7 === 0 ? 1 : 0,
    }));
    const path = await storeWith(t, frames, { blockBytes, sizeBytes: 192 << 20 });
    const all = await storedFrames(path);
    const sum = await same(t, path, filters);
    t.true(sum.matched > 1000 && sum.blocksIndexed > 100 && sum.recordsJumped > 100 && sum.runsRead > 0);
    t.is(sum.runsDamaged, 0);
    const [fromSequence, toSequence] = [all[300]!.sequence, all[1500]!.sequence];
    await same(t, path, filters.slice(0, 5), {
      fromSequence,
      toSequence,
      snaplen: 70,
      batchFrames: 5,
      batchBytes: 2000,
    });
  });

test("believable traffic: one host's frames are jumped to, an absent host's blocks are not read", async (t) => {
  const path = join(testFolder(t), "a.store");
  await createStore(path, { sizeBytes: 64 << 20 });
  const appender = await StoreAppender.open(path);
  for (const name of ["port-a", "port-b", "port-c", "port-d"]) appender.addInterface(name);
  const generator = new TrafficGenerator({ seed: 5, hosts: 200 });
  for (let i = 0; i < 5; i++) await appender.append(generator.next(10_000));
  await appender.close();
  await same(t, path, [...filters, `after 2024-01-01T00:00:00.2Z and udp`]);
  const reader = openStore(path);
  t.deepEqual(await storedFrames(reader, { filter: "host 203.0.113.77" }), []);
  const { blocksScanned, blocksIndexed, bytesScanned, runsRead } = reader.counters;
  t.true(blocksIndexed > 20 && runsRead >= 1);
  t.deepEqual([blocksScanned, bytesScanned], [0, 0]);
});

/** Sequence, type and bytes of every record, without the descriptions repeated for each block. */
async function recordsOf(path: string, plan?: Uint8Array) {
  const reader = openNativeReader(path);
  const records: string[] = [];
  const { bytes, names } = compileFilter("host 10.0.0.1", { record: "store" });
  reader.start({ framesOnly: false, program: bytes, names, ...(plan && { plan }) });
  for (let more = true; more; ) {
    const batch = await reader.next(8192, 1 << 20);
    const view = Buffer.from(batch.bytes);
    for (let i = 0; i < batch.count; i++) {
      const [header = 0, at = 0, length = 0] = batch.index.subarray(3 * i);
      if (view[header + 3]! & 16) continue;
      records.push(`${view.readBigUInt64LE(header + 8)} ${view[header + 2]} ${view.toString("hex", at, at + length)}`);
    }
    more = batch.more;
  }
  const counters = reader.counters();
  reader.close();
  return { records, counters };
}

test("events are among the records of an indexed reading, as among those of a scan", async (t) => {
  const path = await storeWith(t, awkwardFrames(3, 1500), { blockBytes });
  const { plan } = compileFilter("host 10.0.0.1", { record: "store" });
  const scanned = await recordsOf(path);
  const indexed = await recordsOf(path, plan);
  t.true(scanned.records.some((record) => record.split(" ")[1] === "9"));
  t.deepEqual(indexed.records, scanned.records);
  t.true(indexed.counters.blocksIndexed > 0);
});

test("several lanes, read while they are written, the newest blocks not indexed yet", async (t) => {
  const path = join(storeFolder(t), "lanes.store");
  await createStore(path, { sizeBytes: 32 << 20, blockBytes });
  const random = new Random(8);
  const frames = awkwardFrames(9, 3000, { giants: false }).map(({ data, timeNs }) => ({ bytes: data, timeNs }));
  const driver = openDriver(path, { lanes: 3 });
  let indexed = 0;
  for (let i = 0; i < frames.length; i += 10) {
    driver.write(random.below(3), frames.slice(i, i + 10), true);
    driver.round();
    if (random.chance(0.1)) driver.indexRound(random.chance(0.3));
    if (i % 500 === 490) indexed += (await same(t, path, filters.slice(0, 5))).blocksIndexed;
  }
  t.true(indexed > 50);
  driver.abandon();
  stopHeartbeat(path);
  t.true((await same(t, path, filters.slice(0, 5))).blocksIndexed > 10, "its writer gone");
});

test("overwritten under its readers: no frame that does not match, none out of order, and at rest all", async (t) => {
  const path = join(testFolder(t), "round.store");
  await createStore(path, { sizeBytes: 16 << 20, blockBytes });
  const writer = await StoreAppender.open(path);
  for (const name of ["port-a", "port-b", "port-c", "port-d"]) writer.addInterface(name);
  const generator = new TrafficGenerator({ seed: 6, hosts: 100 });
  let done = false;
  const writing = (async () => {
    while (!done) await writer.append(generator.next(2000));
  })();
  const filter = compileFilter("tcp port 80 or arp", { record: "store" });
  const reader = openStore(path);
  const sum = { matched: 0, blocksIndexed: 0, corrupt: 0 };
  for (let round = 0; round < 40; round++) {
    let last = -1n;
    for await (const batch of reader.frames({ filter, batchBytes: 65536 }))
      for (let i = 0; i < batch.count; i++) {
        if (batch.sequence(i) <= last) t.fail(`${batch.sequence(i)} follows ${last}`);
        last = batch.sequence(i);
        const bytes = batch.bytes(i);
        const type = bytes[12] === 0x81 ? 16 : 12;
        const found = bytes[type] === 8 ? bytes[type + 1] === 6 || bytes[type + 11] === 6 : bytes[type] === 0x86;
        if (!found) t.fail("a frame that is neither ARP nor TCP");
      }
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += reader.counters[name];
  }
  done = true;
  await writing;
  await writer.close();
  t.true(sum.matched > 0 && sum.blocksIndexed > 0);
  t.is(sum.corrupt, 0);
  t.true((await same(t, path, filters)).blocksIndexed > 100);
});

test("a damaged index is counted, and the answer stays what it was", async (t) => {
  const path = await storeWith(t, awkwardFrames(12, 2500), { blockBytes });
  const { blocksOffset } = scanStore(path);
  const places = indexOf(path).map(({ block, end }) => ({ from: blocksOffset + block * blockBytes, end }));
  t.true(places.length > 0);
  const seed = Number(process.env.PASTE_SEED ?? Date.now() % 1_000_000);
  t.log(`seed ${seed}`);
  const random = new Random(seed);
  const descriptor = openSync(path, "r+");
  let damaged = 0;
  for (let round = 0; round < 60; round++) {
    const place = random.pick(places);
    const at = place.from + 64 + random.below(round % 3 === 0 ? 200 : place.end - 64);
    const [kept, byte] = [Buffer.alloc(1), Buffer.alloc(1)];
    readSync(descriptor, kept, 0, 1, at);
    byte[0] = kept[0]! ^ (1 + random.below(255));
    writeSync(descriptor, byte, 0, 1, at);
    damaged += (await same(t, path, ["host 10.0.0.1", "tcp port 80", "in-port port-a and arp"])).runsDamaged;
    writeSync(descriptor, kept, 0, 1, at);
  }
  t.log(`${damaged} runs were damaged where a question came to it`);
  t.true(damaged > 5);
  t.is((await same(t, path, filters)).runsDamaged, 0);
});
