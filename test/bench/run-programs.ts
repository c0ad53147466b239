import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createStore } from "../../logger/store.js";
import { DaemonProcess } from "../../switch/demo/command.js";
import type { Bench, Effort } from "./bench.js";
import { startProgram } from "./netmap-program.js";
import type { Row } from "./report.js";

const storeBytes = 64 * 1024 * 1024;

/** One round each way: frames per second as the receiver counted them, then round trips of one frame at a time. */
async function round(control: string, ms: number): Promise<{ mpps: number; lost: number; p50: number; p99: number }> {
  const sink = startProgram(control, "rx", "vale0:sink", 64, 1000);
  await Promise.race([sink.ready, sink.result]);
  const [received] = await Promise.all([sink.result, startProgram(control, "tx", "vale0:source", 64, ms).result]);
  const pong = startProgram(control, "pong", "vale0:sink", 64, 1000);
  await Promise.race([pong.ready, pong.result]);
  const [, pinged] = await Promise.all([pong.result, startProgram(control, "ping", "vale0:source", 64, ms).result]);
  if (received.wrong! + pinged.unanswered! > 0)
    throw new Error(`WRONG: ${received.wrong} frames, ${pinged.unanswered} pings without an answer`);
  return {
    mpps: received.frames! / (received.ns! / 1e3),
    lost: received.lost!,
    p50: pinged.p50_ns! / 1e3,
    p99: pinged.p99_ns! / 1e3,
  };
}

async function configuration(what: string, effort: Effort, daemonArgs: string[]): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-bench-"));
  const control = join(folder, "control.sock");
  const daemon = await DaemonProcess.start(["daemon", ...daemonArgs], { PASTE_SWITCH_CONTROL: control });
  try {
    const results = [];
    for (let i = 0; i < (effort.quick ? 1 : effort.rounds); i++)
      results.push(await round(control, effort.quick ? 100 : 500));
    const lost = results.reduce((sum, result) => sum + result.lost, 0);
    const row = (of: string, unit: string, samples: number[], note?: string): Row => ({
      bench: "run",
      what: `${what}: ${of}`,
      sizeBytes: 64,
      unit,
      samples,
      ...(note === undefined ? {} : { note }),
    });
    return [
      row(
        "sender to receiver",
        "Mpps",
        results.map(({ mpps }) => mpps),
        `lost at the full receiver: ${lost}`,
      ),
      row(
        "ping-pong, median",
        "us",
        results.map(({ p50 }) => p50),
      ),
      row(
        "ping-pong, p99",
        "us",
        results.map(({ p99 }) => p99),
      ),
    ];
  } finally {
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const runPrograms: Bench = {
  summary:
    "netmap programs, unmodified, in three processes with the switch; what arrived counts, and poll() round trips",
  storeBytes,
  async run(effort) {
    const store = join(effort.folder, "run.store");
    await createStore(store, { sizeBytes: storeBytes });
    return [
      ...(await configuration("no log", effort, [])),
      ...(await configuration("every frame logged, strict", effort, ["--store", store, "--log", ""])),
    ];
  },
};
