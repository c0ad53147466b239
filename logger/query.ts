// A query's packets as lines: text, JSON lines or one JSON array, written as they are found.
import type { Writable } from "node:stream";
import type { PrintablePacket } from "./print/packet.js";
import { packetJson } from "./print/packet-json.js";
import { PacketText, type PacketTextOptions } from "./print/packet-text.js";
import { jsonText } from "./print/plain-text.js";
import { type QueryOptions, QueryReading, type QueryReport } from "./query-reading.js";
import { TailOutput } from "./tail-output.js";

export type { QueryOptions, QueryReport } from "./query-reading.js";

export type LineFormat = { as: "text"; text: PacketTextOptions } | { as: "json" | "jsonl"; utc?: boolean };

/**
 * Writes every packet that the query selects to `output` ("-": standard output). Ends early, without an
 * error, when `signal` is aborted or nobody reads the output any more. Throws USAGE, FILTER, STORE, CAPTURE, PRIVILEGE or RESOURCE.
 */
export async function queryLines(
  options: QueryOptions & { output: string | Writable; format: LineFormat },
): Promise<QueryReport> {
  const reading = await QueryReading.open(options);
  const output = await TailOutput.open(options.output, options.sources);
  const print = printer(options);
  const array = options.format.as === "json";
  try {
    if (array) await output.bytes(Buffer.from("["), 0);
    for await (const piece of reading.packets()) {
      await output.lines(piece, print);
      if (output.closed) {
        reading.report.ended = "closed";
        break;
      }
    }
    if (array) await output.bytes(Buffer.from("\n]\n"), 0);
    if (output.closed) reading.finish();
    return reading.report;
  } finally {
    await output.close();
  }
}

function printer({ format, reverse }: { format: LineFormat; reverse?: boolean }): (packet: PrintablePacket) => string {
  if (format.as === "text") {
    // Backwards a connection's begin comes last: there is nothing that numbers could be relative to.
    const text = new PacketText({ ...format.text, ...(reverse && { absoluteSequences: true }) });
    return (packet) => `${text.text(packet)}\n`;
  }
  const { utc = false } = format;
  if (format.as === "jsonl") return (packet) => `${jsonText(packetJson(packet, { utc }))}\n`;
  let separator = "\n";
  return (packet) => {
    const text = `${separator}${jsonText(packetJson(packet, { utc }))}`;
    separator = ",\n";
    return text;
  };
}
