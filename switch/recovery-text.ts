// What opening or recovering a store found, in words.
import type { RecoveryReport } from "../native/store.js";

/** Lines for people; empty when the store was closed clean and nothing was to be done. */
export function recoveryText(report: RecoveryReport): string[] {
  if (report.wasClean && report.indexBlocksDamaged === 0 && report.reasons.length === 0) return [];
  const records =
    report.lastSequence >= report.firstSequence && report.firstSequence > 0n
      ? `records ${report.firstSequence} to ${report.lastSequence} are there`
      : "no records are there";
  const lines = [
    `recovery: ${report.wasClean ? "closed clean" : "the last writer died"}; ${records}`,
    `recovery: ${count(report.blocksScanned, "block")} scanned, ${report.blocksSealed} sealed, ` +
      `${report.blocksFreed + report.bufferBlocksFreed + report.indexBlocksFreed} freed; ${count(report.framesKept, "frame")} kept in them, ` +
      `${count(report.recordsDiscarded, "unfinished record")} (${count(report.bytesDiscarded, "byte")}) discarded`,
  ];
  if (report.indexBlocksDamaged > 0)
    lines.push(
      `recovery: ${count(report.indexBlocksDamaged, "block")} of the index damaged and given up; the next daemon or import makes it anew`,
    );
  if (report.blocksRestored > 0)
    lines.push(
      `recovery: ${count(report.blocksRestored, "block")} with damaged directory entries restored, records and all`,
    );
  for (const gap of report.gaps)
    lines.push(`recovery: sequences ${gap.from} to ${gap.to} were never acknowledged and are missing`);
  for (const reason of report.reasons) lines.push(`recovery: ${reason}`);
  return lines;
}

function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}
