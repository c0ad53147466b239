// How numbers, sizes, durations, times and tables look in every command.

import { formatCount, formatOf } from "../logger/counts.js";

export { formatCount, formatOf };

/** What a reading left out because it is damaged: at one place lay a record, or all up to the next one that is whole. */
export function damageText(places: number): string {
  return `what lay at ${formatOf(places, "damaged place")} of the store is left out: see \`paste-switch store verify\``;
}

const instead = {
  query: "ask for less (after TIME, a narrower filter, --count) or for the newest first (--reverse)",
  export: "export less (after TIME, a narrower filter, -s) or to something faster",
  replay: "export what is to be replayed, and replay that file",
  tail: "take less (a narrower filter, -s) or write to something faster (-w FILE)",
  capture: "take less (a narrower filter, fewer bytes of a frame)",
  audit: "it reads all that is logged: log less, or audit a copy of the store",
} as const;

/** Blocks of a store that were gone when their turn came, and what helps. */
export function overtakenText(blocks: number, who: keyof typeof instead): string {
  return `${formatOf(blocks, "block")} overwritten before being read, as the log is written faster than this reads it: ${instead[who]}, or make a larger store`;
}

/** The same for who is told again and again: what helps is said once. */
export function onOvertaken(who: keyof typeof instead, say: (text: string) => void): (blocks: number) => void {
  let told = false;
  return (blocks) => {
    say(told ? `${formatOf(blocks, "more block")} overwritten before being read` : overtakenText(blocks, who));
    told = true;
  };
}

const sizeNames = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes with three digits that matter: "512 B", "1.5 KiB", "64 MiB". */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1023.5 && unit < sizeNames.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits).replace(/\.(\d*?)0+$/, (_, kept) => (kept ? `.${kept}` : ""))} ${sizeNames[unit]}`;
}

/** "3.2 us", "12 ms", "4.5 s", "2 min 5 s", "3 h 4 min", "2 d 3 h". */
export function formatDuration(ms: number): string {
  if (ms < 1) return `${trim(ms * 1000)} us`;
  if (ms < 1000) return `${trim(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${trim(seconds)} s`;
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

function trim(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
}

const pad = (value: number, digits = 2) => String(value).padStart(digits, "0");

/** Wall-clock nanoseconds as local time with its offset: "2026-11-22 14:30:01.000000001+01:00"; or in UTC with a Z. */
export function formatTime(ns: bigint, utc = false): string {
  const date = new Date(Number(ns / 1_000_000n));
  const fraction = (ns % 1_000_000_000n).toString().padStart(9, "0");
  if (utc) return `${date.toISOString().slice(0, 19).replace("T", " ")}.${fraction}Z`;
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${fraction}${zone}`;
}

/** Columns of the terminal, Infinity in a file or a pipe: lines that programs read are whole. */
export function terminalWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity;
}

/** The text in lines of at most `width`, broken at spaces; a word that is longer has a line of its own. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

const leastLastColumn = 24;

/**
 * Rows below a header, columns aligned: those named in `right` to the right. The last column goes on below itself where it is longer
 * than the terminal is wide. Ends with a line feed.
 */
export function formatTable(
  header: string[],
  rows: string[][],
  right: readonly string[] = [],
  width = terminalWidth(),
): string {
  const widths = header.map((name, column) =>
    rows.reduce((most, row) => Math.max(most, (row[column] ?? "").length), name.length),
  );
  const last = header.length - 1;
  const before = widths.slice(0, last).reduce((sum, column) => sum + column + 2, 0);
  const room = Math.max(leastLastColumn, width - before);
  const line = (cells: string[]) => {
    const front = cells.map((cell, column) =>
      right.includes(header[column]!) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    );
    if (right.includes(header[last]!)) return front.join("  ");
    const [first, ...rest] = wrapText(cells[last] ?? "", room);
    front[last] = first ?? "";
    return [front.join("  ").trimEnd(), ...rest.map((more) => " ".repeat(before) + more)].join("\n");
  };
  return `${[header, ...rows].map(line).join("\n")}\n`;
}

/** "full 3, gone 1": the reasons that happened. */
export function formatReasons(reasons: Record<string, number>): string {
  return Object.entries(reasons)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${formatCount(count)}`)
    .join(", ");
}

/** JSON in which bigints are plain integers: sequences and nanoseconds keep every digit. */
export function formatJson(value: unknown, indent = 2): string {
  const mark = "\u0001";
  const text = JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `${mark}${item}` : item), indent);
  return text.replace(/"\\u0001(\d+)"/g, "$1");
}
