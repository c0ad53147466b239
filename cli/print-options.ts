// Options for packets as text, as tcpdump has them, and the printer that they ask for.
import type { PacketLines } from "../logger/tail-output.js";
import type { Command } from "./commander.js";

export interface PrintFlags {
  e?: boolean;
  x?: number;
  X?: number;
  A?: number;
  t?: number;
  S?: boolean;
  utc?: boolean;
  json?: boolean;
  jsonl?: boolean;
}

const more = (_: string, times = 0) => times + 1;

export function addPrintOptions(command: Command): Command {
  return command
    .option("-e", "the Ethernet header, and what the switch knows: ports, rule, outcome")
    .option(
      "-t",
      "no time; -tt seconds since 1970, -ttt since the last one, -tttt with the day, -ttttt since the first",
      more,
    )
    .option("-x", "the bytes behind the Ethernet header, in hex; -xx with it", more)
    .option("-X", "the same in hex and ASCII; -XX with it", more)
    .option("-A", "the same in ASCII; -AA with it", more)
    .option("-S", "TCP's sequence numbers as they are")
    .option("--utc", "times in UTC")
    .option("--jsonl", "one JSON object a line, with the names of EVE (--json: the same)")
    .option("--json");
}

const timeStyles = ["clock", "none", "seconds", "since-previous", "date", "since-first"] as const;

/** `switchWords`: what the switch knows is shown, whether or not -e was given. */
export async function packetPrinter(flags: PrintFlags, switchWords = false): Promise<PacketLines> {
  const { utc = false } = flags;
  if (flags.json || flags.jsonl) {
    const { packetJson } = await import("../logger/print/packet-json.js");
    const { jsonText } = await import("../logger/print/plain-text.js");
    return (packet) => `${jsonText(packetJson(packet, { utc }))}\n`;
  }
  const { PacketText } = await import("../logger/print/packet-text.js");
  const dumps = [
    [flags.x, "x", "xx"],
    [flags.X, "X", "XX"],
    [flags.A, "A", "AA"],
  ] as const;
  const hex = dumps.map(([times = 0, once, twice]) => (times > 1 ? twice : times > 0 ? once : undefined)).find(Boolean);
  const style = timeStyles[Math.min(flags.t ?? 0, timeStyles.length - 1)]!;
  const printer = new PacketText({
    style,
    utc,
    ...(flags.e && { linkHeader: true }),
    ...((flags.e || switchWords) && { switchWords: true }),
    ...(flags.S && { absoluteSequences: true }),
    ...(hex && { hex }),
  });
  return (packet) => `${printer.text(packet)}\n`;
}
