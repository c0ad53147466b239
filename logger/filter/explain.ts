// How a filter is answered, for people: which of its conditions the index is asked, and what is left to the filter's program.
import type { CompiledFilter } from "./compile.js";
import { planText } from "./index-expression.js";
import { timeEnd } from "./record-words.js";
import { timeText } from "./times.js";

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

/** A condition's text goes up to the next one's: less what joins the two. */
function withoutJoins(text: string): string {
  return text.replace(/(?:[\s()!]|&&|\|\||(?<=[\s)])(?:and|or|not)(?=[\s(]|$))+$/, "");
}
