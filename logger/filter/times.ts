// Times as people write them, to nanoseconds since 1970.
import { PasteError } from "../errors.js";
import { filterError } from "./filter-error.js";
import { timeEnd } from "./record-words.js";

const clock = String.raw`\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?`;
const unit = "s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?";
/** What a time looks like; whether it is one (no 25:00) is seen afterwards. */
const forms = [
  String.raw`\d{4}-\d{2}-\d{2}(?:(?:[Tt]|[ \t]+)${clock}(?:[Zz]|[-+]\d{2}:?\d{2})?)?`,
  String.raw`(?:today|yesterday)(?:[ \t]+${clock})?`,
  String.raw`\d{1,9}[ \t]*(?:${unit})[ \t]+ago`,
  clock,
  "now",
  String.raw`\d{1,20}(?:\.\d{1,9})?(?:ns|s)?`,
];
const timeForm = new RegExp(`(?:${forms.map((form) => `(?:${form})(?=[ \\t\\r\\n()]|$)`).join("|")})`, "y");
const otherText = /[^ \t\r\n()]+/y;

const hint = 'write 14:00, "yesterday 14:00:05", 15m ago, 2026-11-22T14:00:00Z or seconds since 1970';

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const billion = 1_000_000_000n;

/** The characters that belong to the time which begins at `at`: all its words, else what stands there up to a blank. */
export function timeLength(text: string, at: number): number {
  for (const pattern of [timeForm, otherText]) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) return found[0].length;
  }
  return 0;
}

/** The time that `text` means, when it is `nowNs`. Without a zone it is local. Throws FILTER errors that point at `at`. */
export function parseTime(text: string, at: number, nowNs: bigint): bigint {
  const time = epoch(text, at) ?? ago(text, nowNs) ?? calendar(text, at, nowNs) ?? (text === "now" ? nowNs : undefined);
  if (time === undefined) throw filterError(at, `"${text}" is no time`, hint);
  if (time < 0n || time >= timeEnd) throw filterError(at, `"${text}" is out of range`, "times are from 1970 to 2554");
  return time;
}

/** The same for an option's value. Throws USAGE; `what` names the option. */
export function parseTimeOption(text: string, what: string): bigint {
  try {
    return parseTime(text.trim(), 0, BigInt(Date.now()) * 1_000_000n);
  } catch (error) {
    if (!(error instanceof PasteError)) throw error;
    throw new PasteError("USAGE", `${what} "${text}": ${hint}`, { cause: error });
  }
}

/** RFC 3339 in UTC, with nanoseconds. */
export function timeText(timeNs: bigint): string {
  const [seconds, rest] = [timeNs / 1_000_000_000n, timeNs % 1_000_000_000n];
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest.toString().padStart(9, "0")}Z`;
}

function epoch(text: string, at: number): bigint | undefined {
  const found = /^(\d+)(?:\.(\d{1,9}))?(ns|s)?$/.exec(text);
  if (!found) return undefined;
  const [, whole = "", fraction, suffix] = found;
  if (suffix === "ns" || (!suffix && fraction === undefined && whole.length >= 18))
    return fraction === undefined ? BigInt(whole) : undefined;
  if (whole.length > 11 && suffix !== "s")
    throw filterError(
      at,
      `"${text}" is neither seconds nor nanoseconds since 1970`,
      "nanoseconds have 18 digits or more, or ns behind them",
    );
  return BigInt(whole) * billion + nanoseconds(fraction);
}

function ago(text: string, nowNs: bigint): bigint | undefined {
  const found = new RegExp(`^(\\d{1,9})[ \\t]*(${unit})[ \\t]+ago$`).exec(text);
  return found ? nowNs - BigInt(found[1]!) * BigInt(unitSeconds[found[2]![0]!]!) * billion : undefined;
}

/** `2026-11-22T14:00:05.25+01:00`, the same without zone or clock, `today 14:00`, `14:00`. */
function calendar(text: string, at: number, nowNs: bigint): bigint | undefined {
  const found =
    /^(?:(\d{4})-(\d\d)-(\d\d)|(today|yesterday))?(?:(?:^|[Tt]|[ \t]+)(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[-+]\d\d:?\d\d)?)?$/.exec(
      text,
    );
  if (!found || text === "") return undefined;
  const [, year, month, day, word, hours = "0", minutes = "0", seconds = "0", fraction, zone] = found;
  if (zone !== undefined && year === undefined) return undefined;
  const now = new Date(Number(nowNs / 1_000_000n));
  const date: Parts =
    year === undefined
      ? [now.getFullYear(), now.getMonth(), now.getDate() - Number(word === "yesterday"), 0, 0, 0]
      : [Number(year), Number(month) - 1, Number(day), 0, 0, 0];
  const parts: Parts = [date[0], date[1], date[2], Number(hours), Number(minutes), Number(seconds)];
  const milliseconds = zone === undefined ? localTime(parts, year !== undefined) : zonedTime(parts, zone);
  if (milliseconds === undefined) throw filterError(at, `"${text}" is no time`, "there is no such day or hour");
  return BigInt(milliseconds) * 1_000_000n + nanoseconds(fraction);
}

type Parts = [year: number, month: number, day: number, hours: number, minutes: number, seconds: number];

/** Undefined for what the calendar, or the hour that the clocks skip in spring, does not have. Of two equal hours the first. */
function localTime(parts: Parts, wholeDate: boolean): number | undefined {
  const date = new Date(...parts);
  const { 0: year, 1: month, 2: day, 3: hours, 4: minutes, 5: seconds } = parts;
  const sameDay = date.getFullYear() === year && date.getMonth() === month && date.getDate() === day;
  const same = date.getHours() === hours && date.getMinutes() === minutes && date.getSeconds() === seconds;
  // The day before the first of a month is written as its day 0.
  return same && (sameDay || !wholeDate) ? date.getTime() : undefined;
}

function zonedTime(parts: Parts, zone: string): number | undefined {
  const utc = Date.UTC(...parts);
  const date = new Date(utc);
  const back = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes()];
  if (back.some((value, i) => value !== parts[i]) || date.getUTCSeconds() !== parts[5]) return undefined;
  if (/z/i.test(zone)) return utc;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (hours > 23 || minutes > 59) return undefined;
  return utc - (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function nanoseconds(fraction: string | undefined): bigint {
  return fraction === undefined ? 0n : BigInt(fraction.padEnd(9, "0"));
}
