// Words beside pcap-filter(7) that ask about a record, not about the frame's bytes: when, where from and to, by which rule, with
// which outcome. They become loads of words that the reader lays beside each frame (native/core/bpf/bpf.h, BpfRecordWord).
import type { FilterExpression } from "./ast.js";
import { filterError } from "./filter-error.js";

/** What there is beside a frame's bytes: nothing (a rule sees frames only), its time (captures; with it a Community ID is computed), or a store's whole record. */
export type RecordAccess = "none" | "time" | "store";

/** Numbers of the words; those from `names` on are one for each name test. */
export const recordWord = {
  timeHigh: 0,
  timeLow: 1,
  hasCommunity: 2,
  community: 3,
  outcome: 8,
  flags: 9,
  names: 10,
} as const;
export const flagFlooded = 4;

/** Most different names of ports and rules in one filter. */
export const maxNames = 256;

/** One more than the last nanosecond that a record can have. */
export const timeEnd = 1n << 64n;

export const timeWords: readonly string[] = ["after", "before", "between"];
export const nameWords: readonly string[] = ["in-port", "out-port", "rule"];
export const communityWord = "community-id";
export const outcomeWords: readonly string[] = ["dropped", "forwarded", "flooded"];

/** `in-port vale0:*`: that the record's port or rule has a name that fits; `*` and `?` are wildcards. */
export interface NameTest {
  of: "in-port" | "out-port" | "rule";
  pattern: string;
  /** Where it stands first in the text. */
  at: number;
}

/** The name tests of a filter, each once. */
export class NameTests {
  readonly list: NameTest[] = [];
  readonly #numbers = new Map<string, number>();

  /** Number of the record word that answers the test. */
  wordOf(test: NameTest): number {
    const key = `${test.of} ${test.pattern}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.list.length === maxNames)
      throw filterError(test.at, `more than ${maxNames} names`, "use wildcards: vale0:*");
    const word = recordWord.names + this.list.length;
    this.list.push(test);
    this.#numbers.set(key, word);
    return word;
  }
}

/** A word of the text that needs a record. */
export interface RecordNeed {
  needs: Exclude<RecordAccess, "none">;
  word: string;
  at: number;
}

/** The words of an expression that need a record, in the order of the text. */
export function recordNeeds(expression: FilterExpression): RecordNeed[] {
  const needs: RecordNeed[] = [];
  const waiting = [expression];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (next.kind === "and" || next.kind === "or") waiting.push(next.right, next.left);
    else if (next.kind === "not") waiting.push(next.operand);
    else if (next.kind === "time") needs.push({ needs: "time", word: next.word, at: next.at });
    else if (next.kind === "community") needs.push({ needs: "time", word: communityWord, at: next.at });
    else if (next.kind === "name") needs.push({ needs: "store", word: next.test.of, at: next.at });
    else if (next.kind === "outcome" || next.kind === "flooded")
      needs.push({ needs: "store", word: next.kind === "flooded" ? "flooded" : next.word, at: next.at });
  }
  return needs;
}

/** Throws for the first word that needs more than there is. */
export function checkAccess(needs: readonly RecordNeed[], access: RecordAccess): void {
  if (access === "store") return;
  const refused = needs.find((need) => access === "none" || need.needs === "store");
  if (!refused) return;
  if (refused.word === communityWord)
    throw filterError(
      refused.at,
      `"${communityWord}" is not for rules`,
      "it takes a hash for each frame: write flow A:p B:q tcp",
    );
  const hint =
    access === "none"
      ? "rules see a frame's bytes only: use it where a store is read, as in export and replay"
      : "a capture does not have it: use it where a store is read";
  throw filterError(
    refused.at,
    `"${refused.word}" asks for more than ${access === "none" ? "bytes" : "bytes and time"}`,
    hint,
  );
}
