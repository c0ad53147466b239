// What a query says when it is done.
import type { QueryReport } from "../logger/query.js";
import type { TallyReport } from "../logger/query-tally.js";
import { formatBytes, formatCount, formatDuration, formatOf, overtakenText } from "./format.js";

const noFlow = ": they are not IP behind Ethernet, VLAN tags, MPLS labels or PPPoE, or later fragments, or cut short";

/** Lines for standard error. */
export function reportLines(report: QueryReport | TallyReport, explain = false): string[] {
  const { counters } = report;
  const lines = [...report.notes, ...report.warnings];
  if (counters.overtaken > 0) lines.push(overtakenText(counters.overtaken, "query"));
  if (counters.runsDamaged > 0)
    lines.push(`${formatOf(counters.runsDamaged, "run")} of the index damaged: their blocks were scanned`);
  if ("leftOut" in report && report.leftOut.packets > 0)
    lines.push(
      `${formatOf(report.leftOut.packets, "packet")} (${formatBytes(report.leftOut.bytes)}) left out: of rows that were met when there were ${formatCount(report.rows)}, ` +
        "which may be larger than those; keep more with --rows (about 150 bytes of memory each), or ask for less",
    );
  if ("without" in report && report.without.packets > 0)
    lines.push(
      `${formatOf(report.without.packets, "packet")} (${formatBytes(report.without.bytes)}) belong to no row${report.what === "flows" ? noFlow : ""}`,
    );
  if (explain) lines.push(...explainLines(report));
  const rows = "rows" in report && report.rows > 0 ? ` in ${formatOf(report.rows, "row")}` : "";
  const interrupted = report.ended === "aborted" ? ", interrupted" : "";
  lines.push(`${formatOf(report.frames, "packet")}${rows}, ${formatDuration(report.elapsedMs)}${interrupted}`);
  return lines;
}

function explainLines({ counters, plan, sources, captures, captureFrames }: QueryReport): string[] {
  const of = (count: number, noun: string) => formatOf(count, noun);
  const lines = [...plan];
  if (captures < sources)
    lines.push(
      `index read: ${of(counters.runsRead, "run")}, ${formatBytes(counters.indexBytes)}; it answered for ${of(counters.blocksIndexed, "block")} and named ${of(counters.recordsJumped, "record")}`,
      `log read: ${of(counters.blocksScanned, "block")} from the start, ${formatBytes(counters.bytesScanned)} in all; ${of(counters.blocksSkipped, "block")} left out by the directory`,
      `${of(counters.records, "record")} looked at, ${formatCount(counters.matched)} taken`,
    );
  if (captures > 0) lines.push(`captures, which have no index: ${of(captureFrames, "frame")} looked at`);
  return lines;
}
