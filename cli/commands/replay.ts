import type { ReplayReport } from "../../logger/replay.js";
import type { Command } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

interface ReplayFlags extends InstanceFlags {
  interface: string[];
  read?: string[];
  map?: string[];
  speed?: string;
  pps?: string;
  mbps?: string;
  topspeed?: boolean;
  loops?: string;
  limit?: string;
  preload?: boolean;
  stats?: boolean;
  json?: boolean;
  synthEthernet?: boolean;
  allowTruncated?: boolean;
}

const collect = (value: string, previous: string[] = []) => [...previous, value];

export function define(command: Command): void {
  addInstanceOptions(command)
    .argument("[filter...]", "pcap-filter(7), and words about records; none: every frame")
    .requiredOption(
      "-i, --interface <port>",
      "a port to attach and send into, such as vale1:a; may be repeated",
      collect,
    )
    .option(
      "-r, --read <source>",
      "a store or a capture; may be repeated (default: the running daemon's store)",
      collect,
    )
    .option("--map <from=to>", "frames that came from this port go into that one; may be repeated", collect)
    .option("-x, --speed <factor>", "times the frames' own timing (default 1)")
    .option("-p, --pps <rate>", "so many frames a second")
    .option("-M, --mbps <rate>", "so many megabits a second")
    .option("-t, --topspeed", "as fast as the switch takes them")
    .option("-l, --loops <n>", "so many times")
    .option("-L, --limit <n>", "so many frames at most")
    .option("-K, --preload", "read everything into memory first")
    .option("--stats", "say how well the times were kept")
    .option("--json", "the whole report as JSON")
    .option("--synth-ethernet", "give frames of captures without Ethernet headers some")
    .option("--allow-truncated", "a capture that ends inside a frame is a warning, not an error")
    .addHelpText(
      "after",
      `
Frames go into the port that has the name of the one they came from, in this switch or another; into the only port, if
there is one; or as --map says. Deadlines are absolute: a late frame does not delay the others. Words about records (in-port,
after, ...) are those of \`paste-switch export --help\`.

Examples:
  paste-switch replay -i vale1:a -i vale1:b
  paste-switch replay -r lunch.pcap -i vale0:r -x 10 --stats tcp port 80
  paste-switch replay -i vale1:r between 14:00 and 14:05 and in-port vale0:a
  paste-switch replay -r lab.store -i vale1:r -t -l 100 -K`,
    )
    .action(replay);
}

async function replay(words: string[], flags: ReplayFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { replayFrames } = await import("../../logger/replay.js");
  const { locateInstance } = await import("../../switch/instance.js");
  const { checkPortName } = await import("../../switch/port-spec.js");
  const { parseRate, parseWhole } = await import("../../switch/units.js");
  const { formatJson } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const { readSources } = await import("../sources.js");
  const paces = [flags.speed, flags.pps, flags.mbps, flags.topspeed].filter((pace) => pace !== undefined);
  if (paces.length > 1) throw new PasteError("USAGE", "-x, -p, -M and -t exclude each other: choose one");
  for (const name of flags.interface) checkPortName(name);
  const progress = new Progress("replayed");
  const report = await replayFrames({
    socket: locateInstance(flags).ports,
    ports: flags.interface,
    filter: words.join(" "),
    ...(flags.map === undefined ? {} : { map: parseMap(flags.map, PasteError) }),
    ...(flags.speed === undefined ? {} : { speed: parseRate(flags.speed, "-x") }),
    ...(flags.pps === undefined ? {} : { framesPerSecond: parseRate(flags.pps, "-p") }),
    ...(flags.mbps === undefined ? {} : { megabitsPerSecond: parseRate(flags.mbps, "-M") }),
    ...(flags.topspeed ? { topSpeed: true } : {}),
    ...(flags.loops === undefined ? {} : { loops: parseWhole(flags.loops, "-l", 1, 2 ** 31) }),
    ...(flags.limit === undefined ? {} : { limit: parseWhole(flags.limit, "-L", 1, Number.MAX_SAFE_INTEGER) }),
    ...(flags.preload ? { preload: true } : {}),
    ...(flags.synthEthernet ? { synthesizeEthernet: true } : {}),
    ...(flags.allowTruncated ? { allowTruncated: true } : {}),
    sources: await readSources(flags.read, flags),
    signal: interruption(),
    onProgress: (frames) => progress.show(frames),
  }).finally(() => progress.end());
  if (flags.json) process.stdout.write(`${formatJson(report)}\n`);
  for (const line of await reportLines(report, flags.stats ?? false)) process.stderr.write(`${line}\n`);
}

function parseMap(
  pairs: string[],
  PasteError: typeof import("../../logger/errors.js").PasteError,
): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.lastIndexOf("=");
      if (at < 1) throw new PasteError("USAGE", `--map "${pair}": write FROM=TO, such as vale0:a=vale1:a`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

async function reportLines(report: ReplayReport, timing: boolean): Promise<string[]> {
  const { formatBytes, formatCount, formatDuration, formatOf } = await import("../format.js");
  const lines = [...report.notes, ...report.warnings];
  if (report.unmapped > 0) lines.push(`${formatOf(report.unmapped, "frame")} left out: no port to go into; use --map`);
  if (report.tooLong > 0) lines.push(`${formatOf(report.tooLong, "frame")} left out: longer than a port takes`);
  if (report.empty > 0) lines.push(`${formatOf(report.empty, "frame")} left out: empty`);
  if (report.corrupt > 0) lines.push(`${formatOf(report.corrupt, "damaged record")} left out`);
  if (report.overtaken > 0) lines.push(`${formatOf(report.overtaken, "block")} overwritten before being read`);
  const seconds = report.elapsedNs / 1e9;
  const rate = seconds > 0 ? `, ${formatCount(Math.round(report.sentFrames / seconds))} a second` : "";
  lines.push(
    `${formatOf(report.sentFrames, "frame")}, ${formatBytes(report.sentBytes)} in ` +
      `${formatDuration(report.elapsedNs / 1e6)}${rate}${report.aborted ? ", interrupted" : ""}`,
  );
  if (timing)
    lines.push(
      `later than due: p50 ${formatDuration(report.errorP50Ns / 1e6)}, p99 ${formatDuration(report.errorP99Ns / 1e6)}, ` +
        `max ${formatDuration(report.errorMaxNs / 1e6)}; ${formatOf(report.missed, "frame")} by more than 1 ms, ` +
        `a full ring was waited for ${formatOf(report.waits, "time")}`,
    );
  if (report.unconfirmedPorts > 0)
    lines.push(`${formatOf(report.unconfirmedPorts, "port")} not emptied by the switch in time`);
  return lines;
}
