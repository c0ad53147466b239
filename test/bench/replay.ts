// How well a replay keeps its times, and how fast it can be; tcpreplay beside it where there are veth pairs.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { benchSpinner, type SpinnerResult } from "../../native/bench.js";
import { packageRoot } from "../../native/index.js";
import type { PacerReport } from "../../native/replay.js";
import { DaemonProcess, runCommand } from "../../switch/demo/command.js";
import type { Bench, Effort } from "./bench.js";
import { installed } from "./programs.js";
import type { Row } from "./report.js";
import { summarize } from "./statistics.js";
import { Veth } from "./veth.js";

const run = promisify(execFile);
const frameBytes = 64;
const gapNs = 10_000;

/** The capture at this speed, by a thread as any other or by one ahead of others, into a switch that sleeps or one that never does. */
interface Schedule {
  speed: number;
  realtime: boolean;
  busy: boolean;
  replays: SpinnerResult[];
  spinner: SpinnerResult[];
}

/** [name in the table, unit, value]. */
const measures: [string, string, (timing: SpinnerResult, frames: number) => number][] = [
  ["p50", "us", (timing) => timing.errorP50Ns / 1000],
  ["p99", "us", (timing) => timing.errorP99Ns / 1000],
  ["p99.9", "us", (timing) => timing.errorP999Ns / 1000],
  ["max", "us", (timing) => timing.errorMaxNs / 1000],
  ["by over 10 us", "%", (timing, frames) => (100 * timing.late) / frames],
  ["by over 1 ms", "frames", (timing) => timing.missed],
];

/** Frames from one station to another, `gapNs` apart. */
function writeCapture(path: string, count: number): void {
  const writer = new PcapWriter({ nanoseconds: true });
  const frames = Array.from({ length: count }, (_, i) => {
    const data = Buffer.alloc(frameBytes);
    data.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    data.writeUInt32BE(i, 14);
    return { data, wireLength: frameBytes, timeNs: BigInt(i * gapNs) };
  });
  writeFileSync(path, Buffer.concat([writer.header(), writer.append(batchOf(frames))]));
}

const row = (what: string, unit: string, more: Partial<Row> = {}): Row => ({
  bench: "replay",
  what,
  unit,
  samples: [],
  ...more,
});

/**
 * Into a port of a daemon that logs nothing, to an address that nobody has: nobody receives. In turn with each replay, a program that
 * does nothing but look at the clock keeps the same schedule, the other core as busy as the switch makes it: what it is late by is the
 * machine, not the replay.
 */
async function intoSwitch(capture: string, count: number, { quick, rounds, say }: Effort): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-bench-"));
  const env = { PASTE_SWITCH_CONTROL: join(folder, "control.sock") };
  const daemon = await DaemonProcess.start(["daemon"], env);
  const into = async (env: Record<string, string>, args: string[]): Promise<PacerReport> =>
    JSON.parse((await runCommand(["replay", "-r", capture, "-i", "vale0:replay", "--json", ...args], env)).stdout);
  const replay = (...args: string[]) => into(env, args);
  // It takes a core for as long as it is there.
  const replayBusy = async (...args: string[]) => {
    const env = { PASTE_SWITCH_CONTROL: join(folder, "busy.sock") };
    const daemon = await DaemonProcess.start(["daemon", "--wait", "busy"], env);
    return into(env, args).finally(() => daemon.stop());
  };
  const schedules: Schedule[] = [
    { speed: 1, realtime: true, busy: false, replays: [], spinner: [] },
    { speed: 1, realtime: true, busy: true, replays: [], spinner: [] },
    { speed: 1, realtime: false, busy: false, replays: [], spinner: [] },
    { speed: 0.01, realtime: true, busy: false, replays: [], spinner: [] },
  ];
  const top = row("top speed, preloaded, into a vale port", "Mpps", {
    sizeBytes: frameBytes,
    note: "to an address that nobody has: the switch takes every frame",
  });
  const drift = row("drift: p50 of the last second less that of the first", "us", { note: `over ${quick ? 3 : 20} s` });
  try {
    for (let round = -1; round < rounds; round++) {
      for (const schedule of [...schedules]) {
        const { speed, realtime, busy } = schedule;
        const frames = count * speed;
        const options = ["-x", `${speed}`, "-L", `${frames}`, ...(realtime ? ["--realtime"] : ["--no-realtime"])];
        const kept = await (busy ? replayBusy : replay)(...options);
        if (realtime && !kept.realtime) {
          say(`replay: frames ${gapNs / 1000 / speed} us apart in real time are left out: it needs CAP_SYS_NICE`);
          schedules.splice(schedules.indexOf(schedule), 1);
          continue;
        }
        const spun = await benchSpinner({ gapNs: gapNs / speed, count: frames, realtime, company: speed === 1 });
        if (round < 0) continue;
        schedule.replays.push(kept);
        schedule.spinner.push(spun);
      }
      const fast = await replay("-t", "-K", "-l", quick ? "2" : "200");
      if (round >= 0) top.samples.push(fast.sentFrames / (fast.elapsedNs / 1000));
    }
    const long = await replay("-l", `${Math.ceil((quick ? 3e9 : 20e9) / (count * gapNs))}`);
    drift.samples.push(((long.lastSecondP50Ns ?? 0) - (long.firstSecondP50Ns ?? 0)) / 1000);
    return [...schedules.flatMap((schedule) => timingRows(schedule, count)), drift, top];
  } finally {
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function timingRows({ speed, realtime, busy, replays, spinner }: Schedule, count: number): Row[] {
  const gap = `${gapNs / 1000 / speed} us apart${realtime ? "" : ", --no-realtime"}${busy ? ", daemon --wait busy" : ""}`;
  return measures.map(([name, unit, value]) => {
    const floor = summarize(spinner.map((each) => value(each, count * speed)));
    return row(`${gap}: later than due, ${name}`, unit, {
      sizeBytes: frameBytes,
      samples: replays.map((each) => value(each, count * speed)),
      note: `a spinning thread: ${floor.median.toFixed(2)} (${floor.min.toFixed(2)} to ${floor.max.toFixed(2)})`,
    });
  });
}

/** Both sides send the same capture into the same veth, as fast as they can, from memory. */
async function intoVeth(capture: string, { quick, rounds, say }: Effort): Promise<Row[]> {
  const missing = await whyNot();
  if (missing !== undefined) {
    say(`replay: tcpreplay is left out: ${missing}`);
    return [];
  }
  const veth = new Veth("replay");
  try {
    const inside = async (...command: string[]) => (await veth.run(command)).toString();
    const loops = quick ? "1" : "10";
    const cli = join(packageRoot(), "dist", "cli", "main.cjs");
    const theirs = row("tcpreplay --topspeed --preload-pcap into a veth", "Mpps", { sizeBytes: frameBytes });
    const ours = row("replay -t -K into a veth", "Mpps", { sizeBytes: frameBytes, pairedWith: theirs.what });
    for (let round = -1; round < rounds; round++) {
      const args = ["replay", "-r", capture, "-i", "near", "-t", "-K", "-l", loops, "--json"];
      const { sentFrames, elapsedNs }: PacerReport = JSON.parse(await inside(process.execPath, cli, ...args));
      const said = await inside("tcpreplay", "-i", "near", "--topspeed", "--preload-pcap", `--loop=${loops}`, capture);
      const theirRate = Number(/([\d.]+) pps/.exec(said)?.[1]);
      if (!(theirRate > 0)) throw new Error(`tcpreplay said no rate: ${said}`);
      if (round < 0) continue;
      ours.samples.push(sentFrames / (elapsedNs / 1000));
      theirs.samples.push(theirRate / 1e6);
    }
    return [ours, theirs];
  } finally {
    veth.close();
  }
}

async function whyNot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "veth pairs need root";
  for (const program of ["tcpreplay", "ip"]) if (!installed(program)) return `${program} is not installed`;
  return (await run("unshare", ["--net", "true"]).catch(() => undefined)) ? undefined : "no namespace can be made here";
}

export const replay: Bench = {
  summary: "deadlines kept and missed, beside what the machine allows; drift, top speed; tcpreplay on a veth pair",
  storeBytes: 0,
  async run(effort) {
    const capture = join(effort.folder, "replay.pcap");
    const count = effort.quick ? 10_000 : 100_000;
    writeCapture(capture, count);
    return [...(await intoSwitch(capture, count, effort)), ...(await intoVeth(capture, effort))];
  },
};
