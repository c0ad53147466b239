import { type Command, Option } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

interface ExportFlags extends InstanceFlags {
  write: string;
  read?: string[];
  format: "pcapng" | "pcap" | "nsecpcap";
  count?: string;
  snaplen?: string;
  from?: string;
  to?: string;
  synthEthernet?: boolean;
  allowTruncated?: boolean;
}

const collect = (value: string, previous: string[] = []) => [...previous, value];

export function define(command: Command): void {
  addInstanceOptions(command)
    .argument("[filter...]", "pcap-filter(7), and words about records; none: every frame")
    .requiredOption("-w, --write <file>", "where to; - is standard output")
    .option(
      "-r, --read <source>",
      "a store or a capture; may be repeated (default: the running daemon's store)",
      collect,
    )
    .addOption(new Option("-F, --format <format>", "format").choices(["pcapng", "pcap", "nsecpcap"]).default("pcapng"))
    .option("-c, --count <n>", "so many frames at most")
    .option("-s, --snaplen <bytes>", "so many bytes of a frame at most")
    .option("--from <sequence>", "of a store: from this sequence on")
    .option("--to <sequence>", "of a store: up to this sequence")
    .option("--synth-ethernet", "give frames of captures without Ethernet headers some")
    .option("--allow-truncated", "a capture that ends inside a frame is a warning, not an error")
    .addHelpText(
      "after",
      `
A store may be in use: it is only read. pcapng has nanoseconds, an interface for each port, and the sequence as packet id.
SIGINT ends the export; the file is complete up to there.

Besides pcap-filter(7): after TIME, before TIME, between TIME and TIME, community-id ID, and of stores in-port NAME, out-port
NAME, rule NAME, forwarded, flooded, dropped, dropped REASON. Times: 14:00, yesterday 14:00:05, 15m ago, 2026-11-22T14:00:00Z, seconds since
1970. Names may be vale0:* (in quotes, because of the shell). Everywhere: flow 10.0.0.1:40000 10.0.0.2:443 tcp.

Examples:
  paste-switch export -w all.pcapng
  paste-switch export -r lab.store -w dns.pcapng udp port 53
  paste-switch export -w lost.pcapng dropped and after 15m ago
  paste-switch export -w night.pcapng between yesterday 22:00 and 06:00 and in-port 'vale0:*'
  paste-switch export -w - tcp port 80 and host 10.0.0.1 | tshark -r -`,
    )
    .action(exportCommand);
}

async function exportCommand(words: string[], flags: ExportFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { exportFrames } = await import("../../logger/export.js");
  const { parseSequence, parseWhole } = await import("../../switch/units.js");
  const { formatBytes, formatOf } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const { readSources } = await import("../sources.js");
  if (flags.write === "-" && process.stdout.isTTY)
    throw new PasteError("USAGE", "standard output is a terminal: captures are binary, use -w FILE or a pipe");
  const progress = new Progress("exported");
  const report = await exportFrames({
    sources: await readSources(flags.read, flags),
    output: flags.write,
    format: flags.format,
    filter: words.join(" "),
    signal: interruption(),
    onProgress: ({ frames, bytes }) => progress.show(frames, bytes),
    ...(flags.count === undefined ? {} : { limit: parseWhole(flags.count, "-c", 1, Number.MAX_SAFE_INTEGER) }),
    ...(flags.snaplen === undefined ? {} : { snaplen: parseWhole(flags.snaplen, "-s", 1, 262144) }),
    ...(flags.from === undefined ? {} : { fromSequence: parseSequence(flags.from, "--from") }),
    ...(flags.to === undefined ? {} : { toSequence: parseSequence(flags.to, "--to") }),
    ...(flags.synthEthernet ? { synthesizeEthernet: true } : {}),
    ...(flags.allowTruncated ? { allowTruncated: true } : {}),
  }).finally(() => progress.end());
  const say = (text: string) => process.stderr.write(`${text}\n`);
  for (const line of [...report.notes, ...report.warnings]) say(line);
  if (report.lost > 0) say(`${formatOf(report.lost, "frame")} that a rule selected could not be logged`);
  if (report.overtaken > 0) say(`${formatOf(report.overtaken, "block")} overwritten while being read`);
  say(
    `${formatOf(report.frames, "frame")}, ${formatBytes(report.bytes)}${report.ended === "aborted" ? ", interrupted" : ""}`,
  );
  if (report.corrupt > 0)
    throw new PasteError(
      "STORE",
      `${formatOf(report.corrupt, "damaged record")} left out: see \`paste-switch store verify\``,
    );
}
