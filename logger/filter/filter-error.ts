// Every complaint about a filter: one line that says what is wrong, in which column, and what to do.
import { PasteError } from "../errors.js";

/** A FILTER error at a place of the text (`offset` counts characters from 0, the message counts columns from 1). */
export function filterError(offset: number, problem: string, hint?: string): PasteError {
  return new PasteError("FILTER", `filter: ${problem} at column ${offset + 1}${hint ? `: ${hint}` : ""}`);
}

/** The candidate nearest to `word`, if it is near enough to have been meant: at most a third of its letters differ, or it was left unfinished. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > 40) return undefined;
  const typed = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 0.5;
  for (const candidate of candidates) {
    const distance = distanceTo(candidate, typed, bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Of words as near, the one that was merely left unfinished is likeliest, then one that begins alike: a first letter is seldom mistyped. */
function distanceTo(candidate: string, typed: string, limit: number): number {
  if (typed.length > 2 && candidate.startsWith(typed)) return 0.5;
  if (Math.abs(candidate.length - typed.length) > limit) return limit;
  return editDistance(typed, candidate) - (candidate[0] === typed[0] ? 0.25 : 0);
}

/** Insertions, deletions, changes and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      row.push(cost);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}

/** The hint that names the nearest candidate, else the given one. */
export function didYouMean(word: string, candidates: Iterable<string>, otherwise?: string): string | undefined {
  const near = nearest(word, candidates);
  return near === undefined ? otherwise : `did you mean "${near}"?`;
}
