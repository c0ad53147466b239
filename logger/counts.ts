// Counts in sentences.

/** Digits in groups of three: "1,234,567". */
export function formatCount(value: number | bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 block", "1,234 blocks". */
export function formatOf(value: number | bigint, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 || value === 1n ? "" : "s"}`;
}
