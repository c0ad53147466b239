// MAC tables as they were, as text and as JSON.
import { type MacEntryThen, type MacTableThen, switchOf } from "../logger/mac-history.js";
import { eveTime } from "../logger/print/packet-json.js";
import { jsonText, safeName } from "../logger/print/plain-text.js";
import { formatTable, formatTime } from "./format.js";
import { macJson } from "./trace-text.js";

function of(tables: MacTableThen, only: string | undefined): MacEntryThen[] {
  return tables.entries.filter(({ port }) => only === undefined || switchOf(port) === only);
}

/** One row an address. */
export function tablesText(tables: MacTableThen, only: string | undefined, utc: boolean): string {
  const rows = of(tables, only).map((entry) => [
    entry.mac,
    String(entry.fid),
    safeName(entry.port),
    `${howText(entry)} ${formatTime(entry.sinceNs, utc)}${entry.mayHaveAged ? ", may have aged since" : ""}`,
  ]);
  return formatTable(["address", "vlan", "port", "known by"], rows, ["vlan"]);
}

function howText({ how }: MacEntryThen): string {
  return how === "later" ? "its end at" : how === "static" ? "static since" : how;
}

export function tablesJson(tables: MacTableThen, timeNs: bigint, only: string | undefined, utc: boolean): string {
  const { complete, remarks, knownFromNs } = tables;
  const json = {
    at: eveTime(timeNs, utc),
    complete,
    ...(knownFromNs !== undefined && { known_from: eveTime(knownFromNs, utc) }),
    remarks,
    entries: of(tables, only).map((entry) => macJson(entry, utc)),
  };
  return `${jsonText(json)}\n`;
}
