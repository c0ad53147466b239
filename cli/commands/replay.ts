import type { ReplayOptions, ReplayReport } from "../../logger/replay.js";
import { type Command, repeated } from "../commander.js";
import { addInstanceOptions } from "../connect.js";
import { addCaptureOptions, addSourceOptions, type SourceFlags, sourceOptions } from "../sources.js";

interface ReplayFlags extends SourceFlags {
  interface: string[];
  map?: string[];
  speed?: string;
  pps?: string;
  mbps?: string;
  topspeed?: boolean;
  loops?: string;
  limit?: string;
  until?: string;
  startAt?: string;
  realtime?: boolean;
  marker?: string | true;
  rewriteMac?: string[];
  rewriteIp?: string[];
  rewritePort?: string[];
  rewriteVlan?: string;
  preload?: boolean;
  stats?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  addSourceOptions(
    addInstanceOptions(command).requiredOption(
      "-i, --interface <port>",
      "a port to attach and send into, such as vale1:a, or a device: eth0, tap:t0, xdp:eth0; may be repeated",
      repeated,
    ),
  )
    .option("--map <from=to>", "frames that came from this port go into that one; may be repeated", repeated)
    .option("-x, --speed <factor>", "times the frames' own timing (default: 1)")
    .option("-p, --pps <rate>", "so many frames a second")
    .option("-M, --mbps <rate>", "so many megabits a second")
    .option("-t, --topspeed", "as fast as the switch takes them")
    .option("-l, --loops <n>", "so many times; 0: until it is stopped (default: 1)")
    .option("-L, --limit <n>", "so many frames at most, over all loops")
    .option("--until <time|sequence>", "up to, but not including, this time; or up to this record of a store")
    .option(
      "--start-at <time>",
      "the first frame goes at this time: 14:00, 2026-11-22T14:00:00Z; of a past one at once, and said",
    )
    .option("--realtime", "run the sending thread ahead of others on its core, also where there is one only")
    .option("--no-realtime", "never do (default: where it may, it has deadlines and there is more than one core)")
    .option("--marker [text]", "a frame of type 0x88b5 before the first and after the last one")
    .option("--rewrite-mac <from=to>", "change Ethernet addresses, also in ARP; may be repeated", repeated)
    .option(
      "--rewrite-ip <from=to>",
      "change addresses or networks, 10.0.0.0/8=172.16.0.0/8; may be repeated",
      repeated,
    )
    .option("--rewrite-port <from=to>", "change ports; may be repeated", repeated)
    .option("--rewrite-vlan <n|strip|add:n>", "change, take away or add the outermost VLAN tag")
    .option("-K, --preload", "read everything into memory first")
    .option("--stats", "say how well the times were kept")
    .option("--json", "the whole report as JSON");
  addCaptureOptions(command)
    .addHelpText(
      "after",
      `
Several sources are sent one behind the other. Frames go into the port that has the name of the one they came from, in
this switch or another; into the only port, if there is one; or as --map says. Ports of a switch are attached to;
devices are opened without a daemon, with the rights of this process. Exits 1 where damaged records were left out.
Deadlines are absolute: a late frame does not delay the others. Checksums are mended where something was rewritten. On
a terminal, space pauses and goes on, n or enter sends the next frame, q ends. Words about records (in-port, after,
...) are those of \`paste-switch export --help\`; logger/REPLAY.md has the rest.

Examples:
  paste-switch replay -i vale1:a -i vale1:b
  paste-switch replay -r lunch.pcap -i vale0:r -x 10 --stats tcp port 80
  paste-switch replay -i vale1:r between 14:00 and 14:05 and in-port vale0:a
  paste-switch replay -r lab.store -i vale1:r -t -l 100 -K
  paste-switch replay -r lunch.pcap -i tap:t0 --rewrite-ip 10.0.0.0/8=172.16.0.0/8 --rewrite-vlan strip
  paste-switch replay -r lab.store -i eth1 --until 48211 --marker trial-7 --start-at 14:00`,
    )
    .action(replay);
}

async function replay(words: string[], flags: ReplayFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { replayFrames } = await import("../../logger/replay.js");
  const { controlByKeyboard, keysText, ReplayControl } = await import("../../logger/replay-control.js");
  const { parseTimeOption } = await import("../../logger/filter/times.js");
  const { locateInstance } = await import("../../switch/instance.js");
  const { checkPortName } = await import("../../switch/port-spec.js");
  const { parseRate, parseSequence, parseWhole } = await import("../../switch/units.js");
  const { damageText, formatDuration, formatJson } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const paces = [flags.speed, flags.pps, flags.mbps, flags.topspeed].filter((pace) => pace !== undefined);
  if (paces.length > 1) throw new PasteError("USAGE", "-x, -p, -M and -t exclude each other: choose one");
  for (const name of flags.interface) if (name.startsWith("vale")) checkPortName(name);
  const read = await sourceOptions(words, flags);
  const progress = new Progress("replayed");
  const control = new ReplayControl();
  const end = new AbortController();
  const options: ReplayOptions = {
    socket: locateInstance(flags).ports,
    control,
    ...untilOf(flags.until, parseTimeOption, parseSequence),
    ...(flags.startAt === undefined ? {} : { beginAtNs: parseTimeOption(flags.startAt, "--start-at") }),
    ...(flags.realtime === undefined ? {} : { realtime: flags.realtime }),
    ...(flags.marker === undefined ? {} : { marker: flags.marker === true ? "marker" : flags.marker }),
    rewrite: {
      ...(flags.rewriteMac && { macs: flags.rewriteMac }),
      ...(flags.rewriteIp && { addresses: flags.rewriteIp }),
      ...(flags.rewritePort && { ports: flags.rewritePort }),
      ...(flags.rewriteVlan !== undefined && { vlan: flags.rewriteVlan }),
    },
    ports: flags.interface,
    ...(flags.map === undefined ? {} : { map: parseMap(flags.map, PasteError) }),
    ...(flags.speed === undefined ? {} : { speed: parseRate(flags.speed, "-x") }),
    ...(flags.pps === undefined ? {} : { framesPerSecond: parseRate(flags.pps, "-p") }),
    ...(flags.mbps === undefined ? {} : { megabitsPerSecond: parseRate(flags.mbps, "-M") }),
    ...(flags.topspeed ? { topSpeed: true } : {}),
    ...(flags.loops === undefined ? {} : { loops: parseWhole(flags.loops, "-l", 0, 2 ** 31) }),
    ...(flags.limit === undefined ? {} : { limit: parseWhole(flags.limit, "-L", 1, Number.MAX_SAFE_INTEGER) }),
    ...(flags.preload ? { preload: true } : {}),
    ...read,
    signal: AbortSignal.any([interruption(), end.signal]),
    onProgress: (frames) => progress.show(frames, undefined, control.paused ? ", paused" : ""),
  };
  // Only now: whatever is wrong above leaves the terminal alone.
  const release = controlByKeyboard(process.stdin, control, () => {
    if (end.signal.aborted) process.exit(1);
    end.abort();
  });
  if (release && process.stderr.isTTY) process.stderr.write(`${keysText}\n`);
  const pastMs = options.beginAtNs === undefined ? 0 : Date.now() - Number(options.beginAtNs / 1_000_000n);
  if (pastMs > 0) process.stderr.write(`--start-at was ${formatDuration(pastMs)} ago: the replay begins at once\n`);
  const report = await replayFrames(options).finally(() => {
    release?.();
    progress.end();
  });
  if (flags.json) process.stdout.write(`${formatJson(report)}\n`);
  for (const line of await reportLines(report, flags.stats ?? false, flags.topspeed ?? false))
    process.stderr.write(`${line}\n`);
  if (report.corrupt > 0) throw new PasteError("STORE", damageText(report.corrupt));
}

/** A whole number of less than ten digits is a sequence (as seconds since 1970 it would be long ago), and so is #N. */
function untilOf(
  text: string | undefined,
  time: (text: string, what: string) => bigint,
  sequence: (text: string, what: string) => bigint,
): { untilNs?: bigint; toSequence?: bigint } {
  if (text === undefined) return {};
  const number = /^#(\d+)$|^(\d{1,9})$/.exec(text);
  return number ? { toSequence: sequence(number[1] ?? number[2]!, "--until") } : { untilNs: time(text, "--until") };
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

async function reportLines(report: ReplayReport, timing: boolean, topSpeed: boolean): Promise<string[]> {
  const { formatBytes, formatCount, formatDuration, formatOf, formatTime, overtakenText } = await import(
    "../format.js"
  );
  const lines = [...report.notes, ...report.warnings];
  if (report.unmapped > 0) lines.push(`${formatOf(report.unmapped, "frame")} left out: no port to go into; use --map`);
  if (report.tooLong > 0) lines.push(`${formatOf(report.tooLong, "frame")} left out: longer than a port takes`);
  if (report.empty > 0) lines.push(`${formatOf(report.empty, "frame")} left out: empty`);
  if (report.cut > 0) lines.push(`${formatOf(report.cut, "frame")} sent cut: only their first bytes were kept`);
  if (report.refused > 0)
    lines.push(
      `${formatOf(report.refused, "frame")} refused by the device: it was down or without carrier, or takes none that long or short`,
    );
  if (report.unmended > 0)
    lines.push(`${formatOf(report.unmended, "frame")} with an SCTP checksum that could not be made anew`);
  if (report.overtaken > 0) lines.push(overtakenText(report.overtaken, "replay"));
  if (report.startLateNs > 0) lines.push(`began ${formatDuration(report.startLateNs / 1e6)} later than --start-at`);
  const seconds = report.elapsedNs / 1e9;
  const rate = seconds > 0 ? `, ${formatCount(Math.round(report.sentFrames / seconds))} a second` : "";
  lines.push(
    `${formatOf(report.sentFrames, "frame")}, ${formatBytes(report.sentBytes)} in ` +
      `${formatDuration(report.elapsedNs / 1e6)}${rate}${report.aborted ? ", interrupted" : ""}`,
  );
  if (timing && report.sentFrames > 0) {
    const late = (ns: number) => formatDuration(ns / 1e6);
    const paused = report.pausedNs > 0 ? `, of that paused ${late(report.pausedNs)}` : "";
    lines.push(`began ${formatTime(report.beganNs)}, ended ${formatTime(report.endedNs)}${paused}`);
    if (!topSpeed) {
      const share = ((100 * report.late) / report.sentFrames).toFixed(2);
      lines.push(
        `later than due: p50 ${late(report.errorP50Ns)}, p99 ${late(report.errorP99Ns)}, p99.9 ${late(report.errorP999Ns)}, ` +
          `max ${late(report.errorMaxNs)}; ${share} % by more than 10 us, ${formatOf(report.missed, "frame")} by more than 1 ms`,
      );
      const { firstSecondP50Ns: first, lastSecondP50Ns: last } = report;
      if (first !== undefined && last !== undefined)
        lines.push(`drift: p50 ${late(first)} in the first second, ${late(last)} in the last one`);
      lines.push(`the sending thread ran ${report.realtime ? "ahead of others" : "as any other, not in real time"}`);
    }
    lines.push(`a full ring was waited for ${formatOf(report.waits, "time")}`);
  }
  if (report.unconfirmedPorts > 0)
    lines.push(`${formatOf(report.unconfirmedPorts, "port")} not emptied by the switch in time`);
  return lines;
}
