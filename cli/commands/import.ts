import { type Command, Option } from "../commander.js";
import { type CaptureFlags, captureOptions } from "../sources.js";

interface ImportFlags extends CaptureFlags {
  store: string;
  size?: string;
  full?: "overwrite" | "stop" | "block";
  count?: string;
  filter?: string;
  index: boolean;
}

export function define(command: Command): void {
  command
    .argument("<capture...>", "pcap or pcapng files; - is standard input")
    .requiredOption("--store <path>", "a store that no daemon has open")
    .option("--size <size>", "makes the store when it is missing: 64M, 1G, ...")
    .addOption(new Option("--full <policy>", "when the store is full").choices(["overwrite", "stop"]).default("stop"))
    .option("-c, --count <n>", "so many frames at most")
    .option("--filter <filter>", "only frames that it matches: pcap-filter(7), after TIME and such, in quotes")
    .option("--synth-ethernet", "give frames without Ethernet headers (-i any, raw IP) some")
    .option("--allow-truncated", "a capture that ends inside a frame is a warning, not an error")
    .option("--no-index", "do not index it: queries read everything, until a daemon opens the store")
    .addHelpText(
      "after",
      `
Frames keep their times, lengths and order; each interface of a capture becomes a port. Of a damaged capture everything
before the damage is imported, and the exit status is 1.

Examples:
  paste-switch import --store case7.store --size 1G evidence-*.pcapng
  tcpdump -i eth0 -w - | paste-switch import --store live.store --size 256M --full overwrite -`,
    )
    .action(importCommand);
}

async function importCommand(captures: string[], flags: ImportFlags): Promise<void> {
  const { existsSync } = await import("node:fs");
  const { PasteError } = await import("../../logger/errors.js");
  const { importCaptures } = await import("../../logger/import.js");
  const { recoveryText } = await import("../../switch/recovery-text.js");
  const { parseSize, parseWhole } = await import("../../switch/units.js");
  const { formatBytes, formatOf } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const say = (text: string) => process.stderr.write(`${text}\n`);
  const limit = flags.count === undefined ? {} : { limit: parseWhole(flags.count, "-c", 1, Number.MAX_SAFE_INTEGER) };
  const size = flags.size === undefined ? {} : { sizeBytes: parseSize(flags.size, "--size") };
  if (flags.size === undefined && !existsSync(flags.store))
    throw new PasteError("STORE", `there is no store ${flags.store}: give its size (--size 64M) to make it`);
  const progress = new Progress("imported");
  const report = await importCaptures({
    captures,
    store: flags.store,
    index: flags.index,
    signal: interruption(),
    onProgress: ({ frames, bytes }) => progress.show(frames, bytes),
    ...limit,
    ...size,
    ...(flags.full === undefined ? {} : { full: flags.full }),
    ...(flags.filter === undefined ? {} : { filter: flags.filter }),
    ...captureOptions(flags),
  }).finally(() => progress.end());
  if (report.made) say(`store ${flags.store} made`);
  for (const line of recoveryText(report.recovery)) say(line);
  if (report.indexDamaged > 0)
    say(`index: ${formatOf(report.indexDamaged, "block")} damaged and given up; what they covered was indexed anew`);
  for (const { path, notes, warnings, problem } of report.captures) {
    for (const line of [...notes, ...warnings]) say(line.startsWith(path) ? line : `${path}: ${line}`);
    if (problem) say(`paste-switch: ${problem.message}`);
  }
  if (report.skipped > 0) say(`${formatOf(report.skipped, "frame")} left out`);
  if (report.shortened > 0) say(`${formatOf(report.shortened, "frame")} cut to 256 KiB`);
  say(`${formatOf(report.frames, "frame")}, ${formatBytes(report.bytes)}${report.aborted ? ", interrupted" : ""}`);
  if (report.refused > 0)
    throw new PasteError(
      "RESOURCE",
      `${flags.store} is full: ${formatOf(report.refused, "frame")} not taken; use a larger --size, or \`paste-switch store trim\``,
    );
  if (report.captures.some(({ problem }) => problem)) process.exitCode = 1;
}
