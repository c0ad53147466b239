// A query's packets as lines: text, JSON lines or one JSON array, written as they are found.
import type { Writable } from "node:stream";
import type { PacketTextOptions } from "./print/packet-text.js";
import { type QueryOptions, QueryReading, type QueryReport } from "./query-reading.js";
import { type PacketLines, TailOutput } from "./tail-output.js";

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
  const array = options.format.as === "json";
  let print: PacketLines | undefined;
  try {
    if (array) await output.bytes(Buffer.from("["), 0);
    for await (const piece of reading.packets()) {
      print ??= await printer(options); // loaded where there is something to print
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

async function printer({ format, reverse }: { format: LineFormat; reverse?: boolean }): Promise<PacketLines> {
  if (format.as === "text") {
    const { PacketText } = await import("./print/packet-text.js");
    // Backwards a connection's begin comes last: there is nothing that numbers could be relative to.
    const text = new PacketText({ ...format.text, ...(reverse && { absoluteSequences: true }) });
    return (packet) => `${text.text(packet)}\n`;
  }
  const { packetJson } = await import("./print/packet-json.js");
  const { jsonText } = await import("./print/plain-text.js");
  const { utc = false } = format;
  if (format.as === "jsonl") return (packet) => `${jsonText(packetJson(packet, { utc }))}\n`;
  let separator = "\n";
  return (packet) => {
    const text = `${separator}${jsonText(packetJson(packet, { utc }))}`;
    separator = ",\n";
    return text;
  };
}
