import { Writable } from "node:stream";
import test, { type ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { openStore } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { type TailOptions, type TailReport, tailStore } from "../../logger/tail.js";
import { until } from "../support/until.js";
import { readAll } from "./capture/read-all.js";
import { appendTo, storeWith, type TestFrame, testFolder } from "./store-tools.js";

const numbered = (from: number, count: number): TestFrame[] =>
  Array.from({ length: count }, (_, i) => {
    const data = Buffer.alloc(60);
    data.writeUInt16BE(0x88b5, 12);
    data.writeUInt32LE(from + i, 14);
    return { data, wireLength: 60, timeNs: BigInt(from + i), interface: (from + i) % 2 };
  });
const numberOf = (bytes: Uint8Array) => Buffer.from(bytes).readUInt32LE(14);

/** Collects what is written; `hold` keeps it from taking any more until `release()`. */
class Reader extends Writable {
  bytes: Buffer[] = [];
  #held: (() => void) | undefined;
  hold = false;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytes.push(Buffer.from(chunk));
    if (this.hold) this.#held = done;
    else done();
  }
  release(): void {
    this.hold = false;
    this.#held?.();
  }
  get text(): string {
    return Buffer.concat(this.bytes).toString();
  }
  get numbers(): number[] {
    return this.text
      .split("\n")
      .filter((line) => line !== "")
      .map(Number);
  }
}

/** Starts a tail that prints each frame's number; it is over when the test ends. */
function startTail(t: ExecutionContext, store: string, options: Partial<TailOptions> = {}) {
  const output = new Reader();
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const ended: Promise<TailReport> = tailStore({
    store,
    output,
    print: ({ bytes }) => `${numberOf(bytes)}\n`,
    signal: abort.signal,
    ...options,
  });
  return { output, abort, ended };
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

test("only what comes is printed, in order, also by a second writer; an abort ends it with the count", async (t) => {
  const path = await storeWith(t, numbered(0, 100));
  const { output, abort, ended } = startTail(t, path, { fromSequence: (await openStore(path).info()).nextSequence });
  await appendTo(path, numbered(100, 1500), ["port-a", "port-b"]);
  await until(() => output.numbers.length >= 1500, "the first writer's frames");
  await appendTo(path, numbered(1600, 10), ["port-a", "port-b"]);
  await until(() => output.numbers.length >= 1510, "the second writer's frames");
  abort.abort();
  t.deepEqual(output.numbers, range(100, 1510));
  t.deepEqual(await ended, { frames: 1510, overtaken: 0, corrupt: 0, ended: "aborted" });
});

for (const [last, first] of [
  [0, 40],
  [1, 39],
  [7, 33],
  [40, 0],
  [41, 0],
] as const)
  test(`the last ${last} of 40 first, then what comes`, async (t) => {
    const path = await storeWith(t, numbered(0, 40));
    const { output, ended } = startTail(t, path, { last, limit: 45 - first });
    if (last === 0) {
      // It begins where the store ends when it looks: write until that has happened.
      const appender = await StoreAppender.open(path);
      for (const port of ["port-a", "port-b"]) appender.addInterface(port);
      for (let n = 40; output.numbers.length < 5; n++) {
        await appender.append(batchOf(numbered(n, 1)));
        await appender.flush();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await appender.close();
      const [begin = -1] = output.numbers;
      t.true(begin >= 40);
      t.deepEqual(output.numbers, range(begin, 5));
    } else {
      await until(() => output.numbers.length >= 40 - first, "the last ones");
      await appendTo(path, numbered(40, 10), ["port-a", "port-b"]);
      await ended;
      t.deepEqual(output.numbers, range(first, 45 - first));
    }
    t.is((await ended).ended, "limit");
  });

for (const filter of ["in-port port-b", "in-port port-b and not any port 9"])
  test(`a filter chooses, and the last N are counted among what it takes: ${filter}`, async (t) => {
    const path = await storeWith(t, numbered(0, 60));
    const { output, ended } = startTail(t, path, { last: 10, limit: 10, filter });
    await ended;
    t.deepEqual(
      output.numbers,
      range(0, 10).map((i) => 41 + 2 * i),
    );
  });

test("until-stop: everything that the writer made durable, then the end", async (t) => {
  for (const print of [true, false]) {
    const path = await storeWith(t, numbered(0, 5));
    const output = new Reader();
    const writer = await StoreAppender.open(path);
    for (const port of ["port-a", "port-b"]) writer.addInterface(port);
    const ended = tailStore({
      store: path,
      output,
      fromSequence: 0n,
      untilStop: true,
      ...(print && { print: ({ bytes }) => `${numberOf(bytes)}\n` }),
    });
    await until(() => output.bytes.length > 0, "the first frames");
    await writer.append(batchOf(numbered(5, 400)));
    await writer.close();
    const report = await ended;
    t.is(report.ended, "stopped");
    t.is(report.frames, 405);
  }
});

test("pcapng: whole packets come while it runs, with numbers, ports and times, and the file ends well", async (t) => {
  const path = await storeWith(t, numbered(0, 3));
  const output = new Reader();
  const abort = new AbortController();
  const ended = tailStore({ store: path, output, fromSequence: 0n, signal: abort.signal, snaplen: 40 });
  const framesNow = async () => {
    const { writeFileSync } = await import("node:fs");
    writeFileSync(`${path}.pcapng`, Buffer.concat(output.bytes));
    return readAll(`${path}.pcapng`);
  };
  await until(() => output.bytes.length > 1, "the beginning, at once, and the first frames");
  t.deepEqual(
    (await framesNow()).reader!.interfaces.map(({ name }) => name),
    ["paste-switch", "port-a", "port-b"],
  );
  t.is((await framesNow()).frames.length, 3);
  await appendTo(path, numbered(3, 700), ["port-a", "port-b"]);
  for (let found = 0; found < 703; ) found = (await framesNow()).frames.length;
  abort.abort();
  t.is((await ended).frames, 703);
  const { frames, error, reader } = await framesNow();
  t.is(error, null);
  t.deepEqual(
    frames.map(({ data }) => numberOf(data)),
    range(0, 703),
  );
  t.true(frames.every(({ data, wireLength }) => data.length === 40 && wireLength === 60));
  t.deepEqual(
    frames.map((each) => reader!.interfaces[each.interface]!.name),
    range(0, 703).map((n) => (n % 2 ? "port-b" : "port-a")),
  );
});

test("a reader of the output that does not read is overtaken, is told by how much, and goes on", async (t) => {
  const path = `${testFolder(t)}/small.store`;
  await createStore(path, { sizeBytes: 16 << 20 });
  await appendTo(path, numbered(0, 1), ["port-a", "port-b"]);
  const told: number[] = [];
  const { output, abort, ended } = startTail(t, path, { fromSequence: 0n, onOvertaken: (blocks) => told.push(blocks) });
  output.hold = true;
  await until(() => output.bytes.length > 0, "the first frame");
  const appender = await StoreAppender.open(path);
  for (const port of ["port-a", "port-b"]) appender.addInterface(port);
  const total = 300_000; // 128 bytes each: over twice the store
  for (let n = 1; n < total; n += 1000) await appender.append(batchOf(numbered(n, Math.min(1000, total - n))));
  await appender.flush();
  output.release();
  await until(() => output.numbers.at(-1) === total - 1, "the newest frame");
  await appender.close();
  abort.abort();
  const report = await ended;
  const { numbers } = output;
  t.true(report.overtaken > 0);
  t.is(
    told.reduce((sum, blocks) => sum + blocks, 0),
    report.overtaken,
  );
  t.is(report.frames, numbers.length);
  t.true(numbers.length < total);
  t.true(
    numbers.every((n, i) => i === 0 || n > numbers[i - 1]!),
    "in order, none twice",
  );
});

test("an output whose reader went away ends it, without an error", async (t) => {
  const path = await storeWith(t, numbered(0, 10));
  const output = new Reader();
  output._write = (_chunk, _encoding, done: (error?: Error) => void) =>
    done(Object.assign(new Error("gone"), { code: "EPIPE" }));
  output.on("error", () => {});
  const report = await tailStore({ store: path, output, fromSequence: 0n, print: () => "x\n" });
  t.deepEqual(report, { frames: 0, overtaken: 0, corrupt: 0, ended: "closed" });
});

test("what cannot be is refused with words", async (t) => {
  const path = await storeWith(t, numbered(0, 1));
  const refused = (options: Partial<TailOptions>) => tailStore({ store: path, output: new Reader(), ...options });
  await t.throwsAsync(refused({ last: 3, fromSequence: 1n }), { message: /exclude each other/ });
  await t.throwsAsync(refused({ last: -1 }), { message: /last must be/ });
  await t.throwsAsync(refused({ limit: 0 }), { message: /limit must be/ });
  await t.throwsAsync(refused({ filter: "tcp prt 80" }), { message: /prt/ });
  await t.throwsAsync(refused({ output: path }), { message: /is what frames are read from/ });
});
