// Arithmetic: `tcp[12] & 0xf0 >> 2`. Operator precedence as tcpdump's grammar has it, with its two oddities: `%` and `^` have
// no precedence there, so whatever follows them belongs to their right operand, and they bind before what precedes them.
import type { FilterTerm } from "./ast.js";
import { filterError } from "./filter-error.js";
import { type AluOperator, aluCode, type LoadSize, sizeCode } from "./instruction.js";
import type { Token } from "./lexer.js";
import type { TokenReader } from "./token-reader.js";
import { numbers, protocolName, protocolOf, protocols } from "./words.js";

const termWords = ["len", ...protocols.map(protocolName)];

type StackedOperator = { operator: AluOperator | "negate"; at: number };

const precedence: Partial<Record<AluOperator | "negate", number>> = {
  "|": 1,
  "&": 2,
  "<<": 3,
  ">>": 3,
  "+": 4,
  "-": 4,
  "*": 5,
  "/": 5,
  negate: 6,
};

export function isArithmeticOperator(token: Token): boolean {
  return token.type === "symbol" && Object.hasOwn(aluCode, token.text);
}

export function isRelation(token: Token): boolean {
  return token.type === "symbol" && ["=", "!=", "<", "<=", ">", ">="].includes(token.text);
}

/** Parses one arithmetic expression, up to the first token that cannot continue it. */
export function parseTerm(reader: TokenReader): FilterTerm {
  const operands: FilterTerm[] = [];
  const operators: StackedOperator[] = [];
  for (;;) {
    while (reader.at("-")) pushNegation(reader, operators);
    operands.push(parsePrimary(reader));
    if (!isArithmeticOperator(reader.peek())) break;
    const { text, at } = reader.next();
    const operator = text as AluOperator;
    reader.countOperator(at);
    while (operators.length > 0 && reducesBefore(operators.at(-1)!.operator, operator)) reduce(operands, operators);
    operators.push({ operator, at });
  }
  while (operators.length > 0) reduce(operands, operators);
  return operands[0]!;
}

function pushNegation(reader: TokenReader, operators: StackedOperator[]): void {
  const { at } = reader.next();
  reader.countOperator(at);
  operators.push({ operator: "negate", at });
}

function reducesBefore(stacked: AluOperator | "negate", incoming: AluOperator): boolean {
  const [left, right] = [precedence[stacked], precedence[incoming]];
  return left !== undefined && right !== undefined && left >= right;
}

function reduce(operands: FilterTerm[], operators: StackedOperator[]): void {
  const { operator, at } = operators.pop()!;
  const right = operands.pop()!;
  if (operator === "negate") operands.push({ kind: "negate", operand: right, at });
  else operands.push({ kind: "arithmetic", operator, left: operands.pop()!, right, at });
}

function parsePrimary(reader: TokenReader): FilterTerm {
  const token = reader.peek();
  if (token.type === "number") return { kind: "number", value: reader.next().value, at: token.at };
  if (reader.take("len")) return { kind: "frame length", at: token.at };
  if (reader.take("("))
    return reader.nested(() => {
      const term = parseTerm(reader);
      reader.expect(")");
      return term;
    });
  if (token.type === "word" && protocolOf(token.text)) return parseLoad(reader);
  const wanted = 'a number, "len" or bytes such as "ip[0]"';
  if (token.type === "name") throw reader.unknownWord(token, `expected ${wanted}`, numbers.keys(), termWords);
  throw reader.unexpected(wanted);
}

function parseLoad(reader: TokenReader): FilterTerm {
  const { text, at } = reader.next();
  const protocol = protocolOf(text)!;
  reader.expect(
    "[",
    `"[", because bytes are written ${protocolName(protocol)}[offset] or ${protocolName(protocol)}[offset:size]`,
  );
  const offset = reader.nested(() => parseTerm(reader));
  let size: LoadSize = 1;
  if (reader.take(":")) {
    const place = reader.peek().at;
    const wanted = reader.expectNumber("a size of 1, 2 or 4 bytes");
    if (!Object.hasOwn(sizeCode, wanted)) throw filterError(place, `a size of ${wanted} bytes`, "it must be 1, 2 or 4");
    size = wanted as LoadSize;
  }
  reader.expect("]");
  return { kind: "load", protocol, offset, size, at };
}
