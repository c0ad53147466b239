// How a query's rows and sums look.

import { protocolName } from "../logger/print/packet-json.js";
import { jsonText, safeName } from "../logger/print/plain-text.js";
import { tcpFlagsText } from "../logger/print/tcp-text.js";
import {
  countFlows,
  countFrames,
  countTop,
  type Flow,
  flowJson,
  type RowOrder,
  type TallyOptions,
  type TallyReport,
  type TopEntry,
  type TopField,
  topJson,
} from "../logger/query-tally.js";
import { formatCount, formatDuration, formatOf, formatTable, formatTime } from "./format.js";
import { Progress } from "./progress.js";

export interface TallyOutput {
  what: "count" | "flows" | "top";
  as: "text" | "json" | "jsonl";
  utc: boolean;
  /** Of "top". */
  field?: string;
  order?: RowOrder;
  /** Rows to show at most. */
  limit?: number;
}

/** Counts, then writes the rows to standard output. */
export async function writeTally(options: TallyOptions, output: TallyOutput): Promise<TallyReport> {
  const progress = new Progress("looked at");
  const counting = { ...options, onProgress: (frames: number) => progress.show(frames) };
  const { utc } = output;
  try {
    if (output.what === "count") {
      const report = await countFrames(counting);
      progress.end();
      await write([countText(report, output.as)]);
      return report;
    }
    if (output.what === "flows") {
      const { report, rows } = await countFlows(counting, output.order);
      progress.end();
      await write(
        output.as === "text" ? flowLines(rows(), output) : jsonLines(rows(), output, (row) => flowJson(row, { utc })),
      );
      return report;
    }
    const field = output.field as TopField;
    const { report, rows } = await countTop(counting, field, output.order);
    progress.end();
    const text = output.as === "text";
    await write(
      text ? topLines(field, rows(), output) : jsonLines(rows(), output, (row) => topJson(field, row, { utc })),
    );
    return report;
  } finally {
    progress.end();
  }
}

function countText({ all }: TallyReport, as: TallyOutput["as"]): string {
  if (as !== "text") return `${JSON.stringify(all)}\n`;
  return `${formatOf(all.packets, "packet")}, ${formatCount(all.bytes)} bytes\n`;
}

function* limited<Row>(rows: Iterable<Row>, limit = Number.POSITIVE_INFINITY): Generator<Row, void, void> {
  let left = limit;
  if (left > 0)
    for (const row of rows) {
      yield row;
      if (--left <= 0) return;
    }
}

function* jsonLines<Row>(
  rows: Iterable<Row>,
  output: TallyOutput,
  json: (row: Row) => object,
): Generator<string, void, void> {
  if (output.as === "jsonl") {
    for (const row of limited(rows, output.limit)) yield `${jsonText(json(row))}\n`;
    return;
  }
  let separator = "[\n";
  for (const row of limited(rows, output.limit)) {
    yield `${separator}${jsonText(json(row))}`;
    separator = ",\n";
  }
  yield separator === "[\n" ? "[\n]\n" : "\n]\n";
}

/** Rows of one table: a longer list has its header once, and columns as wide as its first rows need. */
const tableRows = 2000;

function* tables<Row>(
  header: string[],
  right: readonly string[],
  rows: Iterable<Row>,
  cells: (row: Row) => string[],
): Generator<string, void, void> {
  let page: string[][] = [];
  let first = true;
  const flush = () => {
    const text = formatTable(header, page, right, Number.POSITIVE_INFINITY);
    const shown = first ? text : text.slice(text.indexOf("\n") + 1);
    first = false;
    page = [];
    return shown;
  };
  for (const row of rows) {
    page.push(cells(row));
    if (page.length >= tableRows) yield flush();
  }
  if (page.length > 0 || first) yield flush();
}

function flowLines(rows: Iterable<Flow>, { limit, utc }: TallyOutput): Generator<string, void, void> {
  const header = [
    "first",
    "lasted",
    "proto",
    "source",
    "destination",
    "packets>",
    "<packets",
    "bytes>",
    "<bytes",
    "flags>",
    "<flags",
    "community id",
  ];
  return tables(header, ["packets>", "<packets", "bytes>", "<bytes"], limited(rows, limit), (flow) => [
    formatTime(flow.firstNs, utc),
    formatDuration(Number(flow.lastNs - flow.firstNs) / 1e6),
    protocolName(flow.protocol),
    endText(flow.sourceIp, flow.sourcePort),
    endText(flow.destinationIp, flow.destinationPort),
    formatCount(flow.packets),
    formatCount(flow.packetsBack),
    formatCount(flow.bytes),
    formatCount(flow.bytesBack),
    flagsText(flow, flow.tcpFlags, flow.packets),
    flagsText(flow, flow.tcpFlagsBack, flow.packetsBack),
    flow.communityId,
  ]);
}

const tcp = 6;

function flagsText(flow: Flow, flags: number, packets: number): string {
  return flow.protocol === tcp && packets > 0 ? tcpFlagsText(flags) : "-";
}

function endText(address: string, port: number | undefined): string {
  return port === undefined ? address : `${address}.${port}`;
}

function topLines(field: string, rows: Iterable<TopEntry>, { limit, utc }: TallyOutput): Generator<string, void, void> {
  return tables([field, "packets", "bytes", "first", "last"], ["packets", "bytes"], limited(rows, limit), (entry) => [
    safeName(entry.value),
    formatCount(entry.packets),
    formatCount(entry.bytes),
    formatTime(entry.firstNs, utc),
    formatTime(entry.lastNs, utc),
  ]);
}

/** To standard output as fast as it takes it; a reader that went away ends the program elsewhere (cli/run.ts). */
async function write(pieces: Iterable<string>): Promise<void> {
  let text = "";
  const flush = async () => {
    const bytes = Buffer.from(text);
    text = "";
    await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
  };
  for (const piece of pieces) {
    text += piece;
    if (text.length > 1 << 16) await flush();
  }
  if (text !== "") await flush();
}
