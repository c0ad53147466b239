// Which words of a filter need more than the frame's bytes, and the tests that answer them beside a record.
import type { FilterExpression } from "./ast.js";
import { filterError } from "./filter-error.js";
import { type FrameTest, maxFrameTests } from "./frame-test.js";
import { communityWord, maxNames, type NameTest, type RecordAccess, recordWord } from "./record-words.js";

/** A word of the text that needs a record. */
export interface RecordNeed {
  needs: Exclude<RecordAccess, "none">;
  word: string;
  at: number;
}

/** The expressions that hold no other, in the order of the text. */
export function* leaves(expression: FilterExpression): Generator<FilterExpression, void, void> {
  const waiting = [expression];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (next.kind === "and" || next.kind === "or") waiting.push(next.right, next.left);
    else if (next.kind === "not") waiting.push(next.operand);
    else yield next;
  }
}

/** The words of an expression that need a record, in the order of the text. */
export function recordNeeds(expression: FilterExpression): RecordNeed[] {
  const needs: RecordNeed[] = [];
  for (const leaf of leaves(expression)) {
    if (leaf.kind === "time") needs.push({ needs: "time", word: leaf.word, at: leaf.at });
    else if (leaf.kind === "frame") needs.push({ needs: "time", word: leaf.word, at: leaf.start ?? leaf.at });
    else if (leaf.kind === "community") needs.push({ needs: "time", word: communityWord, at: leaf.at });
    else if (leaf.kind === "name") needs.push({ needs: "store", word: leaf.test.of, at: leaf.at });
    else if (leaf.kind === "outcome") needs.push({ needs: "store", word: leaf.word, at: leaf.at });
    else if (leaf.kind === "flooded") needs.push({ needs: "store", word: leaf.kind, at: leaf.at });
  }
  return needs;
}

const notForRules: ReadonlyMap<string, string> = new Map([
  [communityWord, "it takes a hash for each frame: write flow A:p B:q tcp"],
  [
    "any",
    "it looks into tunnels and remembers fragments: write host, net, port or proto, behind vlan or mpls where needed",
  ],
  ["payload", "it searches whole frames: test bytes at their place, such as tcp[20:4] = 0x47455420"],
]);

/** Throws for the first word that needs more than there is. */
export function checkAccess(needs: readonly RecordNeed[], access: RecordAccess): void {
  if (access === "store") return;
  const refused = needs.find((need) => access === "none" || need.needs === "store");
  if (!refused) return;
  const { word, at } = refused;
  const reason = notForRules.get(word);
  if (reason !== undefined) throw filterError(at, `"${word}" is not for rules`, reason);
  const hint =
    access === "none"
      ? "rules see a frame's bytes only: use it where a store is read, as in export and replay"
      : "a capture does not have it: use it where a store is read";
  throw filterError(at, `"${word}" asks for more than ${access === "none" ? "bytes" : "bytes and time"}`, hint);
}

/** The tests of a filter beside its frames' bytes, each once, and the record words that answer them: names first. */
export class RecordTests {
  readonly names: NameTest[] = [];
  readonly frames: FrameTest[] = [];
  readonly #names = new Map<string, number>();
  readonly #frames = new Map<string, number>();

  constructor(expression: FilterExpression) {
    for (const leaf of leaves(expression)) {
      if (leaf.kind === "name") this.#addName(leaf.test);
      else if (leaf.kind === "frame") this.#addFrame(leaf.test, leaf.at);
    }
  }

  numberOfName({ of, pattern }: NameTest): number {
    return this.#names.get(`${of} ${pattern}`)!;
  }

  wordOfName(test: NameTest): number {
    return recordWord.names + this.numberOfName(test);
  }

  wordOfFrame({ text }: FrameTest): number {
    return recordWord.names + this.names.length + this.#frames.get(text)!;
  }

  #addName(test: NameTest): void {
    const key = `${test.of} ${test.pattern}`;
    if (this.#names.has(key)) return;
    if (this.names.length === maxNames)
      throw filterError(test.at, `more than ${maxNames} names`, "use wildcards: vale0:*");
    this.#names.set(key, this.names.push(test) - 1);
  }

  #addFrame(test: FrameTest, at: number): void {
    if (this.#frames.has(test.text)) return;
    if (this.frames.length === maxFrameTests)
      throw filterError(at, `more than ${maxFrameTests} different "any" and "payload"`, "use any net or any portrange");
    this.#frames.set(test.text, this.frames.push(test) - 1);
  }
}
