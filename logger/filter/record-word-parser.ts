// The words about records: `after 14:00`, `between A and B`, `in-port vale0:*`, `dropped hairpin`.
import { outcomes } from "../../native/engine.js";
import type { FilterExpression } from "./ast.js";
import { didYouMean, filterError } from "./filter-error.js";
import { communityWord, type NameTest, nameWords, outcomeWords, timeEnd, timeWords } from "./record-words.js";
import { parseTime } from "./times.js";
import type { TokenReader } from "./token-reader.js";

const known: readonly string[] = [...timeWords, ...nameWords, ...outcomeWords, communityWord];

export function isRecordWord(text: string): boolean {
  return known.includes(text);
}

/** Takes the word that comes next, which is one of these, and what belongs to it. */
export function parseRecordWord(reader: TokenReader, nowNs: bigint): FilterExpression {
  const { text, at } = reader.next();
  switch (text) {
    case "after":
      return { kind: "time", word: text, fromNs: expectTime(reader, nowNs).ns, toNs: timeEnd, at };
    case "before": {
      const end = expectTime(reader, nowNs);
      if (end.ns === 0n) throw filterError(end.at, "an empty range", "nothing is before 1970");
      return { kind: "time", word: text, fromNs: 0n, toNs: end.ns, at };
    }
    case "between":
      return parseBetween(reader, nowNs, at);
    case "dropped":
      return parseDropped(reader, at);
    case "forwarded":
      return { kind: "outcome", word: text, at };
    case communityWord:
      return parseCommunity(reader, at);
    case "flooded":
      return { kind: "flooded", at };
  }
  const name = reader.peek();
  if (name.type !== "name")
    throw reader.unexpected(text === "rule" ? "a rule's name" : "a port's name, such as vale0:a");
  if (name.text === "") throw filterError(name.at, "an empty name", "every port and rule has one");
  reader.next();
  return { kind: "name", test: { of: text as NameTest["of"], pattern: name.text, at: name.at }, at };
}

function parseCommunity(reader: TokenReader, at: number): FilterExpression {
  const { type, text, at: place } = reader.peek();
  const form = "1: and 28 letters, such as 1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
  if (type !== "name") throw reader.unexpected(`a Community ID: ${form}`);
  reader.next();
  const bytes = Buffer.from(text.slice(2), "base64");
  if (!/^1:[A-Za-z0-9+/]{27}=$/.test(text) || bytes.length !== 20)
    throw filterError(place, `"${text}" is no Community ID`, `it is ${form}`);
  return { kind: "community", digest: [0, 4, 8, 12, 16].map((i) => bytes.readUInt32BE(i)), at };
}

function parseBetween(reader: TokenReader, nowNs: bigint, at: number): FilterExpression {
  const from = expectTime(reader, nowNs);
  reader.expect("and", '"and" and the time of the end');
  const to = expectTime(reader, nowNs);
  if (from.ns >= to.ns)
    throw filterError(
      to.at,
      "an empty range",
      "the second time must be later than the first, which counts, while the second does not",
    );
  return { kind: "time", word: "between", fromNs: from.ns, toNs: to.ns, at };
}

function expectTime(reader: TokenReader, nowNs: bigint): { ns: bigint; at: number } {
  const { type, text, at } = reader.peek();
  if (type !== "time") throw reader.unexpected("a time, such as 14:00, 15m ago or 2026-11-22T14:00:00Z");
  reader.next();
  return { ns: parseTime(text, at, nowNs), at };
}

/** A name behind `dropped` is a reason; nothing else can stand there. */
function parseDropped(reader: TokenReader, at: number): FilterExpression {
  const { type, text, at: place } = reader.peek();
  if (type !== "name") return { kind: "outcome", word: "dropped", at };
  reader.next();
  const reasons = outcomes().drops.map(({ name }) => name);
  const reason = reasons.indexOf(text);
  if (reason < 0)
    throw filterError(
      place,
      `unknown reason "${text}"`,
      didYouMean(text, reasons, `reasons are ${reasons.join(", ")}`),
    );
  return { kind: "outcome", word: "dropped", reason, at };
}
