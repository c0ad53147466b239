// The attached ports as text for people: a table, and below each port what it stands on and why it is not more.
import type { PortInfo } from "../native/engine.js";
import { formatCount, formatTable, terminalWidth, wrapText } from "./format.js";

const header = ["port", "kind", "state", "pid", "frame max", "received", "delivered"];
const leastWidth = 40;
export const noPortsText = "no ports: add one with `paste-switch port add vale0:NAME`, or let a program open one\n";

export function portsText(ports: readonly PortInfo[], width = terminalWidth()): string {
  if (ports.length === 0) return noPortsText;
  const rows = ports.map((port) => [
    port.name,
    port.kind,
    stateOf(port).state,
    port.clientPid < 0 ? "-" : String(port.clientPid),
    String(port.frameBytesMax),
    formatCount(port.counters.receivedFrames),
    formatCount(port.counters.deliveredCopies),
  ]);
  const [head, ...lines] = formatTable(header, rows, header.slice(3), Infinity).trimEnd().split("\n");
  const below = ports.map((port) => wrapText(notesOf(port), Math.max(leastWidth, width) - 4).filter(Boolean));
  return `${[head, ...lines.flatMap((line, i) => [line, ...below[i]!.map((note) => `    ${note}`)])].join("\n")}\n`;
}

/** An error in one word, and what it was. */
function stateOf({ state }: PortInfo): { state: string; error: string } {
  return state.startsWith("error") ? { state: "error", error: state.replace(/^error:? */, "") } : { state, error: "" };
}

/** What there is to tell of a port, in the order in which one asks: where, how, VLANs, mirror. */
function notesOf(port: PortInfo): string {
  const { mirror, mirrorDirection } = port;
  const watched = mirror.length === 0 ? "" : `mirror of ${mirror.join(", ")} (${mirrorDirection})`;
  return [port.interface, stateOf(port).error, port.detail, port.vlan, watched].filter(Boolean).join("; ");
}
