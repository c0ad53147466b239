// The whole story in under a minute, each step a command that a user could type: forward, remember, die, come back, find,
// export, replay. Every claim it prints is checked here, and a wrong one ends in FAILED.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import { ControlClient } from "../control-client.js";
import { judge } from "./acknowledged.js";
import { commandLine, DaemonProcess, killCommands, runCommand } from "./command.js";
import { type DemoPlace, demoPlace } from "./place.js";
import { readableAfterNs, readRecovered } from "./recovered.js";
import { forwardingCost } from "./speed.js";
import { Station } from "./station.js";
import { capturedTraffic, type DemoTraffic, framesOf, generatedTraffic } from "./traffic.js";

export interface DemoOptions {
  /** A capture of the user's, pcap or pcapng; without it traffic is generated. */
  capture?: string | undefined;
  keep: boolean;
  print(line: string): void;
}

/** What the demo found, by step: what `--json` prints. */
export type DemoFacts = Record<string, unknown>;

const rule = "not arp";
const seed = 7;
const playedBytesPerSecond = 10e6;
const playedMs = 1200;

/** Runs the demo. Throws PasteError for what a user can mend; `ok` is false when a promise was not kept. */
export async function runDemo(options: DemoOptions): Promise<{ ok: boolean; facts: DemoFacts }> {
  const place = demoPlace();
  const demo = new Demo(options, place);
  // Interrupted, or left by its reader, it leaves no daemon and no store behind either.
  const abandon = () => {
    killCommands();
    if (!options.keep) place.remove();
  };
  const interrupt = (_: NodeJS.Signals, signal: number) => process.exit(128 + signal);
  process.on("exit", abandon);
  for (const name of interrupts) process.on(name, interrupt);
  try {
    return { ok: await demo.run(), facts: demo.facts };
  } finally {
    await demo.end();
    abandon();
    process.off("exit", abandon);
    for (const name of interrupts) process.off(name, interrupt);
  }
}

const interrupts = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

class Demo {
  readonly facts: DemoFacts = {};
  readonly #options: DemoOptions;
  readonly #store: string;
  readonly #export: string;
  readonly #env: Record<string, string>;
  readonly #ports: string;
  #daemon: DaemonProcess | undefined;
  #stations: Station[] = [];
  #ok = true;

  constructor(options: DemoOptions, place: DemoPlace) {
    this.#options = options;
    this.#store = join(place.storeFolder, "demo.store");
    this.#export = join(place.folder, "host.pcapng");
    this.#env = { PASTE_SWITCH_CONTROL: join(place.folder, "control.sock") };
    this.#ports = join(place.folder, "ports.sock");
  }

  async run(): Promise<boolean> {
    const { capture } = this.#options;
    const traffic = capture ? await capturedTraffic(capture) : generatedTraffic(seed, 40_000);
    this.#sayTraffic(traffic);
    this.#say(`export PASTE_SWITCH_CONTROL=${this.#env.PASTE_SWITCH_CONTROL}`);
    await this.#create();
    await this.#start();
    await this.#forward(traffic);
    await this.#kill(traffic);
    await this.#readable(traffic);
    await this.#accounts();
    await this.#find(traffic);
    await this.#replay(traffic);
    await this.#speed();
    if (this.#options.keep) this.#next();
    this.#say(this.#ok ? "OK" : "FAILED");
    return this.#ok;
  }

  async end(): Promise<void> {
    for (const station of this.#stations) station.close();
    await this.#daemon?.kill();
  }

  #say(line: string): void {
    this.#options.print(line);
  }

  /** A promise: said, and the demo fails when it is not kept. */
  #promise(kept: boolean, line: string): void {
    if (!kept) this.#ok = false;
    this.#say(`${kept ? "   " : "NOT "} ${line}`);
  }

  async #command(args: string[]): Promise<{ stdout: string; stderr: string }> {
    this.#say(`$ ${commandLine(args)}`);
    return runCommand(args, this.#env);
  }

  #sayTraffic(traffic: DemoTraffic): void {
    const { frames, map, notes } = traffic;
    this.#say(`${frames.count} frames on ${map.length} ports (${notes.join("; ") || (this.#options.capture ?? "")})`);
    for (const { port, addresses } of map) {
      const more = addresses.length > 3 ? `, +${addresses.length - 3}` : "";
      this.#say(`    vale0:${port}  ${addresses.slice(0, 3).join(", ") || "listens"}${more}`);
    }
    this.facts.traffic = { frames: frames.count, notes, map };
  }

  async #create(): Promise<void> {
    await this.#command(["store", "create", "--size", "32M", this.#store]);
    const reader = openStore(this.#store);
    const { medium, survives } = await reader.info();
    reader.close();
    this.#say(`    medium ${medium}: ${survives}`);
    this.facts.medium = { medium, survives };
  }

  async #start(): Promise<void> {
    const args = ["daemon", "--store", this.#store, "--log", rule];
    this.#say(`$ ${commandLine(args)} &`);
    this.#daemon = await DaemonProcess.start(args, this.#env);
  }

  async #forward(traffic: DemoTraffic): Promise<void> {
    for (const port of traffic.ports) this.#stations.push(await Station.open(this.#ports, `vale0:${port}`, rule));
    const names = this.#stations.map((station) => station.port).join(", ");
    this.#say(`    a program attached to each of ${names}; each plays the frames of its hosts`);
    this.#play(traffic);
    await sleep(playedMs);
  }

  #play(traffic: DemoTraffic): void {
    const { frames } = traffic;
    const bytes = frames.capturedLengths.reduce((sum, length) => sum + length, 0);
    const framesPerSecond = Math.min(40_000, (playedBytesPerSecond * frames.count) / bytes);
    for (const [index, station] of this.#stations.entries()) {
      const own = framesOf(traffic, index);
      if (own.count > 0) station.play(own, (framesPerSecond * own.count) / frames.count);
    }
  }

  /** SIGKILL in mid-traffic, recovery, and what each receiver saw against what came back. */
  async #kill(traffic: DemoTraffic): Promise<void> {
    await this.#daemon!.kill();
    this.#say(`$ kill -9 ${this.#daemon!.pid}    # in mid-traffic`);
    const reports = [];
    for (const station of this.#stations) {
      await station.pause();
      reports.push({ port: station.port, ...(await station.report(true)) });
    }
    await this.#start();
    const recovered = await readRecovered(this.#store, 0n);
    const last = recovered.sequences.at(-1) ?? 0n;
    const report = /^.*recover.*$/im.exec(this.#daemon!.said)?.[0] ?? "";
    this.#say(`    ${report.trim()}`);
    this.#promise(
      recovered.digests.length > 0,
      `${recovered.digests.length} frames came back, the last is number ${last}`,
    );
    const verdicts = reports.map((seen) => ({
      port: seen.port,
      received: seen.received,
      ...judge(seen.selected, recovered),
    }));
    for (const { port, received, lastSequence, missing } of verdicts)
      this.#promise(
        missing === 0 && lastSequence <= last,
        `${port} saw ${received} frames, the last recorded one is number ${lastSequence}; missing from the store: ${missing}`,
      );
    if (verdicts.every(({ received }) => received === 0)) this.#promise(false, "no receiver saw a frame");
    this.facts.crash = {
      played: traffic.frames.count,
      recovered: recovered.digests.length,
      lastSequence: last,
      verdicts,
    };
  }

  async #readable(traffic: DemoTraffic): Promise<void> {
    const reader = openStore(this.#store);
    const { nextSequence } = await reader.info();
    reader.close();
    const reading = readableAfterNs(this.#store, { fromSequence: nextSequence }, 4000);
    this.#play(traffic);
    const values = (await reading).sort((a, b) => a - b);
    for (const station of this.#stations) await station.pause();
    const at = (share: number) =>
      (values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN) / 1e6;
    this.#promise(
      values.length > 0,
      `from arrival to readable in another process: median ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms (${values.length} frames)`,
    );
    this.facts.readable = { frames: values.length, p50Ms: at(0.5), p99Ms: at(0.99) };
  }

  /** Drops by reason, and the three sums. */
  async #accounts(): Promise<void> {
    const { stdout } = await this.#command(["stats", "--json"]);
    const stats = JSON.parse(stdout) as {
      ports: { counters: Counters }[];
      detached: Counters;
      selected: number;
      logged: number;
      notLogged: Record<string, number>;
    };
    const all = [...stats.ports.map(({ counters }) => counters), stats.detached];
    const sum = (value: (counters: Counters) => number) => all.reduce((total, counters) => total + value(counters), 0);
    const received = sum((c) => c.receivedFrames);
    const forwarded = sum((c) => c.forwardedFrames);
    const reasons: Record<string, number> = {};
    for (const { dropped } of all)
      for (const [reason, count] of Object.entries(dropped))
        if (count) reasons[reason] = (reasons[reason] ?? 0) + count;
    const dropped = total(reasons);
    const why = Object.entries(reasons).map(([reason, count]) => `${reason} ${count}`);
    this.#promise(
      received === forwarded + dropped,
      `received ${received} = forwarded ${forwarded} + dropped ${dropped}${why.length > 0 ? ` (${why.join(", ")})` : ""}`,
    );
    const notLogged = total(stats.notLogged);
    this.#promise(
      stats.selected === stats.logged + notLogged,
      `selected ${stats.selected} = logged ${stats.logged} + not logged ${notLogged}`,
    );
    this.facts.accounts = {
      received,
      forwarded,
      dropped: reasons,
      selected: stats.selected,
      logged: stats.logged,
      notLogged,
    };
    await this.#daemon!.stop();
    this.#daemon = undefined;
  }

  /** One host's frames, beside tcpdump where it is installed. */
  async #find(traffic: DemoTraffic): Promise<void> {
    const host = traffic.map.find(({ addresses }) => addresses.length > 0)!.addresses[0]!;
    const filter = ["ether", "host", host];
    const { stderr } = await this.#command(["export", "-r", this.#store, "-w", this.#export, ...filter]);
    const ours = await countFrames(this.#store, filter.join(" "));
    const tcpdump = spawnSync("tcpdump", ["-nr", this.#export, "-w", "-", ...filter], { maxBuffer: 2 ** 30 });
    if (tcpdump.error) {
      this.#promise(ours > 0, `${ours} frames of ${host} (tcpdump is not installed: not compared)`);
      this.facts.host = { host, frames: ours };
      return;
    }
    const theirs = countPcap(tcpdump.stdout);
    this.#promise(ours === theirs, `${ours} frames of ${host}; tcpdump -r host.pcapng finds ${theirs}`);
    this.facts.host = { host, frames: ours, tcpdump: theirs, said: stderr.trim() };
  }

  /** The kept frames into a switch that knows nothing of them, each into the port it came from. */
  async #replay(traffic: DemoTraffic): Promise<void> {
    for (const station of this.#stations) station.close();
    this.#stations = [];
    this.#daemon = await DaemonProcess.start(["daemon"], this.#env);
    const limit = Math.min(5000, (this.facts.crash as { recovered: number }).recovered);
    const into = traffic.ports.flatMap((port) => ["-i", `vale0:${port}`]);
    const pace = ["-p", "20000", "-L", String(limit), "--stats"];
    const { stdout, stderr } = await this.#command(["replay", "-r", this.#store, ...into, ...pace]);
    const control = await ControlClient.connect(this.#env.PASTE_SWITCH_CONTROL!);
    const { ports, detached } = await control.call("stats", {});
    control.close();
    const received = [...ports, { counters: detached }].reduce((sum, port) => sum + port.counters.receivedFrames, 0);
    const timing = /^.*p99.*$/m.exec(stdout + stderr)?.[0].trim() ?? "";
    this.#promise(received === limit, `a fresh switch received ${received} of ${limit} frames; ${timing}`);
    this.facts.replay = { played: limit, received, timing };
  }

  async #speed(): Promise<void> {
    const cost = await forwardingCost(this.#store.replace(/demo\.store$/, "speed.store"));
    this.#say(
      `    one thread, 64-byte frames: ${cost.plainNs.toFixed(1)} ns a frame, ${cost.loggedNs.toFixed(1)} ns with every frame logged (${cost.mode})`,
    );
    this.facts.speed = cost;
  }

  #next(): void {
    const viewer = ["tshark", "tcpdump"].find((tool) => !spawnSync(tool, ["--version"], { stdio: "ignore" }).error);
    this.#say("next:");
    this.#say(`    ${commandLine(["store", "info", this.#store])}`);
    this.#say(`    ${commandLine(["export", "-r", this.#store, "-w", "-", "tcp"])} | ${viewer ?? "tshark"} -r -`);
    this.#say(`    ${viewer ?? "tshark"} -r ${this.#export}`);
    this.facts.kept = { store: this.#store, export: this.#export };
  }
}

interface Counters {
  receivedFrames: number;
  forwardedFrames: number;
  dropped: Record<string, number>;
}

const total = (reasons: Record<string, number>) => Object.values(reasons).reduce((sum, count) => sum + count, 0);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function countFrames(path: string, filter: string): Promise<number> {
  const { compileFilter } = await import("../../logger/filter/compile.js");
  const reader = openStore(path);
  let count = 0;
  for await (const batch of reader.frames({ program: compileFilter(filter).bytes })) count += batch.count;
  reader.close();
  return count;
}

/** Records of a classic pcap file in memory, as tcpdump writes it. */
function countPcap(file: Buffer): number {
  const recordHeaderBytes = 16;
  let count = 0;
  for (let at = 24; at + recordHeaderBytes <= file.length; at += recordHeaderBytes + file.readUInt32LE(at + 8)) count++;
  if (count === 0 && file.length < 24) throw new PasteError("INTERNAL", "tcpdump wrote no capture");
  return count;
}
