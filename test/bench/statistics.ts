// What a bench prints of its samples: medians and ranges, and the median of pairwise ratios for sides measured in turn.

export interface Summary {
  n: number;
  min: number;
  median: number;
  max: number;
}

/** The middle of the sorted values (mean of the two middle ones). Throws on an empty list: nothing was measured. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median of no values: nothing was measured");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function summarize(values: readonly number[]): Summary {
  return { n: values.length, min: Math.min(...values), median: median(values), max: Math.max(...values) };
}

/** The median of a[i] / b[i]: sides that were measured in turn, so that a drift of the machine's speed cancels out. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length)
    throw new RangeError(`pairs need two sides of equal length, not ${a.length} and ${b.length}`);
  return median(a.map((value, index) => value / b[index]!));
}
