// Tokens to a tree, by the grammar of pcap-filter(7): `and` and `or` bind alike and to the left, `not` binds closest, and a
// bare value takes over the words of the condition before it (`port 80 or 443`).

import { anyTest } from "./any-test.js";
import type { FilterExpression, FilterTerm, Kind, Qualifier, Relation } from "./ast.js";
import type { Direction } from "./direction.js";
import { didYouMean, filterError, nearest } from "./filter-error.js";
import { parseFlow } from "./flow-parser.js";
import { otherNames, valueHint } from "./hints.js";
import { type Token, tokenize } from "./lexer.js";
import { valueNames } from "./lookups.js";
import { parsePayload } from "./payload-parser.js";
import { isRecordWord, parseRecordWord } from "./record-word-parser.js";
import { anyWord, communityWord, nameWords, payloadWord } from "./record-words.js";
import { isArithmeticOperator, isRelation, parseTerm } from "./term-parser.js";
import { knownWords, TokenReader } from "./token-reader.js";
import { parseValue } from "./value-parser.js";
import { llcTypes, type Protocol, protocolName, protocolOf, refusedWords } from "./words.js";

/** Most conditions in one filter. */
const maxConditions = 4096;

/** What was parsed, the words that a bare value after it takes over, and whether it was a bare value itself. */
interface Operand {
  expression: FilterExpression;
  carried: Qualifier | undefined;
  bare: boolean;
}

const kinds: readonly string[] = ["host", "net", "port", "portrange", "proto", "protochain"];
/** Behind a direction, and behind a protocol that has ports: no other is carried there. */
const withoutProto = knownWords.filter((word) => !word.startsWith("proto"));
const anOperand = 'a condition such as "tcp", "host 10.0.0.1" or "port 80"';

/** The tree of a filter; empty text selects everything. Times count from `nowNs`. Throws FILTER errors with the column. */
export function parseFilter(text: string, nowNs = BigInt(Date.now()) * 1_000_000n): FilterExpression {
  const reader = new TokenReader(tokenize(text));
  if (reader.peek().type === "end") return { kind: "everything", at: 0 };
  const { expression } = new Parser(reader, nowNs).parseExpression(undefined, false);
  if (reader.peek().type === "end") return expression;
  const ofPayload = reader.peek(-1).type === "payload";
  throw reader.unexpected(
    `"and", "or" or the end${ofPayload ? ": bytes with blanks need quotes that the shell leaves" : ""}`,
  );
}

const values: Record<Kind, string> = {
  host: "an address",
  net: "a network such as 10.0.0.0/8",
  port: "a port",
  portrange: "a range such as 80-90",
  proto: "a protocol's number, or its name behind a backslash",
  protochain: "a protocol's number, or its name behind a backslash",
};

/** What may stand where a bare value may. */
function aValueOr({ kind }: Qualifier, valuesOnly: boolean): string {
  const value = values[kind ?? "host"];
  return valuesOnly ? value : `${value} or a condition`;
}

function isValue({ type }: Token): boolean {
  return ["name", "number", "ipv4", "ipv6", "ethernet"].includes(type);
}

class Parser {
  private conditions = 0;
  /** Where words began whose first value is still to come. */
  private start: number | undefined;

  constructor(
    private readonly reader: TokenReader,
    private readonly nowNs: bigint,
  ) {}

  /** A chain of `and` and `or`. With `valuesOnly`, or after a bare value first, only bare values may stand in it. */
  parseExpression(carried: Qualifier | undefined, valuesOnly: boolean): Operand {
    const first = this.parseOperand(carried, valuesOnly);
    let result = first;
    for (;;) {
      const { at } = this.reader.peek();
      const kind = this.reader.take("and") ? "and" : this.reader.take("or") ? "or" : undefined;
      if (!kind) return { ...result, bare: first.bare };
      const right = this.parseOperand(result.carried, valuesOnly || first.bare);
      result = { ...right, expression: { kind, left: result.expression, right: right.expression, at } };
    }
  }

  private parseOperand(carried: Qualifier | undefined, valuesOnly: boolean): Operand {
    const { at } = this.reader.peek();
    let negated = false;
    while (this.reader.take("not")) negated = !negated;
    const operand = this.parsePlainOperand(carried, valuesOnly);
    return negated ? { ...operand, expression: { kind: "not", operand: operand.expression, at } } : operand;
  }

  private parsePlainOperand(carried: Qualifier | undefined, valuesOnly: boolean): Operand {
    const token = this.reader.peek();
    if (++this.conditions > maxConditions)
      throw filterError(token.at, `more than ${maxConditions} conditions`, "split the filter into several rules");
    if (this.startsRelation(token, carried, valuesOnly)) return this.plain(this.parseRelation());
    if (this.reader.take("(")) {
      const inner = this.reader.nested(() => this.parseExpression(carried, valuesOnly));
      this.reader.expect(")");
      return { ...inner, carried };
    }
    if (token.type === "word") {
      if (valuesOnly) throw this.wordAmongValues(token);
      return this.parseWord(token);
    }
    if (token.type === "end" || token.type === "symbol" || token.type === "fault")
      throw this.reader.unexpected(carried ? aValueOr(carried, valuesOnly) : anOperand);
    if (!carried) throw this.valueWithoutWords(token);
    if (token.type === "name") this.checkName(token, carried);
    const value = parseValue(this.reader, carried);
    const start = this.start ?? token.at;
    this.start = undefined;
    const expression: FilterExpression = carried.any
      ? { ...anyTest(carried, value, token.at), start }
      : { kind: "match", qualifier: carried, value, at: token.at, start };
    return { expression, carried, bare: true };
  }

  /** Whether arithmetic starts here: decided by what follows, so that nothing is parsed twice. */
  private startsRelation(token: Token, carried: Qualifier | undefined, valuesOnly: boolean): boolean {
    if (valuesOnly) return false;
    if (token.type === "number") {
      const slash = carried?.kind === "net" && this.reader.at("/", 1) && this.reader.peek(2).type === "number";
      const after = this.reader.peek(slash ? 3 : 1);
      return isArithmeticOperator(after) || isRelation(after);
    }
    if (token.type === "symbol" && token.text === "(") {
      const after = this.reader.afterClosing();
      return isArithmeticOperator(after) || isRelation(after);
    }
    if (token.text === "-" && token.type === "symbol") return true;
    if (token.type !== "word") return false;
    return token.text === "len" || (protocolOf(token.text) !== undefined && this.reader.at("[", 1));
  }

  private parseRelation(): FilterExpression {
    const { at } = this.reader.peek();
    this.reader.beginComparison();
    const left: FilterTerm = parseTerm(this.reader);
    if (!isRelation(this.reader.peek())) throw this.reader.unexpected("=, !=, <, <=, > or >=");
    const relation = this.reader.next().text as Relation;
    return { kind: "relation", relation, left, right: parseTerm(this.reader), at };
  }

  private parseWord(token: Token): Operand {
    const protocol = protocolOf(token.text);
    if (protocol) {
      this.reader.next();
      return this.parseAfterProtocol(protocol, token.at);
    }
    if (["src", "dst", ...kinds].includes(token.text)) return this.parseQualified(undefined, token.at);
    if (token.text === anyWord) return this.parseAny();
    if (token.text === payloadWord) return this.plain(parsePayload(this.reader));
    if (token.text === "flow") return this.plain(parseFlow(this.reader));
    if (isRecordWord(token.text)) return this.plain(parseRecordWord(this.reader, this.nowNs));
    return this.plain(this.parseSpecial(token));
  }

  private parseAfterProtocol(protocol: Protocol, at: number): Operand {
    const { text, type } = this.reader.peek();
    if (type === "word") {
      if (text === "broadcast" || text === "multicast") {
        this.reader.next();
        return this.plain(text === "broadcast" ? { kind: text, protocol, at } : { kind: text, protocol, at });
      }
      if (["src", "dst", ...kinds].includes(text)) return this.parseQualified(protocol, at);
      if (refusedWords.has(text)) throw this.reader.unexpected(anOperand);
    }
    if (type === "name" && ["tcp", "udp", "sctp"].includes(protocol))
      throw this.reader.unknownWord(this.reader.peek(), 'expected "and", "or" or the end', [], withoutProto);
    if (isArithmeticOperator(this.reader.peek()) || isRelation(this.reader.peek()))
      throw this.reader.unexpected(
        `"[": bytes are written ${protocolName(protocol)}[offset] or ${protocolName(protocol)}[offset:size]`,
      );
    if (protocol === "link") throw this.reader.unexpected('"host", "src", "dst", "proto", "broadcast" or "multicast"');
    return this.plain({ kind: "protocol", protocol, at });
  }

  private parseAny(): Operand {
    const { at } = this.reader.next();
    const { text, type } = this.reader.peek();
    if (type !== "word" || text === "protochain" || !["src", "dst", ...kinds].includes(text))
      throw this.reader.unexpected('"host", "net", "port", "portrange" or "proto", perhaps behind "src" or "dst"');
    return this.parseQualified(undefined, at, true);
  }

  /** `[src|dst|src or dst|src and dst] [host|net|port|portrange] VALUE`, or `proto VALUE`. */
  private parseQualified(protocol: Protocol | undefined, start: number, any = false): Operand {
    const direction = this.parseDirection();
    const { text, type, at } = this.reader.peek();
    const kind = type === "word" && kinds.includes(text) ? (text as Kind) : undefined;
    if (kind) this.reader.next();
    if ((kind === "proto" || kind === "protochain") && direction)
      throw filterError(at, `"${kind}" takes no direction`, 'leave out "src" and "dst"');
    const carried: Qualifier = {
      ...(protocol && { protocol }),
      ...(direction && { direction }),
      ...(kind && { kind }),
      ...(any && { any }),
    };
    this.start = start;
    return { ...this.parseOperand(carried, true), carried, bare: false };
  }

  private parseDirection(): Direction | undefined {
    const first = this.reader.take("src") ? "src" : this.reader.take("dst") ? "dst" : undefined;
    if (!first) return undefined;
    const second = first === "src" ? "dst" : "src";
    for (const join of ["or", "and"] as const)
      if (this.reader.at(join) && this.reader.at(second, 1)) {
        this.reader.next();
        this.reader.next();
        return `src ${join} dst`;
      }
    return first;
  }

  private parseSpecial({ text, at }: Token): FilterExpression {
    this.reader.next();
    switch (text) {
      case "broadcast":
      case "multicast":
        return { kind: text, at };
      case "less":
      case "greater":
        return { kind: text, length: this.reader.expectNumber("a length in bytes"), at };
      case "byte":
        return this.parseByte(at);
      case "vlan":
        return { kind: text, at, ...this.parseId("VLAN", 0xfff) };
      case "mpls":
        return { kind: text, at, ...this.parseId("MPLS label", 0xfffff) };
      case "pppoes":
        return { kind: text, at, ...this.parseId("PPPoE session", 0xffff) };
      case "pppoed":
        return { kind: text, at };
      case "llc":
        return this.parseLlc(at);
    }
    const reason = refusedWords.get(text);
    if (reason) throw filterError(at, `"${text}" cannot be used`, reason);
    throw filterError(at, `unexpected "${text}"`, `expected ${anOperand}`);
  }

  /** An optional number, which may stand in parentheses. */
  private parseId(what: string, limit: number): { id?: number } {
    let depth = 0;
    while (this.reader.at("(")) {
      this.reader.next();
      depth++;
    }
    const { type, at } = this.reader.peek();
    if (depth === 0 && type !== "number") return {};
    const id = this.reader.expectNumber(`the number of a ${what}`);
    if (id > limit) throw filterError(at, `${what} ${id} is too large`, `the largest is ${limit}`);
    for (; depth > 0; depth--) this.reader.expect(")");
    return { id };
  }

  private parseByte(at: number): FilterExpression {
    const offset = this.reader.expectNumber("the offset of a byte");
    const { text, at: place } = this.reader.peek();
    if (text === "&" || text === "|")
      throw filterError(
        place,
        `"byte ${offset} ${text}" has no defined meaning`,
        `write "ether[${offset}] ${text} N != 0"`,
      );
    if (text !== "=" && text !== "<" && text !== ">") throw this.reader.unexpected('"=", "<" or ">"');
    this.reader.next();
    return { kind: "byte", offset, relation: text, value: this.reader.expectNumber("a number"), at };
  }

  private parseLlc(at: number): FilterExpression {
    const { text, type } = this.reader.peek();
    const isType = (type === "name" || type === "word") && llcTypes.has(text.toLowerCase());
    if (!isType && type === "name")
      throw this.reader.unknownWord(this.reader.peek(), `llc takes ${[...llcTypes.keys()].join(", ")}`);
    if (!isType) return { kind: "llc", at };
    this.reader.next();
    return { kind: "llc", type: text.toLowerCase(), at };
  }

  private plain(expression: FilterExpression): Operand {
    return { expression, carried: undefined, bare: false };
  }

  private wordAmongValues(token: Token): Error {
    const reason = refusedWords.get(token.text);
    if (reason) return filterError(token.at, `"${token.text}" cannot be used`, reason);
    const protocol = protocolOf(token.text);
    const hint = protocol
      ? `expected a value: a protocol's name is written \\${protocolName(protocol)}`
      : "expected a value";
    return filterError(token.at, `unexpected "${token.text}"`, hint);
  }

  /**
   * A name that means nothing here is a word that was misspelt where it took a value's place: where a value follows it
   * (`src prot 80`), or where it stands behind `and` or `or` and is near to a word (`port 80 and droped`).
   */
  private checkName(token: Token, carried: Qualifier): void {
    const { text } = token;
    const names = valueNames(carried);
    if (names.has(text) || names.has(text.toLowerCase()) || /^\d+-\d+$/.test(text)) return;
    const near = nearest(text, [...knownWords, ...names.keys()]);
    const isWord = this.start === undefined && ((near !== undefined && !names.has(near)) || otherNames.has(text));
    if (!isWord && !isValue(this.reader.peek(1))) return;
    const words = carried.direction ? withoutProto : knownWords;
    throw this.reader.unknownWord(token, `expected ${aValueOr(carried, false)}`, names.keys(), words);
  }

  private valueWithoutWords(token: Token): Error {
    const { type, text } = this.reader.peek(-3);
    const again = type === "word" && (nameWords.includes(text) || text === "dropped" || text === communityWord);
    const stands = again ? `"${text}" stands again before each of its values` : undefined;
    const hint = stands ?? valueHint(token, this.reader.peek(1));
    if (token.type !== "name") return filterError(token.at, `"${token.text}" has no word before it`, hint);
    if (stands)
      return filterError(token.at, `unknown word "${token.text}"`, didYouMean(token.text, knownWords, stands));
    return this.reader.unknownWord(token, hint ?? `expected ${anOperand}`);
  }
}
