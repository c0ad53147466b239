// Words about records: what times mean, which range a filter implies, where the words may be used, and every complaint.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { PasteError } from "../../../logger/errors.js";
import { selectFrames, verifyProgram } from "../../../logger/filter/bpf-program.js";
import { type CompileOptions, compileFilter } from "../../../logger/filter/compile.js";
import { FilterCheck } from "../../../logger/filter/filter-check.js";
import { recordWord, timeEnd } from "../../../logger/filter/record-words.js";
import { packageRoot } from "../../support/skip.js";
import { batchOf } from "./frames.js";

const nowNs = BigInt(Date.parse("2026-11-22T18:00:00.500Z")) * 1_000_000n;
const store: CompileOptions = { record: "store", nowNs };

const milliseconds = (text: string): bigint => BigInt(Date.parse(text)) * 1_000_000n;
const now = new Date(Number(nowNs / 1_000_000n));
const local = (days: number, hours: number, minutes: number, seconds = 0): bigint =>
  BigInt(new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hours, minutes, seconds).getTime()) *
  1_000_000n;

const times: readonly (readonly [text: string, ns: bigint])[] = [
  ["2026-11-22T14:00:00Z", milliseconds("2026-11-22T14:00:00Z")],
  ["2026-11-22t14:00:05.123456789z", milliseconds("2026-11-22T14:00:05Z") + 123456789n],
  ["2026-11-22T14:00:00.25+01:30", milliseconds("2026-11-22T12:30:00.250Z")],
  ["2026-11-22 14:00-05:00", milliseconds("2026-11-22T19:00:00Z")],
  ["2026-11-22T14:00:00.000000250+0130", milliseconds("2026-11-22T12:30:00Z") + 250n], // as JSON and messages print it
  ["2024-02-29T00:00:00Z", milliseconds("2024-02-29T00:00:00Z")],
  ["2026-11-22 14:00", milliseconds("2026-11-22T14:00:00")],
  ["2026-11-22", milliseconds("2026-11-22T00:00:00")],
  ["1763800000", 1763800000n * 1_000_000_000n],
  ["1763800000.5", 1763800000_500_000_000n],
  ["5s", 5_000_000_000n],
  ["1763800000123456789", 1763800000123456789n],
  ["17ns", 17n],
  ["now", nowNs],
  ["15m ago", nowNs - 900n * 1_000_000_000n],
  ["90 seconds  ago", nowNs - 90n * 1_000_000_000n],
  ["2h ago", nowNs - 7200n * 1_000_000_000n],
  ["3d ago", nowNs - 259_200n * 1_000_000_000n],
  ["1 week ago", nowNs - 604_800n * 1_000_000_000n],
  ["today", local(0, 0, 0)],
  ["today 14:00", local(0, 14, 0)],
  ["yesterday", local(-1, 0, 0)],
  ["yesterday 14:00:05", local(-1, 14, 0, 5)],
  ["14:00", local(0, 14, 0)],
  ["7:05:09.5", local(0, 7, 5, 9) + 500_000_000n],
];

for (const [text, ns] of times)
  test(`time: ${text}`, (t) => {
    for (const filter of [
      `after ${text}`,
      `after "${text}"`,
      `tcp or not before '${text}'`,
      `(after ${text}) and tcp`,
    ]) {
      const { range, needs } = compileFilter(filter, store);
      t.is(range.fromNs, filter.startsWith("tcp or") ? 0n : ns, filter);
      t.is(needs.length, 1);
    }
  });

test("the day before the first of a month, and of a year", (t) => {
  for (const day of ["2026-11-01", "2026-01-01"]) {
    const [noon, before] = [new Date(`${day}T12:00:00`), new Date(`${day}T00:00:00`)];
    before.setDate(0);
    const at = BigInt(noon.getTime()) * 1_000_000n;
    const { range } = compileFilter("after yesterday", { record: "store", nowNs: at });
    t.is(range.fromNs, BigInt(before.getTime()) * 1_000_000n);
  }
});

test("local times across a change of the clocks", (t) => {
  const script = `import { compileFilter } from ${JSON.stringify(join(packageRoot, "dist/logger/filter/compile.js"))};
    for (const time of ["2026-03-29 01:59", "2026-03-29 02:30", "2026-03-29 03:00", "2026-10-25 02:30"])
      try { console.log(String(compileFilter("after " + time, { record: "time" }).range.fromNs)); }
      catch (error) { console.log(error.message); }`;
  const options = { env: { ...process.env, TZ: "Europe/Berlin" }, encoding: "utf8" as const };
  const lines = execFileSync(process.execPath, ["--input-type=module", "-e", script], options).trim().split("\n");
  t.deepEqual(lines, [
    String(milliseconds("2026-03-29T00:59:00Z")),
    'filter: "2026-03-29 02:30" is no time at column 7: there is no such day or hour',
    String(milliseconds("2026-03-29T01:00:00Z")),
    String(milliseconds("2026-10-25T00:30:00Z")), // of two the first, in summer time
  ]);
});

const ranges: readonly (readonly [filter: string, from: bigint, to: bigint])[] = [
  ["", 0n, timeEnd],
  ["tcp", 0n, timeEnd],
  ["after 5ns", 5n, timeEnd],
  ["before 9ns", 0n, 9n],
  ["between 5ns and 9ns", 5n, 9n],
  ["between 5ns && 9ns", 5n, 9n],
  ["after 0ns", 0n, timeEnd],
  ["not after 9ns", 0n, 9n],
  ["not before 5ns", 5n, timeEnd],
  ["not not between 5ns and 9ns", 5n, 9n],
  ["not between 5ns and 9ns", 0n, timeEnd],
  ["after 5ns and tcp and before 9ns", 5n, 9n],
  ["after 5ns or tcp", 0n, timeEnd],
  ["after 5ns or between 2ns and 3ns", 2n, timeEnd],
  ["between 5ns and 9ns or between 20ns and 30ns", 5n, 30n],
  ["not (before 5ns or not before 9ns)", 5n, 9n],
  ["not (after 9ns and tcp)", 0n, timeEnd],
  ["(tcp or udp) and (between 5ns and 9ns or port 80) and after 3ns", 3n, timeEnd],
];

for (const [filter, fromNs, toNs] of ranges)
  test(`range implied by: ${filter || "(nothing)"}`, (t) => {
    t.deepEqual(compileFilter(filter, store).range, { fromNs, toNs });
  });

const timeHint = 'write 14:00, "yesterday 14:00:05", 15m ago, 2026-11-22T14:00:00Z or seconds since 1970';
const aTime = "expected a time, such as 14:00, 15m ago or 2026-11-22T14:00:00Z";
const errors: readonly (readonly [filter: string, message: string])[] = [
  ["after", `the filter ends too early at column 6: ${aTime}`],
  ["tcp and after", `the filter ends too early at column 14: ${aTime}`],
  ["after (14:00)", `unexpected "(" at column 7: ${aTime}`],
  ["after yesterdya", `"yesterdya" is no time at column 7: ${timeHint}`],
  ['after "half past two"', `"half past two" is no time at column 8: ${timeHint}`],
  ['after ""', `"" is no time at column 8: ${timeHint}`],
  ["after 15m", `"15m" is no time at column 7: ${timeHint}`],
  ["after 14:00Z", `"14:00Z" is no time at column 7: ${timeHint}`],
  ["after 5.5ns", `"5.5ns" is no time at column 7: ${timeHint}`],
  ["after tcp", `"tcp" is no time at column 7: ${timeHint}`],
  ["after 25:00", '"25:00" is no time at column 7: there is no such day or hour'],
  ["after 24:00", '"24:00" is no time at column 7: there is no such day or hour'],
  ["after today 14:60", '"today 14:60" is no time at column 7: there is no such day or hour'],
  ["after 2026-02-29", '"2026-02-29" is no time at column 7: there is no such day or hour'],
  ["after 2026-02-29T00:00:00Z", '"2026-02-29T00:00:00Z" is no time at column 7: there is no such day or hour'],
  ["after 2026-01-01T00:00+24:00", '"2026-01-01T00:00+24:00" is no time at column 7: there is no such day or hour'],
  ["after 1969-12-31T00:00:00Z", '"1969-12-31T00:00:00Z" is out of range at column 7: times are from 1970 to 2554'],
  ["after 99999 d ago", '"99999 d ago" is out of range at column 7: times are from 1970 to 2554'],
  ["after 18446744073709551616", '"18446744073709551616" is out of range at column 7: times are from 1970 to 2554'],
  [
    "after 1763800000123",
    '"1763800000123" is neither seconds nor nanoseconds since 1970 at column 7: nanoseconds have 18 digits or more, or ns behind them',
  ],
  ["between 13:00", 'the filter ends too early at column 14: expected "and" and the time of the end'],
  ["between 13:00 or 14:00", 'unexpected "or" at column 15: expected "and" and the time of the end'],
  ["between 13:00 and", `the filter ends too early at column 18: ${aTime}`],
  ["after 13:00 14:00", 'unexpected "14" at column 13: expected "and", "or" or the end'],
  [
    "between 14:00 and 13:00",
    "an empty range at column 19: the second time must be later than the first, which counts, while the second does not",
  ],
  [
    "between 14:00 and 14:00",
    "an empty range at column 19: the second time must be later than the first, which counts, while the second does not",
  ],
  ["before 0", "an empty range at column 8: nothing is before 1970"],
  ["after 15:00 and tcp and before 14:00", "an empty range at column 25: nothing is at both of these times"],
  ["in-port", "the filter ends too early at column 8: expected a port's name, such as vale0:a"],
  ["out-port (vale0:a)", 'unexpected "(" at column 10: expected a port\'s name, such as vale0:a'],
  ["rule", "the filter ends too early at column 5: expected a rule's name"],
  ['tcp and rule ""', "an empty name at column 15: every port and rule has one"],
  ["dropped hairpn", 'unknown reason "hairpn" at column 9: did you mean "hairpin"?'],
  ["in-port vale0:a or vale0:b", 'unknown word "vale0" at column 20: "in-port" stands again before each of its values'],
  ["rule web or dns", 'unknown word "dns" at column 13: "rule" stands again before each of its values'],
  ["in-port vale0:a or tpc", 'unknown word "tpc" at column 20: did you mean "tcp"?'],
  ["in-prot vale0:a", 'unknown word "in-prot" at column 1: did you mean "in-port"?'],
  ["host (10.0.0.1 or dropped)", 'unexpected "dropped" at column 19: expected a value'],
];

for (const [filter, message] of errors)
  test(`complains about: ${filter}`, (t) => {
    const error = t.throws(() => compileFilter(filter, store), { instanceOf: PasteError, code: "FILTER" });
    t.is(error.message, `filter: ${message}`);
  });

test("an unknown reason that is near to none is told all of them", (t) => {
  const error = t.throws(() => compileFilter("dropped xyzzyxyzzy", store), { instanceOf: PasteError, code: "FILTER" });
  t.regex(error.message, /at column 9: reasons are runt, .*hairpin/);
});

test("words about records are refused where there are none: in rules wholly, in captures but for the time", (t) => {
  for (const word of ["after 14:00", "before 14:00", "between 13:00 and 14:00"]) {
    const name = word.split(" ")[0];
    t.is(
      t.throws(() => compileFilter(`tcp and not ${word}`), { instanceOf: PasteError, code: "FILTER" }).message,
      `filter: "${name}" asks for more than bytes at column 13: rules see a frame's bytes only: use it where a store is read, as in export and replay`,
    );
    t.notThrows(() => compileFilter(word, { record: "time" }));
  }
  for (const word of ["in-port a", "out-port a", "rule r1", "dropped", "dropped hairpin", "forwarded", "flooded"])
    t.is(
      t.throws(() => compileFilter(`after 14:00 or ${word}`, { record: "time" }), { code: "FILTER" })?.message,
      `filter: "${word.split(" ")[0]}" asks for more than bytes and time at column 16: a capture does not have it: use it where a store is read`,
    );
});

test("the verifier takes record words only up to how many there are", (t) => {
  const { bytes, names } = compileFilter("after 5ns and in-port a or rule b or in-port a or out-port a", store);
  t.deepEqual(
    names.map(({ of, pattern, at }) => [of, pattern, at]),
    [
      ["in-port", "a", 22],
      ["rule", "b", 32],
      ["out-port", "a", 59],
    ],
  );
  t.is(verifyProgram(bytes, recordWord.names + 3), undefined);
  for (const words of [0, 2, recordWord.names, recordWord.names + 2])
    t.regex(verifyProgram(bytes, words) ?? "", /it asks for what only a store's records have/);
  const frames = batchOf([{ data: Buffer.alloc(60), wireLength: 60 }]);
  t.throws(() => selectFrames(bytes, { ...frames, timesNs: BigInt64Array.of(7n) }), { instanceOf: TypeError });
  t.throws(() => selectFrames(compileFilter("after 5ns", store).bytes, frames), { instanceOf: TypeError });
});

test("an offset into a frame never means a record word", (t) => {
  // A frame that no load beyond it may select, and no word either.
  for (const offset of [0xfffff000, 0xffffffff, 4096]) {
    const { bytes } = compileFilter(`ether[${offset}] >= 0 or after 1ns`, { record: "time" });
    const frames = { ...batchOf([{ data: Buffer.alloc(60), wireLength: 60 }]), timesNs: BigInt64Array.of(7n) };
    t.deepEqual([...selectFrames(bytes, frames)], [0]);
  }
});

test("names beyond the limit are refused", (t) => {
  const filter = Array.from({ length: 257 }, (_, i) => `in-port p${i}`).join(" or ");
  t.throws(() => compileFilter(filter, store), { code: "FILTER", message: /more than 256 names at column \d+/ });
});

const seed = Number(process.env.PASTE_SEED ?? Math.floor(Math.random() * 2 ** 31));

test("comparisons of times are those of 64-bit numbers", (t) => {
  t.log(`seed ${seed}`);
  const edge = fc.constantFrom(0n, 1n, 0xffffffffn, 1n << 32n, (1n << 32n) + 1n, (1n << 63n) - 1n);
  const time = fc.oneof(edge, fc.bigInt(0n, (1n << 63n) - 1n), fc.bigInt((1n << 32n) - 3n, (1n << 32n) + 3n));
  fc.assert(
    fc.property(time, time, time, (a, b, frame) => {
      const frames = { ...batchOf([{ data: Buffer.alloc(60), wireLength: 60 }]), timesNs: BigInt64Array.of(frame) };
      const selects = (filter: string) =>
        selectFrames(compileFilter(filter, { record: "time" }).bytes, frames)[0] === 1;
      t.is(selects(`after ${a}ns`), frame >= a);
      if (a > 0n) t.is(selects(`before ${a}ns`), frame < a);
      if (a < b) t.is(selects(`between ${a}ns and ${b}ns`), frame >= a && frame < b);
      if (a < b) t.is(selects(`not between ${a}ns and ${b}ns`), !(frame >= a && frame < b));
    }),
    { seed, numRuns: 300 },
  );
});

test("names that nothing has are told, with near ones", (t) => {
  const filter = compileFilter("in-port vale0:x or out-port vale*:b or rule r9 and in-port vale?:*", store);
  const check = new FilterCheck(filter);
  t.is(check.remarks(1).length, 4);
  t.throws(() => check.remarks(0), {
    code: "FILTER",
    message: /^filter: no record names a port "vale0:x" at column 9: /,
  });
  const whole = { blocksSkipped: 0 };
  check.saw({ ports: [{ name: "vale0:a" }, { name: "vale0:b" }], rules: [] }, whole);
  t.deepEqual(check.remarks(1), [
    'filter: no record names a port "vale0:x" at column 9: did you mean "vale0:a"?',
    'filter: no record names a rule "r9" at column 45: none is named in what was read',
  ]);
  check.saw({ ports: [{ name: "vale0:x" }], rules: [{ name: "web" }] }, whole);
  t.deepEqual(check.remarks(1), ['filter: no record names a rule "r9" at column 45: there are web']);
  check.saw({ ports: [], rules: [] }, { blocksSkipped: 1 });
  t.deepEqual(check.remarks(1), [], "blocks that were not read may name it");
});

test("of a time that is still to come it is said, where nothing was selected", (t) => {
  const later = new FilterCheck(compileFilter(`after ${Math.floor(Date.now() / 1000) + 3600} and tcp`, store));
  t.regex(
    later.remarks(0).join(),
    /^the filter selects nothing before 20\S+Z, which is still to come: a clock without a day/,
  );
  t.deepEqual(later.remarks(1), []);
  t.deepEqual(new FilterCheck(compileFilter("after 1h ago", store)).remarks(0), []);
  t.deepEqual(new FilterCheck(undefined).remarks(0), []);
});
