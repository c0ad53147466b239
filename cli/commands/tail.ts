import { type Command, Option, oneStore } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";
import { addPrintOptions, type PrintFlags } from "../print-options.js";
import { filterArgument } from "../sources.js";

interface TailFlags extends InstanceFlags, PrintFlags {
  interface?: string;
  direction?: "in" | "out" | "inout";
  dropped?: boolean;
  read?: string;
  write?: string;
  count?: string;
  snaplen?: string;
  lines?: string;
  from?: string;
  buffer: string;
  untilStop?: boolean;
}

export function define(command: Command): void {
  addInstanceOptions(command)
    .argument(...filterArgument)
    .option("-r, --read <store>", "which store (default: the running daemon's)", oneStore)
    .option("-n, --lines <n>", "the newest n first (default: only what comes)")
    .option("--from <sequence>", "instead: from this sequence on")
    .option(
      "-i, --interface <port>",
      "not what is logged, but what passes this port of the running daemon; * and ? stand for several, any for all",
    )
    .addOption(
      new Option(
        "-Q, --direction <which>",
        "with -i: what came in, copies that left, or both (default: of one port both, of several what came in)",
      ).choices(["in", "out", "inout"]),
    )
    .option("--dropped", "with -i: frames that went nowhere, too")
    .option(
      "--buffer <size>",
      "with -i: what may wait in each thread of the switch until it is read, a power of two from 512K on",
      "4M",
    )
    .option("-c, --count <n>", "end after so many frames")
    .option("-s, --snaplen <bytes>", "so many bytes of a frame at most; 0: all")
    .option("-w, --write <file>", "pcapng instead of text; - is standard output")
    .option("--until-stop", "end when the daemon ends, instead of waiting for the next");
  addPrintOptions(command)
    .addHelpText(
      "after",
      `
Frames come within 10 ms of being durable. The store is only read, and the switch waits for nobody: what comes faster
than it is taken is left out, and said: blocks of the store that were used again, or with -i frames that were missed.

With -i each frame is told with the ports and what became of it; in pcapng with a port, whether it came in or left, and
why it went nowhere. A port shows what came in and what left, several show what came in. Under strict durability a
frame that a rule selects shows when its record is durable, not before. Filters ask for bytes and times then.

Examples:
  paste-switch tail
  paste-switch tail -n 20 -e tcp port 443
  paste-switch tail -i vale0:a -c 10 icmp
  paste-switch tail -i any --dropped
  paste-switch tail -i 'vale0:*' arp
  paste-switch tail --jsonl dropped | jq .outcome
  paste-switch tail -i vale0:a -w - | wireshark -k -i -`,
    )
    .action(tailCommand);
}

async function tailCommand(words: string[], flags: TailFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  if (flags.write === "-" && process.stdout.isTTY)
    throw new PasteError("USAGE", "standard output is a terminal: captures are binary, use -w FILE or a pipe");
  const [with_, without] =
    flags.interface === undefined ? ["direction dropped", "-i"] : ["read lines from", "what is logged, not with -i"];
  const wrong = with_.split(" ").find((name) => flags[name as keyof TailFlags] !== undefined);
  if (wrong !== undefined)
    throw new PasteError("USAGE", `--${wrong} goes with ${without}: see \`paste-switch help tail\``);
  await (flags.interface === undefined ? tailLog(words, flags) : tailLive(words, flags, flags.interface));
}

const say = (text: string) => process.stderr.write(`${text}\n`);

/** What both kinds of tail are told. */
async function commonOptions(words: string[], flags: TailFlags) {
  const { parseWhole } = await import("../../switch/units.js");
  const { packetPrinter } = await import("../print-options.js");
  const { snaplenOption } = await import("../sources.js");
  const { interruption } = await import("../progress.js");
  return {
    output: flags.write ?? "-",
    filter: words.join(" "),
    signal: interruption(),
    ...(flags.write === undefined && { print: await packetPrinter(flags, flags.interface !== undefined) }),
    ...(flags.count !== undefined && { limit: parseWhole(flags.count, "-c", 1, Number.MAX_SAFE_INTEGER) }),
    ...(await snaplenOption(flags.snaplen)),
    ...(flags.untilStop && { untilStop: true }),
  };
}

async function tailLog(words: string[], flags: TailFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { tailStore } = await import("../../logger/tail.js");
  const { parseSequence, parseWhole } = await import("../../switch/units.js");
  const { damageText, formatOf, onOvertaken } = await import("../format.js");
  const { readStore } = await import("../sources.js");
  const store = await readStore(flags);
  const report = await tailStore({
    store,
    ...(await commonOptions(words, flags)),
    ...(flags.lines !== undefined && { last: parseWhole(flags.lines, "-n", 0, 10_000_000) }),
    ...(flags.from !== undefined && { fromSequence: parseSequence(flags.from, "--from") }),
    onWriter: (alive) => say(alive ? "a daemon writes the store again" : "no daemon writes the store: waiting for one"),
    onOvertaken: onOvertaken("tail", say),
  });
  say(
    `${formatOf(report.frames, "frame")}${report.overtaken > 0 ? `, ${formatOf(report.overtaken, "block")} overtaken` : ""}`,
  );
  if (report.corrupt > 0) throw new PasteError("STORE", damageText(report.corrupt));
}

async function tailLive(words: string[], flags: TailFlags, port: string): Promise<void> {
  const { locateInstance } = await import("../../switch/instance.js");
  const { tailPort } = await import("../../switch/tap.js");
  const { parseSize } = await import("../../switch/units.js");
  const { formatOf } = await import("../format.js");
  const report = await tailPort({
    socket: locateInstance(flags).ports,
    port,
    ...(await commonOptions(words, flags)),
    ...(flags.direction !== undefined && { direction: flags.direction }),
    ...(flags.dropped && { dropped: true }),
    ringBytes: parseSize(flags.buffer, "--buffer"),
    onOpen: () => say(`listening on ${port}`),
    onMissed: (frames) => say(`${formatOf(frames, "frame")} missed`),
    onGone: () => say("the daemon is gone: waiting for the next"),
  });
  const unread =
    report.ended === "aborted" && report.unread > 0 ? `, ${formatOf(report.unread, "frame")} not read any more` : "";
  say(
    `${formatOf(report.frames, "frame")} of ${formatOf(report.seen, "frame")} seen, ${formatOf(report.missed, "frame")} missed${unread}`,
  );
}
