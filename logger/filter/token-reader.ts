// The parser's view of the tokens: where it is, what comes next, and the errors that every rule shares.
import { didYouMean, filterError } from "./filter-error.js";
import type { Token } from "./lexer.js";
import { keywords, protocolName, protocols, refusedWords } from "./words.js";

/** Deepest nesting of parentheses and brackets. */
export const maxDepth = 64;

export class TokenReader {
  private index = 0;
  private depth = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  /** The token `ahead` places on; past the end, the end. */
  peek(ahead = 0): Token {
    return this.tokens[Math.min(this.index + ahead, this.tokens.length - 1)]!;
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

  expect(text: string, hint?: string): Token {
    if (!this.at(text)) throw this.unexpected(`"${text}"`, hint);
    return this.next();
  }

  expectNumber(what: string): number {
    if (this.peek().type !== "number") throw this.unexpected(what);
    return this.next().value;
  }

  /** The token after the bracket that closes the one `ahead` places on. */
  afterClosing(ahead = 0): Token {
    const closing = this.peek(ahead).closing!;
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

  /** The error for a token that cannot stand here; `wanted` says what could. */
  unexpected(wanted: string, hint?: string): Error {
    const token = this.peek();
    if (token.type === "end") return filterError(token.at, `the filter ends where ${wanted} was expected`, hint);
    if (token.type === "name") return this.unknownWord(token, hint);
    const reason = refusedWords.get(token.text);
    if (reason) return filterError(token.at, `"${token.text}" cannot be used here`, reason);
    return filterError(token.at, `"${token.text}" where ${wanted} was expected`, hint);
  }

  unknownWord(token: Token, otherwise?: string): Error {
    const known = [...keywords, ...protocols.map(protocolName)];
    return filterError(token.at, `unknown word "${token.text}"`, didYouMean(token.text, known, otherwise));
  }
}
