import { EventEmitter } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import test from "ava";
import { type ReplayOptions, replayFrames } from "../../logger/replay.js";
import { controlByKeyboard, ReplayControl } from "../../logger/replay-control.js";
import type { PortClient } from "../../native/port-client.js";
import { frame, liveSwitch, textOf, until } from "../support/live-switch.js";
import { storedFrames, storeWith } from "./store-tools.js";

const numbered = (count: number, gapNs: bigint, firstNs = 1_000_000_000n) =>
  Array.from({ length: count }, (_, i) => ({
    data: frame(2, 1, `${i}`),
    wireLength: 60,
    timeNs: firstNs + BigInt(i) * gapNs,
  }));

/** Texts of the frames that have come. */
function texts(port: PortClient, into: string[] = []): string[] {
  into.push(...port.receive().map(textOf));
  return into;
}

const options = (store: string, socket: string, more: Partial<ReplayOptions>): ReplayOptions => ({
  sources: [store],
  socket,
  ports: ["vale0:a"],
  ...more,
});

test("paused from the start: frame by frame, then the rest at its own pace", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const store = await storeWith(t, numbered(40, 1_000_000n), { ports: ["vale0:a"] });
  const control = new ReplayControl();
  control.pause();
  const done = replayFrames(options(store, socket, { control }));
  const seen: string[] = [];
  for (let i = 1; i <= 5; i++) {
    control.step();
    await until(() => texts(sink, seen).length >= i, `frame ${i}`);
    t.is(seen.length, i, "one frame for a step");
  }
  t.true(control.paused);
  control.resume();
  const report = await done;
  await until(() => texts(sink, seen).length >= 40, "the rest");
  t.deepEqual(
    seen,
    numbered(40, 1n).map(({ data }) => textOf(data)),
  );
  t.is(report.sentFrames, 40);
  t.true(report.pausedNs > 0);
  t.true(report.elapsedNs >= report.pausedNs + 34 * 1_000_000, "behind the pause the gaps are what they were");
});

test("paused in the middle, also far from the next frame; at top speed, too", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const store = await storeWith(t, numbered(3, 3_600_000_000_000n), { ports: ["vale0:a"] });
  for (const topSpeed of [false, true]) {
    const control = new ReplayControl();
    if (topSpeed) control.pause();
    const seen: string[] = [];
    const done = replayFrames(options(store, socket, { control, topSpeed }));
    if (!topSpeed) await until(() => texts(sink, seen).length >= 1, "the first");
    if (!topSpeed) control.pause();
    for (let i = seen.length + 1; i <= 3; i++) {
      control.step();
      await until(() => texts(sink, seen).length >= i, `frame ${i}`);
    }
    t.is((await done).sentFrames, 3);
    t.deepEqual(seen, ["0", "1", "2"]);
  }
});

test("a step over a gap longer than any machine is up: the rest keeps its own pace", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const years = 50n * 365n * 86_400n * 1_000_000_000n;
  const [first, second, third] = numbered(3, 1_000_000n);
  const frames = [first!, { ...second!, timeNs: years }, { ...third!, timeNs: years + 1_000_000n }];
  const store = await storeWith(t, frames, { ports: ["vale0:a"] });
  const control = new ReplayControl();
  const done = replayFrames(options(store, socket, { control }));
  const seen: string[] = [];
  await until(() => texts(sink, seen).length >= 1, "the first");
  control.step();
  await until(() => texts(sink, seen).length >= 2, "the second");
  control.resume();
  await until(() => texts(sink, seen).length >= 3, "the third");
  t.is((await done).sentFrames, 3);
});

test("stopped before it began: no frame, no marker", async (t) => {
  const { settled, socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const store = await storeWith(t, numbered(3, 1n), { ports: ["vale0:a"] });
  const beginAtNs = BigInt(Date.now() + 3_600_000) * 1_000_000n;
  // Its thread had met the first frame, and waited for its time, where the report has that time.
  for (let waitMs = 1, waited = false; !waited; waitMs *= 2) {
    const signal = AbortSignal.timeout(waitMs);
    const report = await replayFrames(options(store, socket, { beginAtNs, marker: "never", signal }));
    t.is(report.sentFrames, 0);
    waited = report.beganNs > 0n;
  }
  await settled();
  t.deepEqual(texts(sink), []);
});

test("a stop ends a pause", async (t) => {
  const { socket } = await liveSwitch(t);
  const store = await storeWith(t, numbered(3, 1n), { ports: ["vale0:a"] });
  const control = new ReplayControl();
  control.pause();
  const abort = new AbortController();
  const done = replayFrames(options(store, socket, { control, signal: abort.signal }));
  setImmediate(() => abort.abort());
  const report = await done;
  t.true(report.aborted);
  t.is(report.sentFrames, 0);
});

test("a pause behind the last frame is none of the time from the first to the last", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const store = await storeWith(t, numbered(3, 1n), { ports: ["vale0:a"] });
  const control = new ReplayControl();
  control.step();
  const abort = new AbortController();
  const done = replayFrames(options(store, socket, { control, signal: abort.signal }));
  await until(() => texts(sink).length === 1, "the first");
  await new Promise((resolve) => setTimeout(resolve, 20));
  abort.abort();
  const report = await done;
  t.is(report.sentFrames, 1);
  t.true(report.pausedNs <= report.elapsedNs, `${report.pausedNs} <= ${report.elapsedNs}`);
});

test("more than the queue holds: whoever reads waits for a pause to end, or for a stop", async (t) => {
  const { socket } = await liveSwitch(t);
  const big = Array.from({ length: 16_000 }, (_, i) => ({
    data: frame(2, 1, `${i}`, 1500),
    wireLength: 1500,
    timeNs: BigInt(i),
  }));
  const store = await storeWith(t, big, { ports: ["vale0:a"], sizeBytes: 64 << 20 });
  const control = new ReplayControl();
  control.pause();
  const all = replayFrames(options(store, socket, { control, loops: 2, topSpeed: true }));
  control.step();
  control.resume();
  t.is((await all).sentFrames, 32_000);
  control.pause();
  const abort = new AbortController();
  const stopped = replayFrames(options(store, socket, { control, signal: abort.signal }));
  setTimeout(() => abort.abort(), 300);
  const report = await stopped;
  t.true(report.aborted && report.sentFrames === 0);
});

test("a start that is past is at once, and said; drift needs more than a second", async (t) => {
  const { socket } = await liveSwitch(t);
  const store = await storeWith(t, numbered(3, 1_050_000_000n), { ports: ["vale0:a"] });
  const beginAtNs = BigInt(Date.now() - 5000) * 1_000_000n;
  const long = await replayFrames(options(store, socket, { beginAtNs }));
  t.is(long.beganNs - beginAtNs, BigInt(long.startLateNs));
  t.true(long.startLateNs >= 5e9);
  t.true(long.firstSecondP50Ns! <= long.errorMaxNs && long.lastSecondP50Ns! <= long.errorMaxNs);
  const short = await replayFrames(options(store, socket, { limit: 1 }));
  t.deepEqual([short.firstSecondP50Ns, short.lastSecondP50Ns, short.startLateNs], [undefined, undefined, 0]);
});

test("keys: what they do, and the terminal is itself again", (t) => {
  const modes: boolean[] = [];
  const terminal = Object.assign(new EventEmitter(), {
    isTTY: true,
    setRawMode: (raw: boolean) => modes.push(raw),
    resume: () => {},
    pause: () => {},
  });
  const control = new ReplayControl();
  const calls: string[] = [];
  control.attach({
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    step: () => calls.push("step"),
  });
  const listeners = process.listenerCount("exit");
  const release = controlByKeyboard(terminal, control, () => calls.push("end"));
  for (const keys of [" ", "  ", "n\rx", " ", "q", "\x03"]) terminal.emit("data", Buffer.from(keys));
  t.deepEqual(calls, ["pause", "resume", "pause", "step", "step", "resume", "end", "end"]);
  t.deepEqual(modes, [true]);
  release?.();
  t.deepEqual(modes, [true, false]);
  t.is(terminal.listenerCount("data"), 0);
  t.is(process.listenerCount("exit"), listeners);
  const pipe = Object.assign(new EventEmitter(), { resume: () => t.fail(), pause: () => t.fail() });
  t.is(
    controlByKeyboard(pipe, control, () => t.fail()),
    undefined,
  );
});

test("markers before and after; the start at a time of the clock", async (t) => {
  const { socket, open } = await liveSwitch(t);
  const sink = open("vale0:sink");
  const store = await storeWith(t, numbered(5, 1n), { ports: ["vale0:a"] });
  const beginAtNs = BigInt(Date.now() + 300) * 1_000_000n;
  const report = await replayFrames(options(store, socket, { marker: "trial 7", beginAtNs }));
  const seen: Buffer[] = [];
  await until(() => seen.push(...sink.receive()) >= 7, "frames and markers");
  const [first, ...rest] = seen.map(textOf);
  const said = /^paste-switch replay trial 7 begin at (\d+)\.(\d{9}) after 0 frames$/.exec(first!);
  t.truthy(said, first);
  t.true(BigInt(said![1]! + said![2]!) >= beginAtNs);
  t.deepEqual(rest.slice(0, 5), ["0", "1", "2", "3", "4"]);
  t.regex(rest[5]!, /^paste-switch replay trial 7 end at \d+\.\d{9} after 5 frames$/);
  t.is(seen[0]!.readUInt16BE(12), 0x88b5);
  t.is(report.beganNs, beginAtNs + BigInt(report.startLateNs), "later only where this machine got to it too late");
  t.is(report.endedNs, report.beganNs + BigInt(report.elapsedNs));
  t.is(report.sentFrames, 5, "markers are not counted");
});

test("until a sequence, until a time, for ever", async (t) => {
  const { socket } = await liveSwitch(t);
  const store = await storeWith(t, numbered(50, 1000n), { ports: ["vale0:a"] });
  const send = (more: Partial<ReplayOptions>) => replayFrames(options(store, socket, { topSpeed: true, ...more }));
  const { sequence } = (await storedFrames(store))[9]!;
  t.is((await send({ toSequence: sequence })).sentFrames, 10);
  t.is((await send({ untilNs: 1_000_020_000n })).sentFrames, 20);
  t.is((await send({ untilNs: 1_000_020_000n, filter: "ether[14] = 0x31 or ether[14] = 0x32" })).sentFrames, 12);
  t.is((await send({ loops: 0, limit: 175 })).sentFrames, 175);
  t.is((await send({ loops: 0, limit: 175, preload: true })).sentFrames, 175);
  t.is((await send({ loops: 0, untilNs: 5n })).sentFrames, 0, "nothing, for ever, is an end");
  const abort = new AbortController();
  const ended = await send({ loops: 0, signal: abort.signal, onProgress: (sent) => sent > 200 && abort.abort() });
  t.true(ended.aborted && ended.sentFrames > 200);
});

test("real time: granted, or said to be refused", async (t) => {
  const { socket } = await liveSwitch(t);
  const store = await storeWith(t, numbered(50, 1000n), { ports: ["vale0:a"] });
  const { realtime, warnings, sentFrames } = await replayFrames(options(store, socket, { realtime: true }));
  t.is(sentFrames, 50);
  t.is(
    warnings.some((line) => line.startsWith("real time was refused")),
    !realtime,
  );
  const left = await replayFrames(options(store, socket, {}));
  t.is(left.realtime, realtime && availableParallelism() > 1, "where it may, and there are cores enough");
  t.false(left.warnings.some((line) => line.startsWith("real time")));
  t.false((await replayFrames(options(store, socket, { realtime: false }))).realtime);
  t.false((await replayFrames(options(store, socket, { topSpeed: true }))).realtime);
  const end = new AbortController();
  let nice: number[] = [];
  const look = () => {
    nice = niceOf("paste-replay");
    end.abort();
  };
  const { realtime: ahead } = await replayFrames(
    options(store, socket, { loops: 0, signal: end.signal, onProgress: look }),
  );
  t.is(nice.includes(-20), ahead && process.getuid?.() === 0, "while it is not ahead it still has most of its core");
});

/** Of this process's threads of that name. */
function niceOf(name: string): number[] {
  return readdirSync("/proc/self/task").flatMap((thread) => {
    try {
      const stat = readFileSync(`/proc/self/task/${thread}/stat`, "utf8");
      return stat.includes(`(${name})`) ? [Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16])] : [];
    } catch {
      return []; // it ended, another test's
    }
  });
}
