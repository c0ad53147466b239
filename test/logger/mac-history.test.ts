// MAC tables as they were: read out of the log of a switch, and compared with what that switch said at each moment.
import test, { type ExecutionContext } from "ava";
import { type MacTableThen, type Moment, macTablesAt } from "../../logger/mac-history.js";
import { openStore } from "../../logger/reader.js";
import { traceFrame } from "../../logger/trace.js";
import { Random } from "../../logger/traffic/random.js";
import type { PortClient } from "../../native/port-client.js";
import { frame, type LiveSwitch, liveSwitch, rule, until } from "../support/live-switch.js";
import { storedFrames } from "./store-tools.js";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const rowsOf = (entries: readonly { mac: string; fid: number; port: string; static: boolean }[]) =>
  entries.map(({ mac, fid, port, static: fixed }) => `${mac} ${fid} ${port} ${fixed}`).toSorted();

async function now(s: LiveSwitch): Promise<{ sequence: bigint; timeNs: bigint }> {
  const reader = openStore(s.storePath);
  const { nextSequence, newestTimeNs } = await reader.info();
  reader.close();
  return { sequence: nextSequence, timeNs: newestTimeNs };
}

async function tables(t: ExecutionContext, s: LiveSwitch, moment: Moment, complete = true): Promise<MacTableThen> {
  const then = await macTablesAt(s.storePath, moment);
  t.is(then.complete, complete, then.remarks.join("; "));
  return then;
}

test("at every moment the tables are those that the switch had", async (t) => {
  const seed = Number(process.env.PASTE_SEED ?? 4711);
  const random = new Random(seed);
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  const names = ["vale0:a", "vale0:b", "vale0:c", "vale1:a"];
  const open = new Map<string, PortClient>(names.map((name) => [name, s.open(name)]));
  const moments: { sequence: bigint; timeNs: bigint; rows: string[] }[] = [];
  const steps: (() => Promise<void> | void)[] = [
    () => open.get(random.pick([...open.keys()]))!.sendAll([frame(random.below(9), 1 + random.below(8))]),
    () =>
      open.get(random.pick([...open.keys()]))!.sendAll([frame(0, 1 + random.below(8)), frame(2, 1 + random.below(8))]),
    () =>
      s.engine.macAdd(
        "vale0",
        `02:00:00:00:01:0${random.below(4)}`,
        random.below(2),
        random.pick(["vale0:a", "vale0:b"]),
      ),
    () => s.engine.macFlush("vale0", random.chance(0.5) ? "vale0:a" : ""),
  ];
  for (let i = 0; i < 60; i++) {
    await steps[i % 8 === 7 ? 3 : i % 5 === 4 ? 2 : random.below(2)]!();
    await s.settled();
    if (i === 40) {
      open.get("vale0:c")!.close();
      open.delete("vale0:c");
      await until(() => s.engine.stats().ports.every((port) => port.name !== "vale0:c"), "the port is gone");
    }
    const rows = rowsOf([...s.engine.macList("vale0"), ...s.engine.macList("vale1")]);
    moments.push({ ...(await now(s)), rows });
  }
  for (const { sequence, timeNs, rows } of moments) {
    t.deepEqual(rowsOf((await tables(t, s, { sequence })).entries), rows, `seed ${seed}, before record ${sequence}`);
    t.deepEqual(rowsOf((await tables(t, s, { timeNs })).entries), rows, `seed ${seed}, at ${timeNs}`);
  }
  t.true(moments.some(({ rows }) => rows.length > 6));
});

test("a flush is one, however many addresses it takes, and what it took is told; statics stay", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.macAdd("vale0", "02:00:00:00:ff:01", 0, "vale0:a");
  const station = (i: number) => frame(0, i + 1);
  for (let i = 0; i < 600; i += 100) {
    await a.sendAll(Array.from({ length: 100 }, (_, k) => station(i + k)));
    await s.settled();
    await pause(120); // more at a time than are logged would be missing
  }
  await b.sendAll([frame(0, 5000)]);
  await s.settled();
  t.is(s.engine.macFlush("vale0", "vale0:a"), 600);
  const behind = await now(s);
  const then = await tables(t, s, { sequence: behind.sequence });
  t.deepEqual(rowsOf(then.entries), rowsOf(s.engine.macList("vale0")));
  t.is(then.flushed.length, 600);
  t.regex(then.remarks.join(), /^the addresses behind vale0:a were flushed at 20\d\d-\S+ \(record \d+\)$/);
  await a.sendAll([station(7)]);
  await s.settled();
  t.is(s.engine.macFlush("vale0", ""), 2);
  t.is(s.engine.macFlush("vale0", ""), 0, "nothing was left");
  await b.sendAll([frame(8, 5001)]);
  await s.settled();
  const after = await tables(t, s, { sequence: (await now(s)).sequence });
  t.deepEqual(rowsOf(after.entries), rowsOf(s.engine.macList("vale0")));
  t.deepEqual(
    after.remarks.map((each) => each.replace(/ at .*/, "")),
    ["the addresses behind vale0:a were flushed", "the table of vale0 was flushed"],
  );
  const last = (await storedFrames(s.storePath)).at(-1)!;
  const { destination } = await traceFrame(s.storePath, last.sequence);
  t.is(!destination.known && destination.why, "unknown");
  t.is(!destination.known && destination.flushed?.mac, "02:00:00:00:00:08");
});

test("an address ages in the log as in the switch, and says how it was known", async (t) => {
  const s = await liveSwitch(t, { macAgeMs: 3000 }, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  await a.sendAll([frame(0, 1)]);
  await s.settled();
  await b.sendAll([frame(1, 2), frame(0, 1)]);
  await s.settled();
  const { sequence } = await now(s);
  await until(() => s.engine.macList("vale0").length === 0, "aged");
  await until(() => s.engine.stats().ports.length === 2, "the port list");
  const then = await tables(t, s, { sequence });
  t.deepEqual(
    then.entries.map(({ mac, port, how }) => [mac, port, how]),
    [
      ["02:00:00:00:00:01", "vale0:b", "moved"],
      ["02:00:00:00:00:02", "vale0:b", "learned"],
    ],
  );
  t.true(then.entries.every(({ mayHaveAged, sinceNs }) => !mayHaveAged && sinceNs > 0n));
});

test("without rules changes are not logged, and that is said", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([], "[]");
  const a = s.open("vale0:a");
  await a.sendAll([frame(0, 1)]);
  await s.settled();
  s.engine.setRules([rule("")], "[]");
  await a.sendAll([frame(0, 2)]);
  await s.settled();
  const then = await tables(t, s, { sequence: (await now(s)).sequence }, false);
  t.deepEqual(
    then.entries.map(({ mac }) => mac),
    ["02:00:00:00:00:02"],
  );
  t.regex(then.remarks.join(), /no rule kept anything/);
});

test("more addresses at a time than are logged: those that are missing are said to be", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  const a = s.open("vale0:a");
  s.open("vale0:b");
  const stations = Array.from({ length: 2000 }, (_, i) => {
    const bytes = Buffer.from(frame(0, 1));
    bytes.writeUInt16BE(i + 1, 10);
    return bytes;
  });
  await a.sendAll(stations);
  await s.settled();
  const then = await tables(t, s, { sequence: (await now(s)).sequence }, false);
  const live = s.engine.macList("vale0").length;
  t.true(then.entries.length < live, `${then.entries.length} of ${live}`);
  t.regex(then.remarks.join(), /more addresses changed at a time than are logged/);
});

test("where the log was overwritten, what came later tells what was there; the rest is said to be unknown", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", blockBytes: 64 << 10 });
  s.engine.setRules([rule("")], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  await a.sendAll([frame(0, 1), frame(0, 2)]);
  await s.settled();
  const filler = Array.from({ length: 64 }, () => frame(0, 1, "", 1500));
  let oldest = 1n;
  while (oldest < 500n) {
    await a.sendAll(filler);
    b.receive(4096);
    await s.settled();
    const reader = openStore(s.storePath);
    oldest = (await reader.info()).firstSequence;
    reader.close();
  }
  const moment = await now(s);
  t.is((await tables(t, s, moment, false)).entries.length, 0);
  s.open("vale0:c");
  const joined = await tables(t, s, await now(s), false);
  t.is(joined.remarks.length, 1, joined.remarks.join("; "));
  s.engine.macRemove("vale0", "02:00:00:00:00:02", 0);
  await b.sendAll([frame(0, 3)]);
  await s.settled();
  const then = await tables(t, s, moment, false);
  t.deepEqual(
    then.entries.map(({ mac, port, how }) => [mac, port, how]),
    [["02:00:00:00:00:02", "vale0:a", "later"]],
  );
  t.regex(then.remarks.join(), /does not reach back to the switch's start: .* before its oldest record of 20\d\d-/);
  const after = await tables(t, s, { sequence: (await now(s)).sequence }, false);
  t.deepEqual(
    after.entries.map(({ mac, how }) => [mac, how]),
    [["02:00:00:00:00:03", "learned"]],
  );
  const reader = openStore(s.storePath);
  const { createdNs, oldestTimeNs } = await reader.info();
  reader.close();
  const unseen = await macTablesAt(s.storePath, { timeNs: oldestTimeNs - 1n });
  t.regex(
    unseen.remarks.join(),
    /^what was logged up to that time was overwritten: only .* record of 20\d\d-\S+ are known$/,
  );
  t.is(unseen.entries.length, 1, "the one that was removed");
  const earlier = await macTablesAt(s.storePath, { timeNs: createdNs - 1n });
  t.regex(earlier.remarks.join(), /^the store begins later/);
});

test("behind the end of a log entries may have aged; before its beginning there are none", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  await s.open("vale0:a").sendAll([frame(0, 1)]);
  await s.settled();
  const { timeNs, sequence } = await now(s);
  const tomorrow = await macTablesAt(s.storePath, { timeNs: timeNs + 86_400_000_000_000n });
  t.deepEqual(tomorrow.remarks, ["that time is still to come: these are the tables as they are now"]);
  t.deepEqual(tomorrow.switches, ["vale0"]);
  await s.engine.drain();
  const later = await macTablesAt(s.storePath, { timeNs: timeNs + 3_600_000_000_000n });
  t.regex(later.remarks.join(), /log ends before/);
  t.is((await macTablesAt(s.storePath, { sequence: 1n })).entries.length, 0);
  const earlier = await macTablesAt(s.storePath, { timeNs: timeNs - 86_400_000_000_000n });
  t.deepEqual([earlier.entries.length, earlier.complete], [0, true]);
  t.regex(earlier.remarks.join(), /^the store begins later: no switch had written to it by then$/);
  t.is((await macTablesAt(s.storePath, { sequence })).entries[0]?.mayHaveAged, false);
});
