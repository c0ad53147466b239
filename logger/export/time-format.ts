// strftime(3) for file names: the conversions that name a time, in local time or UTC. Nothing depends on the locale.
import { PasteError } from "../errors.js";

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const two = (value: number) => `${value}`.padStart(2, "0");

/** Fields of a moment; `at` holds the wanted zone's time in its UTC fields. */
const conversions: Record<string, (at: Date, seconds: number) => string> = {
  "%": () => "%",
  Y: (at) => `${at.getUTCFullYear()}`.padStart(4, "0"),
  y: (at) => two(at.getUTCFullYear() % 100),
  m: (at) => two(at.getUTCMonth() + 1),
  d: (at) => two(at.getUTCDate()),
  H: (at) => two(at.getUTCHours()),
  I: (at) => two(at.getUTCHours() % 12 || 12),
  M: (at) => two(at.getUTCMinutes()),
  S: (at) => two(at.getUTCSeconds()),
  p: (at) => (at.getUTCHours() < 12 ? "AM" : "PM"),
  j: (at) => `${Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0)) / 86_400_000) + 1}`.padStart(3, "0"),
  a: (at) => days[at.getUTCDay()]!,
  b: (at) => months[at.getUTCMonth()]!,
  u: (at) => `${at.getUTCDay() || 7}`,
  s: (_, seconds) => `${seconds}`,
  F: (at) => at.toISOString().slice(0, 10),
  T: (at) => at.toISOString().slice(11, 19),
  R: (at) => at.toISOString().slice(11, 16),
};

/** Whether a name has a conversion in it. Throws USAGE for one that is not known. */
export function hasTimeFormat(name: string): boolean {
  let found = false;
  for (const [whole, letter] of name.matchAll(/%(.?)/gs)) {
    if (!Object.hasOwn(conversions, letter!))
      throw new PasteError(
        "USAGE",
        `${name}: "${whole}" is no time format: ${Object.keys(conversions)
          .map((each) => `%${each}`)
          .join(" ")} are`,
      );
    found ||= letter !== "%";
  }
  return found;
}

export function formatTimeName(name: string, timeNs: bigint, utc: boolean): string {
  const seconds = Number(timeNs / 1_000_000_000n);
  const moment = new Date(seconds * 1000);
  const at = new Date(moment.getTime() - (utc ? 0 : moment.getTimezoneOffset() * 60_000));
  return name.replace(/%(.)/gs, (_, letter: string) => conversions[letter]!(at, seconds));
}
