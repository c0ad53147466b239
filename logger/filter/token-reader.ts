// The parser's view of the tokens: where it is, what comes next, and the errors that every rule shares.
import { didYouMean, filterError } from "./filter-error.js";
import { otherNames } from "./hints.js";
import type { Token } from "./lexer.js";
import { keywords, protocolName, protocols, refusedWords } from "./words.js";

/** Deepest nesting of parentheses and brackets. */
export const maxDepth = 64;

/** Most operators in one comparison; it bounds how deep the recursion over a comparison goes. */
export const maxOperators = 256;

export const knownWords: readonly string[] = [...keywords, ...protocols.map(protocolName)];

export class TokenReader {
  private index = 0;
  private depth = 0;
  private operators = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  /** The token `ahead` places on, or back; past an end, the one that stands there. */
  peek(ahead = 0): Token {
    return this.tokens[Math.max(0, Math.min(this.index + ahead, this.tokens.length - 1))]!;
  }

  next(): Token {
    const token = this.peek();
    if (token.type !== "end") this.index++;
    return token;
  }

  /** Whether the next token is this word or symbol. */
  at(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && (token.type === "word" || token.type === "symbol");
  }

  /** Takes the next token if it is this word or symbol. */
  take(text: string): boolean {
    if (!this.at(text)) return false;
    this.index++;
    return true;
  }

  expect(text: string, wanted = `"${text}"`): Token {
    if (!this.at(text)) throw this.unexpected(wanted);
    return this.next();
  }

  expectNumber(what: string): number {
    if (this.peek().type !== "number") throw this.unexpected(what);
    return this.next().value;
  }

  /** The token after the bracket that closes the one `ahead` places on; the end where a fault stands before that. */
  afterClosing(ahead = 0): Token {
    const closing = this.peek(ahead).closing ?? this.tokens.length;
    return this.tokens[Math.min(closing + 1, this.tokens.length - 1)]!;
  }

  /** Runs `parse` one level deeper. */
  nested<Result>(parse: () => Result): Result {
    if (++this.depth > maxDepth)
      throw filterError(
        this.peek().at,
        `nesting is deeper than ${maxDepth} levels`,
        "leave out parentheses that change nothing",
      );
    const result = parse();
    this.depth--;
    return result;
  }

  /** A comparison begins: operators are counted anew. */
  beginComparison(): void {
    this.operators = 0;
  }

  countOperator(at: number): void {
    if (++this.operators > maxOperators) throw filterError(at, `more than ${maxOperators} operators in one comparison`);
  }

  /** The error for a token that cannot stand here; `wanted` says what can. */
  unexpected(wanted: string): Error {
    const token = this.peek();
    if (token.fault) return token.fault;
    const expected = `expected ${wanted}`;
    if (token.type === "end") return filterError(token.at, "the filter ends too early", expected);
    if (token.type === "name") return this.unknownWord(token, expected);
    const reason = refusedWords.get(token.text);
    if (reason) return filterError(token.at, `"${token.text}" cannot be used`, reason);
    return filterError(token.at, `unexpected "${token.text}"`, expected);
  }

  /** `names`: what may be meant beside the words, where a value may stand. */
  unknownWord({ text, at }: Token, otherwise?: string, names: Iterable<string> = [], words = knownWords): Error {
    const elsewhere = otherNames.get(text.toLowerCase());
    const hint = /^(?:len|length|\d+)-/.test(text)
      ? 'a subtraction needs blanks around "-"'
      : elsewhere
        ? `did you mean "${elsewhere}"?`
        : didYouMean(text, [...words, ...names], otherwise);
    return filterError(at, `unknown word "${text}"`, hint);
  }
}
