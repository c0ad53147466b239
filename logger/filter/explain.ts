// How a filter is answered, for people: which of its conditions the index is asked, and what is left to the filter's program.
import type { CompiledFilter } from "./compile.js";
import { planText } from "./index-expression.js";
import { timeEnd } from "./record-words.js";

/** One line each: the question to the index, the range of time, and for each condition of the text who answers it. */
export function explainPlan(filter: CompiledFilter): string[] {
  const { plan, conditions } = filter.planned;
  const lines = [
    plan.op === "all" ? "index: not asked, nothing in the filter leads to few records" : `index: ${planText(plan)}`,
  ];
  const { fromNs, toNs } = filter.range;
  if (fromNs > 0n || toNs < timeEnd)
    lines.push(
      `time: ${fromNs > 0n ? `from ${timeText(fromNs)}` : "everything"}${toNs < timeEnd ? ` before ${timeText(toNs)}` : ""}`,
    );
  const indexed = new Map<number, boolean>();
  for (const { at, plan: each } of conditions) indexed.set(at, indexed.get(at) === true || each.op !== "all");
  const places = [...indexed.keys()].toSorted((a, b) => a - b);
  for (const [i, at] of places.entries()) {
    const text = withoutJoins(filter.text.slice(at, places[i + 1]));
    if (text !== "") lines.push(`${text}: ${indexed.get(at) ? "index, then filter" : "filter"}`);
  }
  return lines;
}

/** Of a filter that can select nothing yet: `after 22:00` is this evening's, also at three in the morning. */
export function stillToCome({ range: { fromNs } }: CompiledFilter): string | undefined {
  if (fromNs <= BigInt(Date.now()) * 1_000_000n) return undefined;
  return `the filter selects nothing before ${timeText(fromNs)}, which is still to come: a clock without a day means today`;
}

/** A condition's text goes up to the next one's: less what joins the two. */
function withoutJoins(text: string): string {
  return text.replace(/(?:[\s()!]|&&|\|\||(?<=[\s)])(?:and|or|not)(?=[\s(]|$))+$/, "");
}

/** RFC 3339 in UTC, with nanoseconds. */
function timeText(timeNs: bigint): string {
  const [seconds, rest] = [timeNs / 1_000_000_000n, timeNs % 1_000_000_000n];
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest.toString().padStart(9, "0")}Z`;
}
