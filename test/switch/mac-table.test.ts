import test from "ava";
import fc from "fast-check";
import { macTableAddon } from "../support/native-mac-table.js";
import { MacModel } from "./mac-table-model.js";

const addon = macTableAddon();
const make = (options: Partial<{ entries: number; entriesPerPort: number; ageMs: number; seed: number }> = {}) => {
  const table = addon.macTable({ entries: 1024, entriesPerPort: 1024, ageMs: 1000, seed: 1, ...options });
  for (let port = 0; port < 8; port++) table.addPort(port, 100 + port);
  return table;
};

test("a station that moves a, b, a again is found at a, at once", (t) => {
  const table = make();
  t.is(table.learn(0x20000000001, 0, 0, 1), "learned");
  t.is(table.lookup(0x20000000001, 0, 1), 0);
  t.is(table.learn(0x20000000001, 0, 1, 1), "moved");
  t.is(table.lookup(0x20000000001, 0, 1), 1);
  t.is(table.learn(0x20000000001, 0, 0, 1), "moved");
  t.is(table.lookup(0x20000000001, 0, 1), 0);
  t.deepEqual(table.takeEvents().events, [
    "learned 2199023255553 0 100",
    "moved 2199023255553 0 101",
    "moved 2199023255553 0 100",
  ]);
});

for (const [what, mac] of [
  ["broadcast", 0xffffffffffff],
  ["IPv4 multicast", 0x01005e000001],
  ["all zero", 0],
] as const)
  test(`the source ${what} is refused in any FID`, (t) => {
    const table = make();
    t.is(table.learn(mac, 0, 0, 1), "source");
    t.is(table.learn(mac, 7, 0, 1), "source");
    t.is(table.lookup(mac, 0, 1), -1);
    t.is(table.lookup(mac, 7, 1), -1);
    t.is(table.counters().entries, 0);
  });

test("the same address in another FID is another station", (t) => {
  const table = make();
  table.learn(0x20000000001, 10, 0, 1);
  table.learn(0x20000000001, 20, 1, 1);
  t.is(table.lookup(0x20000000001, 10, 1), 0);
  t.is(table.lookup(0x20000000001, 20, 1), 1);
  t.is(table.lookup(0x20000000001, 0, 1), -1);
});

test("an entry expires exactly ageMs after its last frame, swept or not", (t) => {
  const table = make({ ageMs: 1000 });
  table.learn(0x20000000001, 0, 0, 5);
  table.learn(0x20000000001, 0, 0, 8);
  t.is(table.lookup(0x20000000001, 0, 17), 0);
  t.is(table.lookup(0x20000000001, 0, 18), -1);
  t.is(table.counters().entries, 1, "its place is not reclaimed yet");
  t.is(table.age(18, 0, 10_000), 0);
  t.is(table.counters().entries, 0);
  t.is(table.counters().aged, 1);
});

test("a tick that another thread has not seen yet does not expire an entry", (t) => {
  const table = make({ ageMs: 100 });
  table.learn(0x20000000001, 0, 0, 6);
  t.is(table.lookup(0x20000000001, 0, 5), 0);
});

test("the clock of ageing may wrap", (t) => {
  const table = make({ ageMs: 1000 });
  table.learn(0x20000000001, 0, 0, 0xffffffff);
  t.is(table.lookup(0x20000000001, 0, 3), 0);
  t.is(table.lookup(0x20000000001, 0, 9), -1);
});

test("static entries are never aged, moved or flushed, and go with their port", (t) => {
  const table = make({ ageMs: 1000 });
  t.true(table.add(0x20000000001, 0, 3, 0));
  t.is(table.learn(0x20000000001, 0, 1, 5), "static");
  t.is(table.flush(null), 0);
  t.is(table.flush(3), 0);
  table.age(1_000_000, 0, 10_000);
  t.is(table.lookup(0x20000000001, 0, 1_000_000), 3);
  table.killPort(3);
  t.is(table.lookup(0x20000000001, 0, 1_000_000), -1, "dead before the sweep");
  t.is(table.sweepPort(3), 1);
  t.is(table.counters().statics, 0);
});

test("a removed port's entries are dead before the sweep and a port with its number inherits nothing", (t) => {
  const table = make();
  for (let i = 1; i <= 100; i++) table.learn(0x20000000000 + i, 0, 2, 1);
  table.killPort(2);
  for (let i = 1; i <= 100; i++) t.is(table.lookup(0x20000000000 + i, 0, 1), -1);
  t.is(table.each(1).length, 0);
  table.addPort(2, 900);
  for (let i = 1; i <= 100; i++) t.is(table.lookup(0x20000000000 + i, 0, 1), -1);
  t.is(table.sweepPort(2), 100);
  t.is(table.counters().entries, 0);
});

test("one port's flood of addresses takes its share and evicts nobody", (t) => {
  const table = make({ entries: 1024, entriesPerPort: 200 });
  const victims = Array.from({ length: 200 }, (_, i) => 0x20000000000 + i * 7919);
  for (const mac of victims) table.learn(mac, 0, 0, 1);
  for (let i = 0; i < 100_000; i++) table.learn(0x40000000000 + i * 104_729, 0, 1, 1);
  for (const mac of victims) t.is(table.lookup(mac, 0, 1), 0);
  const counters = table.counters();
  t.is(counters.entries, 400);
  t.is(counters.refused, 100_000 - 200);
});

test("addresses that one pair of buckets has no place for are refused and counted; those inside stay", (t) => {
  const table = make({ entries: 16, entriesPerPort: 16 });
  const kept: number[] = [];
  for (let i = 1; i <= 1000; i++)
    if (table.learn(0x20000000000 + i, 0, 0, 1) === "learned") kept.push(0x20000000000 + i);
  t.is(kept.length, table.counters().entries);
  t.is(table.counters().refused, 1000 - kept.length);
  for (const mac of kept) t.is(table.lookup(mac, 0, 1), 0);
});

test("an expired entry's place is given to the next address that needs it", (t) => {
  const table = make({ entries: 16, entriesPerPort: 16, ageMs: 1000 });
  for (let i = 1; i <= 16; i++) table.learn(0x20000000000 + i, 0, 0, 1);
  const before = table.counters().entries;
  t.true(before >= 8);
  let learned = 0;
  for (let i = 1; i <= 1000; i++) if (table.learn(0x40000000000 + i, 0, 1, 100) === "learned") learned++;
  t.true(learned >= before, `${learned} of 16 places reused`);
  t.true(table.counters().aged > 0);
});

for (const entries of [1024, 16384, 131072])
  test(`random addresses fill ${entries} entries to over 95 % before the first refusal`, (t) => {
    let worst = 1;
    for (let seed = 1; seed <= 5; seed++) {
      const table = make({ entries, entriesPerPort: entries, seed });
      let random = seed;
      let count = 0;
      for (;;) {
        random = (random * 48_271) % 2_147_483_647;
        const result = table.learn(0x20000000000 + random * 4, 0, 0, 1);
        if (result === "full") break;
        if (result === "learned") count++;
      }
      worst = Math.min(worst, count / entries);
    }
    t.log(`${entries} entries: first refusal at ${(worst * 100).toFixed(1)} % or later (5 seeds)`);
    t.true(worst > 0.95);
  });

test("events beyond what the buffer takes are counted", (t) => {
  const table = make();
  for (let i = 1; i <= 300; i++) table.learn(0x20000000000 + i, 0, 0, 1);
  const { events, lost } = table.takeEvents();
  t.is(events.length, 256);
  t.is(lost, 44);
});

test("threads that learn, look up, move, remove and sweep at once never see one address's port under another", (t) => {
  const { wrong, found, left } = addon.macTableRace(300_000);
  t.is(wrong, 0);
  t.true(found > 1000, `${found} look-ups found something`);
  t.is(left, 0, "the counts come out even");
});

type Step =
  | { kind: "learn" | "add"; mac: number; fid: number; port: number }
  | { kind: "remove"; mac: number; fid: number }
  | { kind: "port" | "flush"; port: number }
  | { kind: "flushAll" | "age" }
  | { kind: "tick"; by: number };

const mac = fc
  .integer({ min: 0, max: 40 })
  .map((n) => (n === 40 ? 0x01005e000001 : n === 0 ? 0 : 0x20000000000 + n * 65_537));
const fid = fc.constantFrom(0, 0, 5);
const port = fc.integer({ min: 0, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ kind: fc.constant("learn" as const), mac, fid, port }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      mac: mac.filter((m) => m > 0x10000000000 && m % 2 ** 48 >= 0x20000000000),
      fid,
      port,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), mac, fid }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("port" as const, "flush" as const), port }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("flushAll" as const, "age" as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("tick" as const), by: fc.integer({ min: 1, max: 6 }) }) },
);

for (const entries of [16, 64])
  test(`does what the model does, ${entries} entries`, (t) => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        (steps, seed) => {
          const perPort = entries / 4;
          const table = make({ entries, entriesPerPort: perPort, ageMs: 1000, seed });
          const model = new MacModel(10, entries, perPort);
          let tick = 1;
          for (const s of steps) {
            if (s.kind === "learn") {
              const real = table.learn(s.mac, s.fid, s.port, tick);
              t.is(model.learn(s.mac, s.fid, s.port, tick, real), real);
            } else if (s.kind === "add") {
              if (table.add(s.mac, s.fid, s.port, tick)) model.add(s.mac, s.fid, s.port, tick);
              // A static entry may take the place of a learned one, never of another static one.
              const left = new Set(table.each(tick).map((e) => `${e.mac} ${e.fid}`));
              for (const [key, entry] of model.entries) if (!left.has(key) && !entry.static) model.entries.delete(key);
            } else if (s.kind === "remove") t.is(table.remove(s.mac, s.fid, tick), model.remove(s.mac, s.fid, tick));
            else if (s.kind === "port") {
              table.killPort(s.port);
              table.sweepPort(s.port);
              model.removePort(s.port);
            } else if (s.kind === "flush" || s.kind === "flushAll") {
              const which = s.kind === "flush" ? s.port : null;
              table.flush(which);
              model.flush(which);
            } else if (s.kind === "age") table.age(tick, 0, 1 << 20);
            else if (s.kind === "tick") tick += s.by;
            const listed = table.each(tick).map((e) => `${e.mac} ${e.fid} ${e.port} ${e.static} ${e.ageMs}`);
            const expected = model.list(tick).map((line) => line.replace(/(true) .*/, "$1"));
            t.deepEqual(listed.map((line) => line.replace(/(true) .*/, "$1")).sort(), expected);
            for (const p of [0, 1, 2, 3])
              t.true(
                listed.filter((line) => line.split(" ")[2] === String(p) && line.includes("false")).length <= perPort,
              );
          }
        },
      ),
      { numRuns: 60 },
    );
  });
