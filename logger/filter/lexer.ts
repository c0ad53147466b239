// Text to tokens, by the rules of pcap-filter(7): the longest match wins, so `80-90`, `tcp-syn` and `1.2.3.4` are one word each.
import { PasteError } from "../errors.js";
import { parseEthernet, parseIpv4, parseIpv6 } from "./addresses.js";
import { filterError } from "./filter-error.js";
import { communityWord, nameWords, payloadWord, timeWords } from "./record-words.js";
import { timeLength } from "./times.js";
import { keywords, numbers, protocolOf, refusedWords } from "./words.js";

export type TokenType =
  | "word"
  | "name"
  | "number"
  | "ipv4"
  | "ipv6"
  | "ethernet"
  | "time"
  | "payload"
  | "symbol"
  | "fault"
  | "end";

/** `text` is what was written, quotes of times and of names of ports and rules left out; but `symbol` and `word` tokens are normalised: `&&` is `and`, `==` is `=`, `!` is `not`. */
export interface Token {
  type: TokenType;
  text: string;
  /** Of a number: its value, unsigned 32 bits. */
  value: number;
  at: number;
  /** For parentheses and brackets: index of the token that closes them. */
  closing?: number;
  /** Of a fault: what is wrong with the text from here on. */
  fault?: PasteError;
}

/** Longest filter; far over anything that a person writes, and it bounds every later stage. */
export const maxTextLength = 65536;

const symbols = ["&&", "||", ">=", "<=", "!=", "==", "<<", ">>", ..."+-*/%:[]!<>()&|^="];
const quotes = "only times, names of ports and rules, and payloads are quoted, each behind its word";
const alternatives = 'alternatives are joined by "or"';
const strayHints: Record<string, string> = { '"': quotes, "'": quotes, ",": alternatives, ";": alternatives };
const normalised: Record<string, string> = { "&&": "and", "||": "or", "==": "=", "!": "not" };
const plainWord = /[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?/y;
const colonWord = /[0-9A-Fa-f:][0-9A-Fa-f:.]{0,63}/y;
const escapedWord = /\\[^ !()\n\t]+/y;
const quotedText = /(["'])(.*?)\1/sy;
const doubleQuoted = /"(?:[^"\\]|\\[\s\S])*"/y;
const singleQuoted = /'(?:[^'\\]|\\[\s\S])*'/y;
const regexText = /\/(?:[^/\\[]|\\[\s\S]|\[(?:[^\]\\]|\\[\s\S])*\])*\/[A-Za-z]*/y;
const nameText = /[^ \t\r\n()"']+/y;
const numberForm = /^(?:\d+|0x[0-9a-f]+)$/i;
const shortIpv4Form = /^\d+(?:\.\d+){1,3}$/;

/**
 * Tokens of `text`, the last of type `end`; parentheses and brackets are matched here. What is no token is a fault, at which the
 * parser complains when it comes to it: a word before it that was misspelt is what is wrong (`pyload "GET /"`).
 */
export function tokenize(text: string): Token[] {
  if (text.length > maxTextLength)
    throw filterError(
      maxTextLength,
      `the text is longer than ${maxTextLength} characters`,
      "split it into several rules",
    );
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (" \r\n\t".includes(text[at]!)) {
      at++;
      continue;
    }
    const [token, length] = takeToken(text, at, tokens);
    tokens.push(token);
    at += length;
  }
  tokens.push({ type: "end", text: "", value: 0, at: text.trimEnd().length });
  matchBrackets(tokens);
  return tokens;
}

/** A fault goes up to the end: what its characters would be is not known. */
function takeToken(text: string, at: number, tokens: readonly Token[]): [Token, number] {
  try {
    return valueTakenWhole(text, at, tokens) ?? nextToken(text, at);
  } catch (error) {
    if (!(error instanceof PasteError)) throw error;
    return [{ type: "fault", text: "", value: 0, at, fault: error }, text.length - at];
  }
}

function nextToken(text: string, at: number): [Token, number] {
  const word = matchAt(plainWord, text, at);
  const address = addressWithColons(text, at);
  if (address && address.length > word.length)
    return [{ type: parseEthernet(address) ? "ethernet" : "ipv6", text: address, value: 0, at }, address.length];
  if (word) return [classify(word, at), word.length];
  const escaped = matchAt(escapedWord, text, at);
  if (escaped) return [{ type: "name", text: escaped.slice(1), value: 0, at }, escaped.length];
  const symbol = symbols.find((candidate) => text.startsWith(candidate, at));
  if (!symbol)
    throw filterError(
      at,
      `unexpected character ${JSON.stringify(String.fromCodePoint(text.codePointAt(at)!))}`,
      strayHints[text[at]!],
    );
  const normal = normalised[symbol] ?? symbol;
  return [{ type: /^[a-z]/.test(normal) ? "word" : "symbol", text: normal, value: 0, at }, symbol.length];
}

/**
 * Times, names of ports and rules and the ends of flows follow rules of their own (`vale0:*`, `yesterday 14:00`, `10.0.0.1:80`),
 * so they are taken whole: behind their words, in `between` behind the `and` too, and twice behind `flow`.
 */
function valueTakenWhole(text: string, at: number, tokens: readonly Token[]): [Token, number] | undefined {
  if (tokens.at(-1)?.type === "word" && tokens.at(-1)!.text === payloadWord) return payloadToken(text, at);
  const wordAt = (place: number) => (tokens.at(place)?.type === "word" ? tokens.at(place)!.text : "");
  const isName =
    nameWords.includes(wordAt(-1)) ||
    wordAt(-1) === communityWord ||
    wordAt(-1) === "flow" ||
    (wordAt(-2) === "flow" && tokens.at(-1)!.type === "name");
  const isTime =
    timeWords.includes(wordAt(-1)) ||
    (wordAt(-1) === "and" && tokens.at(-2)?.type === "time" && wordAt(-3) === "between");
  if (!isName && !isTime) return undefined;
  const type = isTime ? "time" : "name";
  const quoted = matchAt(quotedText, text, at);
  if (quoted) return [{ type, text: quoted.slice(1, -1), value: 0, at: at + 1 }, quoted.length];
  if ("\"'".includes(text[at]!)) throw filterError(at, `${text[at]} is never closed`);
  const length = isTime ? timeLength(text, at) : matchAt(nameText, text, at).length;
  return length === 0 ? undefined : [{ type, text: text.slice(at, at + length), value: 0, at }, length];
}

/** Bytes in quotes, an expression between slashes with its flags, or what goes up to a blank or parenthesis. As written. */
function payloadToken(text: string, at: number): [Token, number] | undefined {
  const opening = text[at]!;
  const form = opening === "/" ? regexText : opening === '"' ? doubleQuoted : opening === "'" ? singleQuoted : nameText;
  const found = matchAt(form, text, at);
  if (found) return [{ type: "payload", text: found, value: 0, at }, found.length];
  if ("/\"'".includes(opening)) throw filterError(at, `${opening} is never closed`);
  return undefined;
}

function matchAt(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? "";
}

/** The longest Ethernet or IPv6 address with colons that starts here. */
function addressWithColons(text: string, at: number): string | undefined {
  const run = matchAt(colonWord, text, at);
  if (!run.includes(":")) return undefined;
  for (let length = run.length; length > 1; length--) {
    const candidate = run.slice(0, length);
    if (candidate.includes(":") && (parseEthernet(candidate) || parseIpv6(candidate))) return candidate;
  }
  return undefined;
}

function classify(word: string, at: number): Token {
  const named = numbers.get(word);
  if (named !== undefined) return { type: "number", text: word, value: named, at };
  if (keywords.has(word) || protocolOf(word) || refusedWords.has(word))
    return { type: "word", text: word === "length" ? "len" : word, value: 0, at };
  if (parseEthernet(word)) return { type: "ethernet", text: word, value: 0, at };
  if (numberForm.test(word)) return { type: "number", text: word, value: numberValue(word, at), at };
  if (shortIpv4Form.test(word)) {
    if (!parseIpv4(word)) throw filterError(at, `"${word}" is no IPv4 address`, "each part is at most 255");
    return { type: "ipv4", text: word, value: 0, at };
  }
  return { type: "name", text: word, value: 0, at };
}

/** As in C: 0x is hexadecimal, a leading 0 is octal. */
function numberValue(word: string, at: number): number {
  const octal = /^0\d+$/.test(word);
  if (octal && /[89]/.test(word))
    throw filterError(at, `"${word}" starts with 0, so it is octal, and has a digit over 7`);
  const value = octal ? Number.parseInt(word, 8) : Number(word);
  if (value > 0xffffffff) throw filterError(at, `"${word}" is over 32 bits`, "the largest number is 4294967295");
  return value;
}

function matchBrackets(tokens: Token[]): void {
  const open: number[] = [];
  const wrong = (index: number, problem: string) => {
    const { text, at } = tokens[index]!;
    tokens[index] = { type: "fault", text: "", value: 0, at, fault: filterError(at, `"${text}" ${problem}`) };
  };
  for (const [index, token] of tokens.entries()) {
    if (token.type === "fault") return;
    if (token.type !== "symbol") continue;
    if (token.text === "(" || token.text === "[") open.push(index);
    if (token.text !== ")" && token.text !== "]") continue;
    const opening = tokens[open.pop() ?? -1];
    if (opening?.text !== (token.text === ")" ? "(" : "[")) {
      wrong(index, "closes nothing");
      return;
    }
    opening.closing = index;
  }
  const unclosed = open.pop();
  if (unclosed !== undefined) wrong(unclosed, "is never closed");
}
