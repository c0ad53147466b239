// The engine as its user calls it: what it refuses, ports that stand, tables, and its end.
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { asPasteError, createEngine, type EngineOptions, outcomes } from "../../native/engine.js";
import { engineDefaults, frame, liveSwitch, rule, sumsHold, until } from "../support/live-switch.js";

const refused = (t: ExecutionContext, code: string, message: RegExp, call: () => unknown) => {
  const error = asPasteError(t.throws(call)) as { code: string; message: string };
  t.is(error.code, code);
  t.regex(error.message, message);
};

for (const [what, options, message] of [
  ["no thread", { threads: 0 }, /threads: 0/],
  ["17 threads", { threads: 17 }, /threads: 17/],
  ["a table of 1000", { macEntries: 1000 }, /power of two/],
  ["no share of the table", { macEntriesPerPort: 0 }, /macEntriesPerPort/],
  ["a waiting mode of another world", { wait: "sometimes" as "busy" }, /adaptive, block or busy/],
  ["an unknown durability", { durability: "perhaps" as "strict" }, /strict or relaxed/],
  ["an unknown persistence", { persist: "etch" as "pack" }, /auto, pack or mark/],
] as [string, Partial<EngineOptions>, RegExp][])
  test(`createEngine refuses ${what}`, async (t) => {
    const error = (await t.throwsAsync(createEngine({ ...engineDefaults, ...options }))) as Error & { code: string };
    t.is(error.code, "USAGE");
    t.regex(error.message, message);
  });

test("createEngine refuses a store that is none", async (t) => {
  const store = { path: "/nowhere/store", full: "overwrite" as const, blockTimeoutMs: 1000 };
  await t.throwsAsync(createEngine({ ...engineDefaults, store }));
});

test("a second daemon on the same socket is refused", async (t) => {
  const s = await liveSwitch(t);
  const second = await createEngine({ ...engineDefaults, portsSocket: s.socket });
  refused(t, "PORT", /./, () => second.start());
  await second.drain();
  t.is(s.open("vale0:a").closed, false, "the first one still answers");
});

test("a standing port waits for its client, serves it, and waits again", async (t) => {
  const s = await liveSwitch(t);
  const state = () => s.engine.stats().ports.find((p) => p.name === "vale0:a")?.state;
  s.engine.attach("vale0:a", "");
  t.is(state(), "waiting for its client");
  t.deepEqual(s.engine.macList("vale0"), []);
  const client = s.open("vale0:a");
  t.is(state(), "up");
  t.is(s.engine.stats().ports[0]?.clientPid, process.pid);
  client.close();
  await until(() => state() === "waiting for its client", "the port stands again");
  s.engine.detach("vale0:a");
  t.is(state(), undefined);
});

test("names: in use, unknown, malformed", async (t) => {
  const s = await liveSwitch(t);
  s.open("vale0:a");
  refused(t, "PORT", /attached already/, () => s.engine.attach("vale0:a", ""));
  refused(t, "PORT", /in use/, () => s.open("vale0:a", { reconnectMs: 0 }));
  refused(t, "PORT", /no port vale0:z/, () => s.engine.detach("vale0:z"));
  refused(t, "USAGE", /eth0/, () => s.engine.attach("eth0", ""));
  refused(t, "USAGE", /not known/, () => s.engine.attach("vale0:p", "carrier-pigeon:coop"));
  refused(t, "CAPTURE", /./, () => s.engine.attach("vale0:p", "pcap:/nowhere/at-all.pcap"));
});

test("detach tells the client to stay away", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  s.engine.detach("vale0:a");
  t.is(await a.wait({ timeoutMs: 60_000 }), "gone");
});

test("static addresses: added, listed, not moved, removed", async (t) => {
  const s = await liveSwitch(t);
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")];
  s.engine.macAdd("vale0", "02:00:00:00:00:09", 0, "vale0:b");
  t.deepEqual(s.engine.macList("vale0"), [
    { mac: "02:00:00:00:00:09", fid: 0, port: "vale0:b", static: true, ageMs: 0 },
  ]);
  c.send([frame(0, 9, "I am 9")]);
  await s.settled();
  b.receive();
  a.receive();
  a.send([frame(9, 1, "to 9")]);
  await s.settled();
  t.deepEqual([b.receive().length, c.receive().length], [1, 0]);
  t.is(s.engine.macFlush("vale0", ""), 1, "the learned one");
  t.is(s.engine.macList("vale0").length, 1);
  s.engine.macRemove("vale0", "02:00:00:00:00:09", 0);
  t.is(s.engine.macList("vale0").length, 0);
});

test("tables refuse what makes no sense", async (t) => {
  const s = await liveSwitch(t);
  s.open("vale0:a");
  const add = (name: string, mac: string, fid: number, port: string) => () => s.engine.macAdd(name, mac, fid, port);
  refused(t, "USAGE", /no switch vale7/, add("vale7", "02:00:00:00:00:01", 0, "vale7:a"));
  refused(t, "USAGE", /no MAC address/, add("vale0", "02:00:00:00:00", 0, "vale0:a"));
  refused(t, "USAGE", /no MAC address/, add("vale0", "02:00:00:00:00:0g", 0, "vale0:a"));
  refused(t, "USAGE", /group address/, add("vale0", "01:00:5e:00:00:01", 0, "vale0:a"));
  refused(t, "USAGE", /all zero/, add("vale0", "00:00:00:00:00:00", 0, "vale0:a"));
  refused(t, "USAGE", /VLAN id/, add("vale0", "02:00:00:00:00:01", 4096, "vale0:a"));
  refused(t, "USAGE", /no port vale0:b/, add("vale0", "02:00:00:00:00:01", 0, "vale0:b"));
  refused(t, "USAGE", /not in the table/, () => s.engine.macRemove("vale0", "02:00:00:00:00:01", 0));
  refused(t, "USAGE", /no switch vale9: .*; there is vale0$/, () => s.engine.macList("vale9"));
});

test("an address ages out and floods again; its frames keep it", async (t) => {
  const s = await liveSwitch(t, { macAgeMs: 300 });
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")];
  b.send([frame(0, 2, "here")]);
  await s.settled();
  t.is(s.engine.stats().macLearned, 1);
  await until(() => s.engine.macList("vale0").length === 0, "aged");
  await until(() => s.engine.stats().macAged === 1, "swept");
  for (const port of [a, b, c]) port.receive();
  a.send([frame(2, 1, "where are you")]);
  await s.settled();
  t.deepEqual([b.receive().length, c.receive().length], [1, 1]);
});

test("the list of outcomes has a name and a sentence for each, and the counters have these names", async (t) => {
  const s = await liveSwitch(t);
  s.open("vale0:a");
  const { drops, refusals, notLogged } = outcomes();
  for (const entry of [...drops, ...refusals, ...notLogged]) {
    t.regex(entry.name, /^[a-z_]+$/);
    t.true(entry.sentence.length > 10);
  }
  const stats = s.engine.stats();
  t.deepEqual(
    Object.keys(stats.ports[0]?.counters.dropped ?? {}),
    drops.map((d) => d.name),
  );
  t.deepEqual(
    Object.keys(stats.ports[0]?.counters.refused ?? {}),
    refusals.map((r) => r.name),
  );
  t.deepEqual(
    Object.keys(stats.notLogged),
    notLogged.map((n) => n.name),
  );
});

test("ports, rules and addresses leave their events in the store", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("", { name: "all" })], '[{"name":"all"}]');
  const a = s.open("vale0:a");
  s.open("vale0:b");
  a.send([frame(0, 1, "x")]);
  await s.settled();
  const { reader } = await import("../../logger/index.js").then(async ({ StoreReader }) => ({
    reader: new StoreReader(s.storePath),
  }));
  const info = await reader.info();
  reader.close();
  // Boot, rule set, two ports attached, an address learned, a frame: more records than frames.
  t.is(info.frames, 1);
  t.true(info.records >= 5, `${info.records} records`);
});

test("a capture is a port: its frames flood, and it goes at its end", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("")], "[]");
  const b = s.open("vale0:b");
  const head = Buffer.from("d4c3b2a1020004000000000000000000ffff000001000000", "hex");
  const packets = Array.from({ length: 10 }, (_, i) => {
    const data = frame(5, 4, `packet ${i}`);
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1, 0);
    record.writeUInt32LE(data.length, 8);
    record.writeUInt32LE(data.length, 12);
    return Buffer.concat([record, data]);
  });
  const path = join(s.folder, "ten.pcap");
  writeFileSync(path, Buffer.concat([head, ...packets]));
  s.engine.attach("vale0:p", `pcap:${path},speed=max`);
  await until(() => b.pending === 10, "ten frames");
  await until(() => s.engine.stats().ports.length === 1, "the capture is at its end");
  t.is(s.engine.stats().detached.receivedFrames, 10);
  t.deepEqual(
    (await s.logged()).map((f) => `${f.ingress} ${f.text}`),
    Array.from({ length: 10 }, (_, i) => `vale0:p packet ${i}`),
  );
  sumsHold(t, s.engine.stats());
});

for (const on of ["memory", "disk"] as const)
  test(`drain delivers what is on its way, closes the store clean, and may be called again (${on})`, async (t) => {
    const s = await liveSwitch(t, {}, { on });
    s.engine.setRules([rule("")], "[]");
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
    await a.sendAll(Array.from({ length: 2000 }, (_, i) => frame(0, 1, `${i}`)));
    await until(() => a.sentAll, "taken");
    await s.engine.drain();
    const logged = await s.logged();
    t.is(logged.length, 2000);
    t.is(b.receive(4096).length, 2000);
    await s.engine.drain();
    const stats = s.engine.stats();
    sumsHold(t, stats);
    t.is(stats.ports.length, 0);
    refused(t, "USAGE", /drained/, () => s.engine.setRules([], "[]"));
    refused(t, "USAGE", /drained/, () => s.engine.attach("vale0:x", ""));
    const again = await createEngine({
      ...engineDefaults,
      store: { path: s.storePath, full: "overwrite", blockTimeoutMs: 1000 },
    });
    t.true(again.recovery()?.wasClean);
    await again.drain();
    t.false(existsSync(s.socket));
  });

// Each engine has two threads: once nobody holds them, they must be gone. In a process of its own, which can call the collector.
test("an engine that nobody drained is stopped by the garbage collector", (t) => {
  const url = new URL("../../native/engine.js", import.meta.url).href;
  const program = `
    import { readdirSync } from "node:fs";
    import { createEngine } from ${JSON.stringify(url)};
    const threads = () => readdirSync("/proc/self/task").length;
    const start = async () => (await createEngine(${JSON.stringify(engineDefaults)})).start();
    await start();
    const before = threads();
    for (let i = 0; i < 10; i++) await start();
    const most = threads();
    const end = Date.now() + 10_000;
    while (threads() >= before && Date.now() < end) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(JSON.stringify({ before, most, after: threads() }));`;
  const run = spawnSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", program], { encoding: "utf8" });
  t.is(run.status, 0, run.stderr);
  const { before, most, after } = JSON.parse(run.stdout) as { before: number; most: number; after: number };
  t.true(most >= before + 10, `${before} threads, then ${most}`);
  t.true(after < before, `${after} threads were left`);
});
