// Options for packets as text, as tcpdump has them, and the printer that they ask for.
import type { HexStyle, PacketTextOptions } from "../logger/print/packet-text.js";
import type { PacketLines } from "../logger/tail-output.js";
import type { Command } from "./commander.js";

export interface TextFlags {
  e?: boolean;
  x?: number;
  X?: number;
  A?: number;
  t?: number;
  S?: boolean;
  utc?: boolean;
}
export interface PrintFlags extends TextFlags {
  json?: boolean;
  jsonl?: boolean;
}

const more = (_: string, times = 0) => times + 1;

export function addTextOptions(command: Command): Command {
  return command
    .option("-e", "the link's header, and what the switch knows: ports, rule, outcome")
    .option("-S", "TCP's sequence numbers as they are, not relative")
    .option(
      "-t",
      "no time; -tt seconds since 1970, -ttt since the packet before, -tttt with the date, -ttttt since the first",
      more,
    )
    .option("-x", "each packet in hex; -xx with the link's header", more)
    .option("-X", "in hex and ASCII; -XX with the link's header", more)
    .option("-A", "in ASCII; -AA with the link's header", more)
    .option("--utc", "times in UTC");
}

export function addPrintOptions(command: Command): Command {
  return addTextOptions(command)
    .option("--jsonl", "one JSON object a line, with the names of EVE (Suricata)")
    .option("--json", "the same: what goes on has no end that an array could have");
}

const timeStyles = ["clock", "none", "seconds", "since-previous", "date", "since-first"] as const;

/** What the options of addTextOptions() ask for. Throws USAGE. */
export async function textOptions(flags: TextFlags): Promise<PacketTextOptions> {
  const { PasteError } = await import("../logger/errors.js");
  const [letter, another] = (["x", "X", "A"] as const).filter((each) => flags[each]);
  if (another) throw new PasteError("USAGE", "-x, -X and -A exclude each other: choose one");
  const style = timeStyles[flags.t ?? 0];
  if (!style) throw new PasteError("USAGE", "-t is given too often: there are -t, -tt, -ttt, -tttt and -ttttt");
  return {
    utc: flags.utc ?? false,
    style,
    linkHeader: flags.e ?? false,
    absoluteSequences: flags.S ?? false,
    ...(letter && { hex: flags[letter]! > 1 ? (`${letter}${letter}` as HexStyle) : letter }),
  };
}

/** `switchWords`: what the switch knows is shown, whether or not -e was given. */
export async function packetPrinter(flags: PrintFlags, switchWords = false): Promise<PacketLines> {
  if (flags.json || flags.jsonl) {
    const { packetJson } = await import("../logger/print/packet-json.js");
    const { jsonText } = await import("../logger/print/plain-text.js");
    const { utc = false } = flags;
    return (packet) => `${jsonText(packetJson(packet, { utc }))}\n`;
  }
  const { PacketText } = await import("../logger/print/packet-text.js");
  const printer = new PacketText({ ...(await textOptions(flags)), ...(switchWords && { switchWords }) });
  return (packet) => `${printer.text(packet)}\n`;
}
