import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { openStore } from "../../logger/reader.js";
import { createStore, recoverStore, StoreAppender } from "../../logger/store.js";
import { appendTo, storedFrames, storeWith, testFolder } from "./store-tools.js";

const writerPath = fileURLToPath(new URL("follow-writer.js", import.meta.url));

/** Starts a writer; `durable` fills with when (by this machine's monotonic clock) each frame number was durable. */
function startWriter(t: ExecutionContext, args: string[]): { child: ChildProcess; durable: Map<number, bigint> } {
  const child = spawn(process.execPath, [writerPath, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill("SIGKILL"));
  const durable = new Map<number, bigint>();
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const [number = "", time = ""] = line.split(" ");
    durable.set(Number(number), BigInt(time));
  });
  return { child, durable };
}

const media: [string, string | undefined, number][] = [
  ["memory", undefined, 4000],
  ["the temporary folder", tmpdir(), 600],
];
for (const [medium, parent, total] of media)
  test(`a follower sees exactly what another process appends, in order, while it appends: ${medium}`, async (t) => {
    const lags = await followWriter(t, join(testFolder(t, parent), "follow.store"), total);
    t.log(
      `lag in us: median ${lags[lags.length >> 1]}, p99 ${lags[Math.floor(lags.length * 0.99)]}, max ${lags.at(-1)}`,
    );
  });

/** Follows another process that writes `total` frames; returns how long after it was durable each commit was seen, in us. */
async function followWriter(t: ExecutionContext, path: string, total: number): Promise<number[]> {
  await createStore(path, { sizeBytes: 32 << 20 });
  const { child, durable } = startWriter(t, [path, `${total}`, "2"]);
  const ended = once(child, "close");
  const seen = new Map<number, bigint>();
  const abort = new AbortController();
  let expected = 0;
  let last = -1n;
  for await (const batch of openStore(path).follow({ signal: abort.signal })) {
    const now = process.hrtime.bigint();
    for (let i = 0; i < batch.count; i++) {
      const number = Buffer.from(batch.bytes(i)).readUInt32LE();
      if (number !== expected) t.fail(`frame ${number} came instead of ${expected}`);
      if (batch.sequence(i) <= last) t.fail(`sequence ${batch.sequence(i)} came behind ${last}`);
      last = batch.sequence(i);
      seen.set(number, now);
      expected++;
    }
    if (expected === total) abort.abort();
  }
  t.is(expected, total);
  await ended;
  return [...durable].map(([number, time]) => Number((seen.get(number)! - time) / 1000n)).sort((a, b) => a - b);
}

test("each record is seen before the next one is written: nothing has to push it out", async (t) => {
  const path = join(testFolder(t), "follow.store");
  await createStore(path, { sizeBytes: 16 << 20 });
  const appender = await StoreAppender.open(path);
  t.teardown(() => appender.close());
  const port = appender.addInterface("one");
  const abort = new AbortController();
  const following = openStore(path).follow({ signal: abort.signal })[Symbol.asyncIterator]();
  for (let number = 0; number < 50; number++) {
    await appender.append(batchOf([{ data: Buffer.alloc(60, number), interface: port }]));
    await appender.flush();
    const { value: batch } = await following.next();
    t.deepEqual(batch && Array.from({ length: batch.count }, (_, i) => batch.bytes(i)[0]), [number]);
  }
  abort.abort();
});

test("an abort ends following at once, also while nothing comes", async (t) => {
  const path = await storeWith(t, [{ data: Buffer.alloc(60), wireLength: 60, timeNs: 1n }]);
  const abort = new AbortController();
  let frames = 0;
  const following = (async () => {
    for await (const batch of openStore(path).follow({ signal: abort.signal })) frames += batch.count;
  })();
  while (frames === 0) await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  await following;
  t.is(frames, 1);
  const none = openStore(path).follow({ signal: abort.signal });
  t.true((await none.next()).done);
});

test("timers and signals are heard while more is there than is read at once", async (t) => {
  const frame = { data: Buffer.alloc(60), wireLength: 60, timeNs: 1n };
  const path = await storeWith(t, Array(500).fill(frame));
  const abort = new AbortController();
  let frames = 0;
  for await (const batch of openStore(path).follow({ signal: abort.signal, batchFrames: 1 })) {
    if (frames === 0) setImmediate(() => abort.abort());
    frames += batch.count;
    if (frames === 500) break;
  }
  t.true(frames < 500, "everything was read before anything else had its turn");
});

test("a writer that is killed: what it flushed is read, also before recovery, and the follower goes on with the next", async (t) => {
  const path = join(testFolder(t), "killed.store");
  await createStore(path, { sizeBytes: 32 << 20 });
  const { child, durable } = startWriter(t, [path, "600", "0", "hold"]);
  const abort = new AbortController();
  const reader = openStore(path);
  const numbers: number[] = [];
  const following = (async () => {
    for await (const batch of reader.follow({ signal: abort.signal }))
      for (let i = 0; i < batch.count; i++) numbers.push(Buffer.from(batch.bytes(i)).readUInt32LE());
  })();
  const waitFor = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };
  await waitFor(() => durable.has(599));
  child.kill("SIGKILL");
  await once(child, "exit");
  const before = await storedFrames(path);
  t.is(before.length, 600, "read without recovery");
  const info = await reader.info();
  t.false(info.clean);
  t.is(info.frames, 600);
  t.deepEqual((await reader.verify()).problems, []);
  const dry = await recoverStore(path, { dryRun: true });
  t.is(dry.lastSequence, info.durableSequence, "as recovery would keep them");
  const more = Array.from({ length: 50 }, (_, i) => {
    const data = Buffer.alloc(64);
    data.writeUInt32LE(600 + i);
    return { data, wireLength: 64, timeNs: 0n };
  });
  await appendTo(path, more, ["after"]);
  await waitFor(() => numbers.length >= 650);
  abort.abort();
  await following;
  t.deepEqual(
    numbers,
    Array.from({ length: 650 }, (_, i) => i),
  );
});
