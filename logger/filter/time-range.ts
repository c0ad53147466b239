// From a filter's words about time, the range outside of which it selects nothing: what lies outside need not be read.
import type { FilterExpression } from "./ast.js";
import { filterError } from "./filter-error.js";
import { timeEnd } from "./record-words.js";

/** From `fromNs` up to, but not including, `toNs`; nanoseconds since 1970. */
export interface TimeRange {
  fromNs: bigint;
  toNs: bigint;
}

export const everything: TimeRange = { fromNs: 0n, toNs: timeEnd };

const larger = (a: bigint, b: bigint) => (a > b ? a : b);
const smaller = (a: bigint, b: bigint) => (a < b ? a : b);

/**
 * The smallest range that can be told from the text; never too small. Throws FILTER for `after 15:00 and before 14:00`, which can
 * select nothing.
 */
export function timeRange(expression: FilterExpression): TimeRange {
  return rangeOf(expression, false);
}

/** Chains of and/or go by iteration, so that recursion is as deep as the parentheses of the text. */
function rangeOf(expression: FilterExpression, negated: boolean): TimeRange {
  const chain: Extract<FilterExpression, { kind: "and" | "or" }>[] = [];
  let first = expression;
  while (first.kind === "and" || first.kind === "or") {
    chain.push(first);
    first = first.left;
  }
  let range = single(first, negated);
  for (const { kind, right } of chain.toReversed()) {
    const other = rangeOf(right, negated);
    if ((kind === "and") === negated)
      range = { fromNs: smaller(range.fromNs, other.fromNs), toNs: larger(range.toNs, other.toNs) };
    else {
      const [before, after] = [range, other];
      range = { fromNs: larger(before.fromNs, after.fromNs), toNs: smaller(before.toNs, after.toNs) };
      if (!negated && range.fromNs >= range.toNs)
        throw filterError(right.at, "an empty range", "nothing is at both of these times");
    }
  }
  return range;
}

function single(expression: FilterExpression, negated: boolean): TimeRange {
  if (expression.kind === "not") return rangeOf(expression.operand, !negated);
  if (expression.kind !== "time") return everything;
  const { fromNs, toNs } = expression;
  if (!negated) return { fromNs, toNs };
  if (fromNs === 0n) return { fromNs: toNs, toNs: timeEnd };
  return toNs === timeEnd ? { fromNs: 0n, toNs: fromNs } : everything;
}
