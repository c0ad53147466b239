// Stores as a running switch writes them: several lanes at once, frames marked in place, blocks overwritten.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { exportFrames } from "../../logger/export.js";
import { openStore } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import type { EngineOptions, FullPolicy } from "../../native/engine.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { frame, type LiveSwitch, liveSwitch, rule, textOf, until } from "../support/live-switch.js";
import { skipPart } from "../support/skip.js";
import { hasTool, runTool } from "../support/tools.js";
import { firstDifference, storedFrames, testFolder } from "./store-tools.js";

/** A switch that logs every frame into a fresh store. */
async function loggingSwitch(
  t: ExecutionContext,
  options: Partial<EngineOptions>,
  sizeBytes = 64 << 20,
  full: FullPolicy = "overwrite",
): Promise<LiveSwitch & { log: string }> {
  const log = join(testFolder(t), "live.store");
  await createStore(log, { sizeBytes });
  const live = await liveSwitch(t, { ...options, store: { path: log, full, blockTimeoutMs: 1000 } });
  live.engine.setRules([rule("", { name: "all", snaplen: 0xffffffff })], "[]");
  return { ...live, log };
}

test("lanes of several threads are merged into one rising sequence, while they are written", async (t) => {
  const { open, engine, log } = await loggingSwitch(t, { threads: 2 });
  // Each alone in its switch: the lanes are what matters here, not the way of the frames.
  const senders = [0, 1, 2, 3].map((i) => ({ name: `vale${i}:p`, port: open(`vale${i}:p`), host: i + 1 }));
  const perSender = 3000;
  const abort = new AbortController();
  const followed: { sequence: bigint; ingress: string; text: string; rule: string; egress: string }[] = [];
  const following = (async () => {
    for await (const batch of openStore(log).follow({ signal: abort.signal }))
      for (let i = 0; i < batch.count; i++)
        followed.push({
          sequence: batch.sequence(i),
          ingress: batch.ingress(i),
          egress: batch.egress(i),
          rule: batch.rule(i),
          text: textOf(Buffer.from(batch.bytes(i))),
        });
  })();
  await Promise.all(
    senders.map(async ({ port, host }) => {
      for (let n = 0; n < perSender; n += 50) {
        await port.sendAll(Array.from({ length: 50 }, (_, i) => frame(0, host, `${n + i}`)));
        port.receive(10_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }),
  );
  await until(() => followed.length >= 4 * perSender, "all frames followed");
  abort.abort();
  await following;
  t.is(followed.length, 4 * perSender);
  t.true(
    followed.every((each, i) => i === 0 || each.sequence > followed[i - 1]!.sequence),
    "rising",
  );
  for (const { name } of senders)
    t.deepEqual(
      followed.filter((each) => each.ingress === name).map((each) => each.text),
      Array.from({ length: perSender }, (_, i) => `${i}`),
      `all of ${name}, in order`,
    );
  t.deepEqual([...new Set(followed.map((each) => `${each.rule}>${each.egress}`))], ["all>*"]);
  const again = await storedFrames(log);
  t.deepEqual(
    again.map((each) => each.sequence),
    followed.map((each) => each.sequence),
  );
  const { problems } = await openStore(log).verify();
  t.deepEqual(problems, []);
  const info = await openStore(log).info();
  t.is(info.frames, engine.stats().logged);
  t.true(info.writerAlive);
});

for (const persist of ["mark", "pack", "auto"] as const)
  test(`frames of a capture port are read back whole: ${persist}`, async (t) => {
    const { engine, log, folder } = await loggingSwitch(t, { persist });
    const frames = awkwardFrames(71, 2000, { cuts: false, lengthMax: 9000 }).filter((each) => each.data.length >= 14);
    const capture = join(folder, "in.pcapng");
    const writer = new PcapngWriter();
    writeFileSync(
      capture,
      Buffer.concat([writer.header([{ name: "eth0", linkType: 1, snaplen: 0 }]), writer.append(batchOf(frames))]),
    );
    engine.attach("vale0:p", `pcap:${capture},speed=max`);
    await until(() => engine.stats().logged >= frames.length, "all frames logged");
    const found = await storedFrames(log);
    const timeless = (each: { data: Buffer; wireLength: number }) => ({ ...each, timeNs: 0n });
    t.is(firstDifference(found.map(timeless), frames.map(timeless)), -1);
    const reader = openStore(log);
    const { problems } = await reader.verify();
    t.deepEqual(problems, []);
    const info = await reader.info();
    if (persist === "mark") t.true(info.blocksBuffers > 0, "marked in place");
    let outcomes = 0;
    for await (const batch of reader.frames())
      for (let i = 0; i < batch.count; i++) outcomes += batch.outcome(i) === "no_destination" ? 1 : 0;
    t.is(outcomes, frames.length, "nobody else was there");
  });

test("a follower that is overtaken goes on with the oldest that is left", async (t) => {
  const { engine, log, folder } = await loggingSwitch(t, { persist: "pack" }, 16 << 20);
  const frames = Array.from({ length: 500 }, (_, i) => ({ data: frame(0, 1, `${i}`, 1400), timeNs: BigInt(i) }));
  const capture = join(folder, "loop.pcapng");
  const writer = new PcapngWriter();
  writeFileSync(
    capture,
    Buffer.concat([writer.header([{ name: "eth0", linkType: 1, snaplen: 0 }]), writer.append(batchOf(frames))]),
  );
  const reader = openStore(log);
  const abort = new AbortController();
  const following = reader.follow({ signal: abort.signal, batchFrames: 50 });
  engine.attach("vale0:p", `pcap:${capture},speed=max,loop=0`);
  await following.next();
  // While nobody asks for the next batch, the store is written over more than once.
  const start = engine.stats().logged;
  await until(() => engine.stats().logged > start + 40_000, "the store is overwritten");
  let last = -1n;
  for (let batches = 0; batches < 200; batches++) {
    const { value, done } = await following.next();
    if (done || !value) break;
    for (let i = 0; i < value.count; i++) {
      if (value.sequence(i) <= last) t.fail("sequences rise");
      if (value.bytes(i).length !== 1400) t.fail("whole frames");
      last = value.sequence(i);
    }
  }
  t.true(reader.counters.overtaken > 0);
  t.is(reader.counters.corrupt, 0);
  engine.detach("vale0:p");
  abort.abort();
  await following.return();
});

test("what a full store could not take is in the log, and in an export as drop counts", async (t) => {
  const { engine, log, open } = await loggingSwitch(t, { persist: "pack" }, 16 << 20, "stop");
  const port = open("vale0:a");
  const send = (count: number) => port.sendAll(Array.from({ length: count }, (_, i) => frame(2, 1, `${i}`, 1400)));
  const notLogged = () => engine.stats().notLogged.store_full ?? 0;
  while (notLogged() < 100) await send(200);
  await until(() => port.sentAll, "all frames taken");
  const lost = notLogged();
  const last = (await storedFrames(log)).at(-1)!.sequence;
  t.true(engine.trim(last / 2n) > 0);
  const before = engine.stats().logged;
  while (engine.stats().logged === before) await send(10);
  await until(() => port.sentAll, "all frames taken");
  const output = `${log}.pcapng`;
  const report = await exportFrames({ sources: [log], output });
  t.is(report.lost, notLogged());
  t.true(report.lost >= lost);
  if (!hasTool("tshark")) return skipPart(t, "tshark is not installed: drop counts not shown");
  const shown = runTool("tshark", ["-n", "-r", output, "-T", "fields", "-e", "frame.drop_count"])!
    .toString()
    .split("\n");
  t.is(
    shown.reduce((sum, each) => sum + Number(each), 0),
    report.lost,
  );
});
