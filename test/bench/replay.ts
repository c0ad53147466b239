// How well a replay keeps its times, and how fast it can be; tcpreplay beside it where there are veth pairs.
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { packageRoot } from "../../native/index.js";
import { DaemonProcess, runCommand } from "../../switch/demo/command.js";
import type { Bench, Effort } from "./bench.js";
import type { Row } from "./report.js";

const run = promisify(execFile);
const frameBytes = 64;
const gapNs = 10_000;

interface Report {
  sentFrames: number;
  elapsedNs: number;
  errorP50Ns: number;
  errorP99Ns: number;
  errorP999Ns: number;
  errorMaxNs: number;
  missed: number;
}

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

async function intoSwitch(capture: string, count: number, { quick, rounds }: Effort): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-bench-"));
  const env = { PASTE_SWITCH_CONTROL: join(folder, "control.sock") };
  const daemon = await DaemonProcess.start(["daemon"], env);
  const replay = async (...args: string[]): Promise<Report> =>
    JSON.parse((await runCommand(["replay", "-r", capture, "-i", "vale0:replay", "--json", ...args], env)).stdout);
  const timing = ["p50", "p99", "p99.9", "max"].map((each) =>
    row(`own gaps of ${gapNs / 1000} us: later than due, ${each}`, "us", { sizeBytes: frameBytes }),
  );
  const drift = row(`drift over ${quick ? 0.1 : 20} s`, "us", { note: "the last frame against its deadline" });
  const top = row("top speed, preloaded, into a vale port", "Mpps", {
    sizeBytes: frameBytes,
    note: "to an address that nobody has: the switch takes every frame",
  });
  try {
    for (let round = -1; round < rounds; round++) {
      const kept = await replay();
      const fast = await replay("-t", "-K", "-l", quick ? "2" : "200");
      if (round < 0) continue;
      const errors = [kept.errorP50Ns, kept.errorP99Ns, kept.errorP999Ns, kept.errorMaxNs];
      for (const [i, error] of errors.entries()) timing[i]!.samples.push(error / 1000);
      top.samples.push(fast.sentFrames / (fast.elapsedNs / 1000));
    }
    const loops = quick ? 1 : 20;
    const long = await replay("-l", String(loops));
    drift.samples.push((long.elapsedNs - loops * (count - 1) * gapNs) / 1000);
    return [...timing, drift, top];
  } finally {
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Both sides send the same capture into the same veth, as fast as they can, from memory. */
async function intoVeth(capture: string, { quick, rounds, say }: Effort): Promise<Row[]> {
  const missing = await whyNot();
  if (missing !== undefined) {
    say(`replay: tcpreplay is left out: ${missing}`);
    return [];
  }
  const namespace = `paste-${randomBytes(3).toString("hex")}-replay`;
  const ip = (...args: string[]) => execFileSync("ip", args);
  ip("netns", "add", namespace);
  try {
    ip("-n", namespace, "link", "add", "near", "type", "veth", "peer", "name", "far");
    for (const name of ["near", "far"]) ip("-n", namespace, "link", "set", name, "up");
    const inside = async (...command: string[]) =>
      (await run("ip", ["netns", "exec", namespace, ...command], { maxBuffer: 1 << 24 })).stdout;
    const loops = quick ? "1" : "10";
    const cli = join(packageRoot(), "dist", "cli", "main.js");
    const theirs = row("tcpreplay --topspeed --preload-pcap into a veth", "Mpps", { sizeBytes: frameBytes });
    const ours = row("replay -t -K into a veth", "Mpps", { sizeBytes: frameBytes, pairedWith: theirs.what });
    for (let round = -1; round < rounds; round++) {
      const args = ["replay", "-r", capture, "-i", "near", "-t", "-K", "-l", loops, "--json"];
      const { sentFrames, elapsedNs }: Report = JSON.parse(await inside(process.execPath, cli, ...args));
      const said = await inside("tcpreplay", "-i", "near", "--topspeed", "--preload-pcap", `--loop=${loops}`, capture);
      const theirRate = Number(/([\d.]+) pps/.exec(said)?.[1]);
      if (!(theirRate > 0)) throw new Error(`tcpreplay said no rate: ${said}`);
      if (round < 0) continue;
      ours.samples.push(sentFrames / (elapsedNs / 1000));
      theirs.samples.push(theirRate / 1e6);
    }
    return [ours, theirs];
  } finally {
    ip("netns", "delete", namespace);
  }
}

async function whyNot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "veth pairs need root";
  for (const [program, option] of [
    ["tcpreplay", "--version"],
    ["ip", "-V"],
  ] as const)
    if (
      await run(program, [option])
        .catch(() => true as const)
        .then((result) => result === true)
    )
      return `${program} is not installed`;
  return (await run("unshare", ["--net", "true"]).catch(() => undefined)) ? undefined : "no namespace can be made here";
}

export const replay: Bench = {
  summary: "deadlines kept and missed, drift, top speed; tcpreplay beside it on a veth pair",
  storeBytes: 0,
  async run(effort) {
    const capture = join(effort.folder, "replay.pcap");
    const count = effort.quick ? 10_000 : 100_000;
    writeCapture(capture, count);
    return [...(await intoSwitch(capture, count, effort)), ...(await intoVeth(capture, effort))];
  },
};
