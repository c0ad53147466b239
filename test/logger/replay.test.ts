import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import { replayFrames } from "../../logger/replay.js";
import { createStore } from "../../logger/store.js";
import type { PortClient } from "../../native/port-client.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { frame, liveSwitch, rule, until } from "../support/live-switch.js";
import { firstDifference, storedFrames, storeWith, testFolder } from "./store-tools.js";

/** Frames from host 1 to host 2, numbered, `gapNs` apart. */
function numbered(count: number, gapNs: bigint, bytes = 60) {
  return Array.from({ length: count }, (_, i) => ({
    data: frame(2, 1, `${i}`, bytes),
    wireLength: bytes,
    timeNs: 1_000_000_000n + BigInt(i) * gapNs,
  }));
}

/** Takes whatever comes to a port until told to stop. */
function collect(port: PortClient) {
  const frames: Buffer[] = [];
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      const some = port.receive();
      frames.push(...some);
      if (some.length === 0) await port.wait({ timeoutMs: 20 });
    }
  })();
  return {
    frames,
    stop: async () => {
      stopped = true;
      await done;
    },
  };
}

test("every frame of a store arrives, in order, with original gaps", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const frames = numbered(500, 200_000n);
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const collected = collect(sink);
  const report = await replayFrames({ sources: [store], socket, ports: ["vale0:a"] });
  await until(() => collected.frames.length >= 500, "all frames");
  await collected.stop();
  t.deepEqual(
    collected.frames,
    frames.map((each) => each.data),
  );
  t.is(report.sentFrames, 500);
  t.deepEqual(report.portFrames, [500]);
  const span = 499 * 200_000;
  t.true(report.elapsedNs >= span, `${report.elapsedNs} >= ${span}`);
  t.log(`error p50 ${report.errorP50Ns} ns, p99 ${report.errorP99Ns} ns, max ${report.errorMaxNs} ns`);
  t.true(report.errorP50Ns <= report.errorP99Ns && report.errorP99Ns <= report.errorMaxNs);
  t.is(report.unmapped + report.tooLong + report.empty + report.unconfirmedPorts, 0);
});

const paces: [string, object, number][] = [
  ["twice as fast", { speed: 2 }, 49 * 1e6],
  ["half as fast", { speed: 0.5 }, 196 * 1e6],
  ["2000 frames a second", { framesPerSecond: 2000 }, 49.5e6],
  ["1 Mbit/s", { megabitsPerSecond: 1 }, 99 * 60 * 8 * 1000],
];
for (const [what, pace, expectedNs] of paces)
  test(`pace: ${what}`, async (t) => {
    const { socket } = await liveSwitch(t);
    const store = await storeWith(t, numbered(100, 990_000n), { ports: ["vale0:a"] });
    const report = await replayFrames({ sources: [store], socket, ports: ["vale0:a"], ...pace });
    t.is(report.sentFrames, 100);
    // Never early; late by what the machine is late.
    t.true(report.elapsedNs >= expectedNs * 0.99, `${report.elapsedNs} of ${expectedNs}`);
    t.true(report.elapsedNs <= expectedNs + report.errorMaxNs + 5e6, `${report.elapsedNs} of ${expectedNs}`);
  });

test("as fast as possible into a ring that fills: waited for, nothing lost", async (t) => {
  const { socket, open } = await liveSwitch(t, { threads: 1 });
  const sink = open("vale0:sink", { slots: 4096 });
  const frames = numbered(3000, 1n, 200);
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const collected = collect(sink);
  const report = await replayFrames({ sources: [store], socket, ports: ["vale0:a"], topSpeed: true, slots: 16 });
  await until(() => collected.frames.length >= 3000, "all frames");
  await collected.stop();
  t.is(firstWrong(collected.frames, frames), -1);
  t.is(report.sentFrames, 3000);
  t.true(report.waits > 0, "a ring of 16 slots was full at times");
});

function firstWrong(found: readonly Buffer[], expected: readonly { data: Buffer }[]): number {
  if (found.length !== expected.length) return Math.min(found.length, expected.length);
  return found.findIndex((each, i) => !each.equals(expected[i]!.data));
}

test("loops, limit, preload, filter; times that run backwards", async (t) => {
  const { socket } = await liveSwitch(t);
  const frames = numbered(50, 1000n).map((each, i) => ({ ...each, timeNs: i % 3 === 0 ? 5n : each.timeNs }));
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const send = (options: object) =>
    replayFrames({ sources: [store], socket, ports: ["vale0:a"], topSpeed: true, ...options });
  t.is((await send({ loops: 3 })).sentFrames, 150);
  t.is((await send({ loops: 3, limit: 120 })).sentFrames, 120);
  t.is((await send({ loops: 4, preload: true })).sentFrames, 200);
  t.is((await send({ loops: 4, preload: true, limit: 199 })).sentFrames, 199);
  t.is((await send({ filter: "ether[14] = 0x33" })).sentFrames, 11); // texts 3, 30 to 39
  const paced = await replayFrames({ sources: [store], socket, ports: ["vale0:a"], speed: 1000, loops: 2 });
  t.is(paced.sentFrames, 100);
});

test("several sources: each keeps its gaps, and its distance to those before where it is later", async (t) => {
  const { socket } = await liveSwitch(t);
  const storeFrom = (laterNs: bigint) => {
    const frames = numbered(20, 1_000_000n).map((each) => ({ ...each, timeNs: each.timeNs + laterNs }));
    return storeWith(t, frames, { ports: ["vale0:a"] });
  };
  const [first, later] = await Promise.all([storeFrom(0n), storeFrom(60_000_000n)]);
  for (const [sources, more, leastMs] of [
    [[first, first], {}, 38],
    [[first, first], { loops: 2, preload: true }, 76],
    [[first, later], {}, 79],
    [[later, first], { loops: 2 }, 76],
  ] as const) {
    const report = await replayFrames({ sources, socket, ports: ["vale0:a"], ...more });
    t.true(report.elapsedNs >= leastMs * 1e6, `${JSON.stringify(more)}: ${report.elapsedNs} ns of ${leastMs} ms`);
  }
});

test("frames go back into the ports they came from, by name, by map, across switches; others are counted", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const frames = numbered(90, 1000n).map((each, i) => ({ ...each, interface: i % 3 }));
  const store = await storeWith(t, frames, { ports: ["vale0:a", "vale0:b", "vale0:c"] });
  const send = (options: object) => replayFrames({ sources: [store], socket, ports: [], topSpeed: true, ...options });
  t.deepEqual((await send({ ports: ["vale0:b", "vale0:a", "vale0:c"] })).portFrames, [30, 30, 30]);
  t.deepEqual((await send({ ports: ["vale1:c", "vale1:a", "vale1:b"] })).portFrames, [30, 30, 30]);
  const some = await send({ ports: ["vale0:a", "vale0:x"] });
  t.deepEqual([some.portFrames, some.unmapped], [[30, 0], 60]);
  const mapped = await send({
    ports: ["vale0:x", "vale0:y"],
    map: { "vale0:a": "vale0:x", "vale0:b": "vale0:y" },
  });
  t.deepEqual([mapped.portFrames, mapped.unmapped], [[30, 30], 30]);
  t.deepEqual((await send({ ports: ["vale0:only"] })).portFrames, [90]);
  const came = "they came from vale0:a, vale0:b, vale0:c: say which goes where, --map FROM=TO, or";
  for (const [nowhere, to, hint] of [
    [{ ports: ["vale0:x", "vale0:y"] }, "any of vale0:x, vale0:y", "name one port, which takes all"],
    [{ ports: ["vale0:x"], map: { "vale0:z": "vale0:x" } }, "vale0:x", "leave the map out: one port takes all"],
  ] as const) {
    const message = `none of 90 frames goes into ${to}: ${came} ${hint}`;
    await t.throwsAsync(send(nowhere), { instanceOf: PasteError, code: "PORT", message });
  }
  const sink = open("vale0:sink");
  const collected = collect(sink);
  await send({ ports: ["vale0:a", "vale0:b", "vale0:c"] });
  await until(() => collected.frames.length >= 90, "all frames");
  await collected.stop();
  t.is(collected.frames.length, 90);
});

test("a capture replays as a store does, by its interfaces", async (t) => {
  const { socket } = await liveSwitch(t);
  const frames = numbered(40, 1000n).map((each, i) => ({ ...each, interface: i % 2 }));
  const capture = join(testFolder(t), "in.pcapng");
  const writer = new PcapngWriter();
  const interfaces = ["vale0:a", "vale0:b"].map((name) => ({ name, linkType: 1, snaplen: 0 }));
  writeFileSync(capture, Buffer.concat([writer.header(interfaces), writer.append(batchOf(frames))]));
  const both = await replayFrames({ sources: [capture], socket, ports: ["vale0:a", "vale0:b"], topSpeed: true });
  t.deepEqual(both.portFrames, [20, 20]);
  const one = await replayFrames({ sources: [capture], socket, ports: ["vale0:z"], topSpeed: true, loops: 2 });
  t.deepEqual(one.portFrames, [80]);
  const range = replayFrames({ sources: [capture], socket, ports: ["vale0:z"], toSequence: 5n });
  t.regex((await t.throwsAsync(range, { instanceOf: PasteError }))!.message, /in\.pcapng: a capture has no sequences/);
});

test("frames of which only the first bytes were kept are sent so, and counted", async (t) => {
  const { socket } = await liveSwitch(t);
  const frames = numbered(10, 1n).map((each, i) => ({ ...each, wireLength: i < 3 ? 1514 : 60 }));
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const capture = join(testFolder(t), "in.pcap");
  const writer = new PcapWriter();
  writeFileSync(capture, Buffer.concat([writer.header(), writer.append(batchOf(frames))]));
  for (const source of [store, capture])
    for (const rewrite of [{}, { vlan: "add:7" }]) {
      const to = { sources: [source], socket, ports: ["vale0:a"], topSpeed: true };
      const report = await replayFrames({ ...to, rewrite, loops: 2 });
      t.deepEqual([report.sentFrames, report.cut], [20, 6]);
    }
});

test("replay into a switch that logs: the log holds the same frames", async (t) => {
  const folder = testFolder(t);
  const log = join(folder, "log.store");
  await createStore(log, { sizeBytes: 64 << 20 });
  const { socket, engine, open } = await liveSwitch(t, {
    store: { path: log, full: "overwrite", blockTimeoutMs: 1000 },
  });
  engine.setRules([rule("", { name: "all", snaplen: 0xffffffff })], "[]");
  open("vale0:sink", { slots: 4096 });
  const frames = awkwardFrames(61, 1500, { cuts: false, lengthMax: 9000 }).filter((each) => each.data.length >= 14);
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const report = await replayFrames({ sources: [store], socket, ports: ["vale0:a"], topSpeed: true });
  t.is(report.sentFrames, frames.length);
  await until(() => engine.stats().logged >= frames.length, "all frames logged");
  const logged = await storedFrames(log);
  const timeless = (each: { data: Buffer; wireLength: number }) => ({ ...each, timeNs: 0n });
  t.is(firstDifference(logged.map(timeless), frames.map(timeless)), -1);
  t.true(logged.every((each) => each.ingress === "vale0:a"));
  t.true((await openStore(log).info()).writerAlive);
});

test("ports that a replay holds are never full of what comes for them", async (t) => {
  const { socket, engine } = await liveSwitch(t);
  const frames = Array.from({ length: 9000 }, (_, i) => ({
    data: i % 2 === 0 ? frame(2, 1, `${i}`) : frame(1, 2, `${i}`),
    wireLength: 60,
    timeNs: BigInt(i) * 20_000n,
    interface: i % 2,
  }));
  const store = await storeWith(t, frames, { ports: ["vale0:a", "vale0:b"] });
  const report = await replayFrames({ sources: [store], socket, ports: ["vale0:a", "vale0:b"], slots: 4096 });
  t.deepEqual(report.portFrames, [4500, 4500]);
  await until(() => engine.stats().ports.length === 0, "both ports are gone");
  t.is(engine.stats().detached.forwardedFrames, 9000);
});

/** Detaches vale0:a as soon as something was sent. */
function detachOnce(engine: Awaited<ReturnType<typeof liveSwitch>>["engine"]): (sent: number) => void {
  let detached = false;
  return (sent) => {
    if (sent === 0 || detached) return;
    detached = true;
    engine.detach("vale0:a");
  };
}

test("refused or ended with a clear error", async (t) => {
  const { socket, engine, open } = await liveSwitch(t);
  const store = await storeWith(t, numbered(2000, 1_000_000n), { ports: ["vale0:a"] });
  const send = (options: object) => replayFrames({ sources: [store], socket, ports: ["vale0:a"], ...options });
  const code = async (options: object) =>
    (await t.throwsAsync(async () => send(options), { instanceOf: PasteError }))?.code;
  t.is(await code({ ports: [] }), "USAGE");
  t.is(await code({ ports: ["vale0:a", "vale0:a"] }), "USAGE");
  t.is(await code({ sources: [] }), "USAGE");
  t.is(await code({ sources: ["-", "-"] }), "USAGE");
  t.is(await code({ speed: 0 }), "USAGE");
  t.is(await code({ speed: 1, topSpeed: true }), "USAGE");
  t.is(await code({ loops: -1 }), "USAGE");
  t.is(await code({ map: { x: "vale9:y" } }), "USAGE");
  t.is(await code({ socket: "/nonexistent.sock" }), "PORT");
  open("vale0:taken", { exclusive: true });
  t.is(await code({ ports: ["vale0:taken"] }), "PORT");

  const abort = new AbortController();
  const aborted = await send({ signal: abort.signal, onProgress: (sent: number) => sent > 0 && abort.abort() });
  t.true(aborted.aborted && aborted.sentFrames > 0 && aborted.sentFrames < 2000);

  const gone = await t.throwsAsync(send({ onProgress: detachOnce(engine) }), { instanceOf: PasteError });
  t.is(gone?.code, "PORT");
  t.regex(gone!.message, /vale0:a disappeared after \d+ frames/);
});

/** Replays so many frames of vale0:a, which is detached as soon as the first one was sent; with what it ended. */
async function portGone(t: ExecutionContext, frames: number, gapNs: bigint): Promise<string> {
  const { socket, engine } = await liveSwitch(t);
  const store = await storeWith(t, numbered(frames, gapNs), { ports: ["vale0:a"] });
  const replayed = replayFrames({ sources: [store], socket, ports: ["vale0:a"], onProgress: detachOnce(engine) });
  const gone = await t.throwsAsync(replayed, { instanceOf: PasteError });
  t.is(gone?.code, "PORT");
  return gone!.message;
}

test("a port that goes while nothing is due is missed then, not when the next frame is", async (t) => {
  t.regex(await portGone(t, 2, 3_600_000_000_000n), /vale0:a disappeared after 1 frame was sent/);
});

test("a port that goes is missed between frames that are close, too, and not when its ring is full of them", async (t) => {
  const message = await portGone(t, 1000, 9_000_000n);
  const [, sent] = /vale0:a disappeared after (\d+) frames? w/.exec(message) ?? [];
  t.true(Number(sent) < 1000, message);
});
