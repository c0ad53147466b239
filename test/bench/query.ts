// One host's packets among many: what a query waits for, and what tcpdump takes on the same packets.
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { compileFilter } from "../../logger/filter/compile.js";
import { openStore, type StoreReader } from "../../logger/reader.js";
import type { Bench, Effort } from "./bench.js";
import { mixedStore, rareHost, storeBytes } from "./mixed-frames.js";
import { exportCommand, installed, timedCapture } from "./programs.js";
import type { Row } from "./report.js";

const framesFull = 10_000_000;
const framesQuick = 200_000;
const wanted = 1000;
const warmups = 50;
const pcapBytesPerFrame = 380;
const absentHost = "10.99.0.1";

interface Asked {
  firstMs: number;
  allMs: number;
}

/** What a question takes; opening the store with it when there is no reader yet. */
async function ask(source: string | StoreReader, filter: string, expected: number, index = true): Promise<Asked> {
  const startMs = performance.now();
  const reader = typeof source === "string" ? openStore(source) : source;
  const compiled = compileFilter(filter, { record: "store" });
  let found = 0;
  let firstMs = 0;
  for await (const frames of reader.frames({ filter: compiled, index, reuse: true })) {
    if (found === 0) firstMs = performance.now() - startMs;
    found += frames.count;
  }
  const allMs = performance.now() - startMs;
  if (typeof source === "string") reader.close();
  if (found !== expected) throw new Error(`${filter}: ${found} frames instead of ${expected}`);
  return { firstMs, allMs };
}

/** The same frames in a store and in a capture file. */
async function fill(store: string, capture: string, frames: number): Promise<void> {
  const file = openSync(capture, "w");
  writeSync(file, new PcapWriter({ nanoseconds: true }).header());
  await mixedStore(store, frames, {
    rareEvery: frames / wanted,
    each: ({ data }) => void writeSync(file, data),
  });
  closeSync(file);
}

async function expected(command: readonly string[]): Promise<number> {
  const { ms, packets } = await timedCapture(command);
  if (packets !== wanted) throw new Error(`${command.join(" ")}: ${packets} packets instead of ${wanted}`);
  return ms;
}

async function run({ quick, rounds, folder, say }: Effort): Promise<Row[]> {
  const frames = quick ? framesQuick : framesFull;
  const own = join(folder, "query");
  mkdirSync(own);
  const [store, capture] = [join(own, "query.store"), join(own, "query.pcap")];
  const filter = `host ${rareHost}`;
  const note = `${wanted} of ${frames} frames`;
  const row = (what: string, more: Partial<Row> = {}): Row => ({
    bench: "query",
    what,
    unit: "ms",
    samples: [],
    ...more,
  });
  const first = row("one host: first packet", { note });
  const all = row("one host: all packets", { note });
  const absent = row("an absent host", { note: `${frames} frames` });
  const again = row("an absent host, asked of the same reader again", { note: `${frames} frames` });
  const scanned = row("one host: without the index", { note });
  const process = row("one host: process and all, pcap to a pipe", { note });
  const tcpdump = row("tcpdump -r, process and all", {
    pairedWith: process.what,
    note: "the same frames as a capture file",
  });
  const rows = [first, all, absent, again, scanned, process];
  if (installed("tcpdump")) rows.push(tcpdump);
  else say("tcpdump is not installed: left out (Debian package tcpdump)");
  try {
    await fill(store, capture, frames);
    // What a process pays for its first questions (compiled code, above all) is its start.
    for (let time = 0; time < warmups; time++) await ask(store, `host ${absentHost}`, 0);
    for (let round = -1; round < rounds; round++) {
      const asked = await ask(store, filter, wanted);
      const none = await ask(store, `host ${absentHost}`, 0);
      const reader = openStore(store);
      for (let time = 0; time < 2; time++) await ask(reader, `host ${absentHost}`, 0);
      const repeated = await ask(reader, `host ${absentHost}`, 0);
      reader.close();
      const slow = await ask(store, filter, wanted, false);
      const exported = await expected(exportCommand(store, filter));
      const dumped = rows.includes(tcpdump) ? await expected(["tcpdump", "-r", capture, "-w", "-", filter]) : 0;
      if (round < 0) continue;
      first.samples.push(asked.firstMs);
      all.samples.push(asked.allMs);
      absent.samples.push(none.allMs);
      again.samples.push(repeated.allMs);
      scanned.samples.push(slow.allMs);
      process.samples.push(exported);
      tcpdump.samples.push(dumped);
    }
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
  return rows;
}

export const querying: Bench = {
  summary: "one host's packets among ten million, by the index; beside tcpdump -r",
  storeBytes: storeBytes(framesFull) + framesFull * pcapBytesPerFrame,
  run,
};
