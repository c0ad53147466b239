import { existsSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { createStore } from "../../logger/store.js";
import { Random } from "../../logger/traffic/random.js";
import { storeWith, testFolder } from "../logger/store-tools.js";
import { ethernet, ipv4, protocols, types, u8, u16, udp } from "../support/awkward-packets.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { crc32c } from "../support/checksums.js";
import { FrameValues } from "../support/frame-values.js";
import { fieldBytes, type Plan, planBytes, planHolds, type Values } from "../support/index-plan.js";
import { frameMemory } from "../support/native-frame-memory.js";
import { askRun, dissect, type IndexedRecord, type IndexedStore, indexStore } from "../support/native-index.js";
import { skip } from "../support/skip.js";

interface Known {
  values: Values;
  /** The index may say yes although the values say no. */
  loose: boolean;
  record: IndexedRecord;
}

const seconds = 1_000_000_000;
/** What indexStore() takes for it, and askRun(). */
const indexBlockSerial = 77;
const hex = (value: number, bytes: number) => value.toString(16).padStart(2 * bytes, "0");

/** What a run must know about each record of a store, in blocks. Blocks come in the order of their lane. */
function known(store: IndexedStore, tunnels: boolean): Map<number, Known[]> {
  const firsts = new Map<string, { ports?: [number, number]; timeNs: number }>();
  const known = new Map<number, Known[]>();
  for (const block of store.blocks) {
    const list: Known[] = [];
    for (const record of block.records) {
      if (record.repeated || record.type === 2) continue;
      if (record.type !== 1) {
        list.push({ values: new Map([[18, new Set([hex(record.type, 1)])]]), loose: false, record });
        continue;
      }
      const frame = new FrameValues(record.bytes, tunnels);
      for (const [field, bytes] of [["ingress", 4], ["egress", 4], ["rule", 4], ["outcome", 1]] as const) // biome-ignore format: a table
        frame.add({ ingress: 12, egress: 13, rule: 14, outcome: 15 }[field], hex(record[field], bytes));
      if (record.community) frame.add(11, record.community);
      let loose = frame.odd || dissect(record.bytes, tunnels).odd || record.parts > 1;
      for (const { key, first, ports } of frame.fragments) {
        const own = `${block.lane} ${key}`;
        if (first) firsts.set(own, { timeNs: record.timeNs, ...(ports && { ports }) });
        else {
          // Exactly which are resolved is the builder's: its answer must hold them by their ports or as unresolved.
          loose = true;
          const before = firsts.get(own);
          const fresh =
            before !== undefined && record.timeNs >= before.timeNs && record.timeNs - before.timeNs <= 60 * seconds;
          if (fresh && before.ports) {
            frame.add(8, hex(before.ports[0], 2));
            frame.add(9, hex(before.ports[1], 2));
          }
        }
      }
      list.push({ values: frame.values, loose, record });
    }
    known.set(block.index, list);
  }
  return known;
}

/** Ports of later fragments may be known under 8 and 9, or not at all: a question for a port asks for both, as the planner does. */
function withFragments(plan: Plan): Plan {
  if (plan.op === "and" || plan.op === "or") return { op: plan.op, of: plan.of.map(withFragments) };
  if (plan.op !== "range" || (plan.field !== 8 && plan.field !== 9)) return plan;
  const one = Buffer.from([1]);
  return { op: "or", of: [plan, { op: "range", field: 17, low: one, high: one }] };
}

function samplePlan(random: Random, values: readonly Values[], depth: number): Plan {
  if (depth > 0 && random.chance(0.6))
    return {
      op: random.pick(["and", "or"] as const),
      of: Array.from({ length: random.between(1, 3) }, () => samplePlan(random, values, depth - 1)),
    };
  if (random.chance(0.05)) return { op: random.pick(["all", "none"] as const) };
  const field = random.between(1, 18);
  const bytes = fieldBytes[field]!;
  const present = random.chance(0.85) ? random.pick(values).get(field) : undefined;
  const value = Buffer.from(present ? random.pick([...present]) : random.bytes(bytes).toString("hex"), "hex");
  if (random.chance(0.7) || bytes === 1) return { op: "range", field, low: value, high: value };
  // A prefix.
  const [low, high] = [Buffer.from(value), Buffer.from(value)];
  for (let bit = random.below(8 * bytes); bit < 8 * bytes; bit++) {
    low[bit >> 3]! &= ~(0x80 >> (bit & 7));
    high[bit >> 3]! |= 0x80 >> (bit & 7);
  }
  return { op: "range", field, low, high };
}

/** What a run may answer as: a value, or range of values, that more than half of its records have may be "all" in it. */
function relaxed(plan: Plan, records: readonly Known[]): Plan {
  if (plan.op === "and" || plan.op === "or") return { op: plan.op, of: plan.of.map((part) => relaxed(part, records)) };
  if (plan.op !== "range") return plan;
  let matches = 0;
  for (const { values } of records)
    for (const value of values.get(plan.field) ?? [])
      if (planHolds(plan, new Map([[plan.field, new Set([value])]]), () => false)) matches++;
  return matches * 2 > records.length ? { op: "all" } : plan;
}

/** Every record that matches is in the answer, and the others only where that is allowed. */
function compare(
  t: ExecutionContext,
  store: IndexedStore,
  model: Map<number, Known[]>,
  plan: Plan,
  about: string,
): number {
  const asked = withFragments(plan);
  let narrowed = 0;
  for (const run of store.runs) {
    const answer = askRun(run, planBytes(asked), []);
    const may = relaxed(plan, answer.blocks.flatMap((block) => model.get(block.index)!)); // biome-ignore format: one list
    t.is(answer.failure, "", about);
    for (const block of answer.blocks) {
      const list = model.get(block.index)!;
      t.is(block.records, list.length, about);
      if (block.all) continue;
      narrowed++;
      const given = new Set(block.offsets);
      t.deepEqual(
        block.offsets,
        [...given].sort((a, b) => a - b),
        "in order, each once",
      );
      for (const { values, loose, record } of list) {
        const holds = planHolds(plan, values, () => false);
        if (holds && !given.has(record.offset))
          t.fail(`${about}: misses the record at ${block.index}+${record.offset}`);
        if (!loose && !planHolds(may, values, () => false) && given.has(record.offset))
          t.fail(`${about}: has the record at ${block.index}+${record.offset}`);
        given.delete(record.offset);
      }
      t.is(given.size, 0, `${about}: places without a record`);
    }
  }
  return narrowed;
}

const describe = (plan: Plan): string =>
  JSON.stringify(plan, (_, value) => (value?.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value));

for (const tunnels of [false, true])
  test(`random questions on awkward traffic, ${tunnels ? "with" : "without"} tunnels: nothing is missed, nothing else is given`, async (t) => {
    const path = await storeWith(t, awkwardFrames(11, 1500, { giants: true, tiny: true }), {
      sizeBytes: 64 << 20,
      blockBytes: 1 << 16,
    });
    const store = indexStore(path, { tunnels, blocksPerRun: 40 });
    const model = known(store, tunnels);
    const values = [...model.values()].flat().map((one) => one.values);
    let narrowed = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const plan = samplePlan(new Random(seed), values, 3);
        narrowed += compare(t, store, model, plan, describe(plan));
      }),
      { numRuns: 150 },
    );
    t.true(narrowed > 1000, "most blocks are narrowed down");
  });

test("every value of every record leads to it", async (t) => {
  const path = await storeWith(t, awkwardFrames(12, 400), { blockBytes: 1 << 16 });
  const store = indexStore(path, { tunnels: true });
  const model = known(store, true);
  const seen = new Set<string>();
  for (const { values } of [...model.values()].flat())
    for (const [field, set] of values)
      for (const value of set) {
        if (seen.has(`${field} ${value}`)) continue;
        seen.add(`${field} ${value}`);
        const bytes = Buffer.from(value, "hex");
        compare(t, store, model, { op: "range", field, low: bytes, high: bytes }, `${field} ${value}`);
      }
  t.true(seen.size > 400);
});

test("what tunnels hold is not known where the run did not look: all", async (t) => {
  const path = await storeWith(t, awkwardFrames(13, 200), { blockBytes: 1 << 16 });
  const port = Buffer.from([0, 0]);
  const plan = planBytes({ op: "range", field: 8, low: port, high: port, tunnels: true });
  for (const tunnels of [false, true]) {
    const [run] = indexStore(path, { tunnels }).runs;
    t.is(
      askRun(run!, plan, []).blocks.every((block) => block.all),
      !tunnels,
    );
  }
});

test("names of ports answer for them; ports without a name may have any", async (t) => {
  const frames = awkwardFrames(14, 300).map((frame, i) => ({ ...frame, interface: i % 3 }));
  const path = await storeWith(t, frames, { ports: ["left", "right", "middle"], blockBytes: 1 << 16 });
  const [run] = indexStore(path, {}).runs;
  const [names, plan] = [askRun(run!, planBytes({ op: "all" }), []).names, planBytes({ op: "name", test: 0 })];
  t.deepEqual(names.map(({ of, name }) => `${of} ${name}`), ["port left", "port right", "port middle"]); // biome-ignore format: one list
  const model = [...known(indexStore(path, {}), false).values()].flat();
  const id = names[1]!.id;
  const answer = askRun(run!, plan, [{ field: 12, pattern: "r*t" }]);
  t.is(
    answer.blocks.reduce((sum, block) => sum + block.offsets.length, 0),
    model.filter(({ record }) => record.ingress === id).length,
  );
  t.true(answer.blocks.every((block) => !block.all));
  t.true(
    askRun(run!, plan, [{ field: 13, pattern: "*" }]).blocks.every((block) => !block.all && block.offsets.length === 0),
  );
  t.throws(() => askRun(run!, plan, []), { message: /name test that is not there/ });
});

test("fields that do not fit say all; what is left still narrows; at the least a run is its blocks", async (t) => {
  const path = await storeWith(t, awkwardFrames(15, 1500), { blockBytes: 1 << 16, sizeBytes: 32 << 20 });
  const whole = indexStore(path, {});
  const size = whole.runs[0]!.length;
  const model = known(whole, false);
  let omitted = -1;
  for (const part of [1, 0.7, 0.5, 0.3, 0.1]) {
    const store = indexStore(path, { bytesMax: Math.floor(size * part) });
    t.true(store.runs[0]!.length <= size * part);
    const answer = askRun(store.runs[0]!, planBytes({ op: "all" }), []);
    t.true(answer.omitted.length > omitted || part === 0.1);
    omitted = answer.omitted.length;
    for (const field of [1, 5, 7, 9])
      for (const value of [...([...model.values()].flat()[40]!.values.get(field) ?? [])]) {
        const bytes = Buffer.from(value, "hex");
        compare(t, store, model, { op: "range", field, low: bytes, high: bytes }, `${part} ${field} ${value}`);
      }
  }
  const least = indexStore(path, { bytesMax: 0 }).runs[0]!;
  t.true(least.length < 64 + 32 * whole.blocks.length);
  t.true(askRun(least, planBytes({ op: "none" }), []).blocks.every((block) => block.all));
});

test("a block with a damaged header is answered with all, the others as ever", async (t) => {
  const path = await storeWith(t, awkwardFrames(16, 600), { blockBytes: 1 << 16, sizeBytes: 32 << 20 });
  const { runs, blocks } = indexStore(path, { damage: 1 });
  const answer = askRun(runs[0]!, planBytes({ op: "none" }), []);
  t.deepEqual(answer.blocks.map((block) => block.all), blocks.map((_, i) => i === 1)); // biome-ignore format: one list
});

test("a host that is not there costs a few small reads", async (t) => {
  const random = new Random(17);
  const frames = Array.from({ length: 20_000 }, (_, i) => {
    const data = Buffer.alloc(60);
    data.writeUInt16BE(0x0800, 12);
    data.write("45", 14, "hex");
    data[23] = 17;
    random.bytes(12).copy(data, 26);
    data[26] = 10;
    return { data, wireLength: 60, timeNs: BigInt(i) };
  });
  const path = await storeWith(t, frames, { sizeBytes: 32 << 20 });
  const [run] = indexStore(path, { bytesMax: 8 << 20 }).runs;
  const host = (address: string): Plan => {
    const bytes = Buffer.from(`00000000000000000000ffff${address}`, "hex");
    return { op: "or", of: [5, 6].map((field) => ({ op: "range", field, low: bytes, high: bytes })) };
  };
  const answer = askRun(run!, planBytes(host("0b000001")), []);
  t.true(answer.blocks.every((block) => !block.all && block.offsets.length === 0));
  t.true(run!.length > 300_000);
  t.true(answer.reads <= 5 && answer.bytesRead < 24 << 10, `${answer.reads} reads, ${answer.bytesRead} bytes`);
  const present = frames[777]!.data.toString("hex", 26, 30);
  const both: Plan = {
    op: "and",
    of: [host(present), { op: "range", field: 7, low: Buffer.from([17]), high: Buffer.from([17]) }],
  };
  const found = askRun(run!, planBytes(both), []);
  t.is(
    found.blocks.reduce((sum, block) => sum + block.offsets.length, 0),
    1,
  );
  t.true(found.reads <= 8 && found.bytesRead < 40 << 10, `${found.reads} reads, ${found.bytesRead} bytes`);
});

test("frames that were marked in place are indexed by their bytes", async (t) => {
  if (!existsSync("/dev/shm")) return skip(t, "there is no /dev/shm");
  const path = join(testFolder(t, "/dev/shm"), "marked.store");
  await createStore(path, { sizeBytes: 32 << 20, blockBytes: 64 << 10 });
  const memory = frameMemory(path, { place: 1, chunks: 1024 });
  t.true(memory.run(20).marked > 100);
  memory.close();
  const store = indexStore(path, {});
  const model = known(store, false);
  const marked = [...model.values()].flat().filter(({ record }) => record.placed);
  t.true(marked.length > 100);
  for (const { values } of marked.slice(0, 20))
    for (const value of values.get(1) ?? []) {
      const mac = Buffer.from(value, "hex");
      compare(t, store, model, { op: "range", field: 1, low: mac, high: mac }, value);
    }
});

test("later fragments have the ports of their first, unless another one may be theirs", async (t) => {
  const random = new Random(5);
  const hosts = [u8(10, 0, 0, 1), u8(10, 0, 0, 2)] as const;
  const fragment = (at: number, identification: number, port = 0) => {
    const payload = port === 0 ? Buffer.alloc(24, 1) : udp(random, Buffer.alloc(16), hosts, [7, port]);
    const bits = port === 0 ? 3 : 0x2000;
    const data = ethernet(
      random,
      types.ipv4,
      ipv4(random, protocols.udp, payload, { addresses: hosts, identification, fragment: bits }),
    );
    return { data, wireLength: data.length, timeNs: BigInt(1000 + at) * 1_000_000_000n };
  };
  const frames = [
    fragment(0, 1), // before its first
    fragment(1, 1, 80),
    fragment(2, 1),
    fragment(3, 2), // of no first
    fragment(4, 1, 443), // the id again: 80 or 443
    fragment(5, 1),
    fragment(62, 1), // 80 is too old, 443 is not
    fragment(130, 1), // both are
    ...Array.from({ length: 8 }, (_, i) => fragment(131, 100 + i, 9)), // nothing is had by most
  ];
  const path = await storeWith(t, frames, { blockBytes: 1 << 16 });
  const store = indexStore(path, {});
  const places = store.blocks[0]!.records.filter(({ type }) => type === 1).map(({ offset }) => offset);
  const which = (field: number, value: Buffer) =>
    askRun(store.runs[0]!, planBytes({ op: "range", field, low: value, high: value }), []).blocks[0]!.offsets.map((at) => places.indexOf(at)); // biome-ignore format: one line
  t.deepEqual(which(9, u16(80)), [1, 2]);
  t.deepEqual(which(9, u16(443)), [4, 6]);
  t.deepEqual(which(17, u8(1)), [0, 3, 5, 7]);
  t.deepEqual(which(16, u16(80)), [1]);
});

test("a run of a writer that took no Community IDs from behind labels leaves those frames open", async (t) => {
  const frames = Array.from({ length: 64 }, (_, i) => {
    const addresses = [u8(10, 0, 0, 1), u8(10, 0, 0, 2)] as const;
    const packet = ipv4(new Random(i), protocols.udp, udp(new Random(i), u8(0), addresses, [i + 1, 53]), { addresses });
    const label = Buffer.from([0, 1, 1, 64]);
    const frame = (type: number, ...parts: Buffer[]) => ethernet(new Random(i), type, ...parts);
    const session = Buffer.from([0x11, 0, 0, 5, 0, 0, 0, 0x21]);
    const behind = [
      frame(types.mpls, label, packet),
      frame(0x8848, label, packet),
      frame(types.pppoeSession, session, packet),
    ];
    return i % 8 === 0 ? behind[(i / 8) % 3]! : frame(types.ipv4, packet);
  });
  const path = await storeWith(
    t,
    frames.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i) })),
  );
  const store = indexStore(path, { tunnels: true });
  t.is(store.runs.length, 1);
  const run = store.runs[0]!;
  const records = store.blocks[0]!.records.filter(({ type }) => type === 1);
  t.is(records.length, 64);
  t.true(records.every(({ community }) => community !== undefined));
  const offsetsOf = (which: (i: number) => boolean) => records.filter((_, i) => which(i)).map(({ offset }) => offset);
  const asked = (of: Buffer, i: number) => {
    const value = records[i]!.community!;
    return askRun(of, planBytes({ op: "range", field: 11, low: value, high: value }), []).blocks[0]!.offsets;
  };
  const earlier = Buffer.from(run);
  earlier.writeUInt16LE(earlier.readUInt16LE(6) & ~4, 6);
  earlier.writeUInt32LE(crc32c(earlier.subarray(0, 60), indexBlockSerial), 60);
  for (let i = 0; i < 64; i++) {
    t.deepEqual(
      asked(run, i),
      offsetsOf((each) => each === i),
    );
    t.deepEqual(
      asked(earlier, i),
      offsetsOf((each) => each === i || each % 8 === 0),
    );
  }
});

test("a damaged run is refused, or says so, or answers a superset; it never crashes", async (t) => {
  const path = await storeWith(t, awkwardFrames(18, 800), { blockBytes: 1 << 16, sizeBytes: 32 << 20 });
  const store = indexStore(path, { tunnels: true });
  const run = store.runs[0]!;
  const model = known(store, true);
  const values = [...model.values()].flat().map((one) => one.values);
  const outcomes = { refused: 0, said: 0, answered: 0 };
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new Random(seed);
      const plan = samplePlan(random, values, 2);
      const asked = planBytes(withFragments(plan)); // what compare() asks: more may be read for it than for the plan
      const broken = Buffer.from(run);
      if (random.chance(0.2)) broken.fill(random.below(256), random.below(run.length));
      else for (let i = random.between(1, 4); i > 0; i--) broken[random.below(run.length)]! ^= 1 << random.below(8);
      const given = random.chance(0.1) ? broken.subarray(0, random.below(run.length)) : broken;
      let failure: string;
      try {
        failure = askRun(given, asked, []).failure;
      } catch (error) {
        t.regex((error as Error).message, /^STORE: an index run is damaged/);
        outcomes.refused++;
        return;
      }
      if (failure !== "") {
        t.regex(failure, /^an index run is damaged: /);
        t.true(askRun(given, asked, []).blocks.every((block) => block.all));
        outcomes.said++;
      } else {
        compare(t, { runs: [given], blocks: store.blocks }, model, plan, describe(plan));
        outcomes.answered++;
      }
    }),
    { numRuns: 400 },
  );
  t.true(outcomes.refused > 0 && outcomes.said > 0 && outcomes.answered > 0, JSON.stringify(outcomes));
});
