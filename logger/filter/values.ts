// What a BPF test compares: values computed from a frame. Equal values are one object with one id, so that "the accumulator
// already holds this" and "this was tested before" are comparisons of ids.
import { type AluOperator, aluCode, type LoadSize } from "./instruction.js";

export type Value = { readonly id: number } & (
  | { kind: "constant"; value: number }
  | { kind: "frame length" }
  /** Of what is known beside the frame: see `recordWord`. */
  | { kind: "record word"; number: number }
  /** `size` bytes at `at`, plus `index` if there is one; beyond the captured bytes the frame is rejected. */
  | { kind: "bytes"; size: LoadSize; at: number; index: Value | undefined }
  /** 4 * (frame[at] & 0xf): an IPv4 header's length. */
  | { kind: "header length"; at: number }
  | { kind: "arithmetic"; operator: AluOperator; left: Value; right: Value }
  | { kind: "negate"; operand: Value }
);
type Shape<Kind extends Value["kind"]> = Extract<Value, { kind: Kind }>;

export class ValueTable {
  private readonly known = new Map<string, Value>();
  private readonly simple = new Map<Value, Value>();

  constant(value: number): Value {
    return this.intern(`#${value >>> 0}`, { kind: "constant", value: value >>> 0 });
  }

  frameLength(): Value {
    return this.intern("len", { kind: "frame length" });
  }

  recordWord(number: number): Value {
    return this.intern(`r${number}`, { kind: "record word", number });
  }

  bytes(size: LoadSize, at: number, index?: Value): Value {
    return this.intern(`b${size},${at >>> 0},${index?.id ?? ""}`, { kind: "bytes", size, at: at >>> 0, index });
  }

  headerLength(at: number): Value {
    return this.intern(`h${at}`, { kind: "header length", at });
  }

  arithmetic(operator: AluOperator, left: Value, right: Value): Value {
    return this.intern(`${operator},${left.id},${right.id}`, { kind: "arithmetic", operator, left, right });
  }

  negate(operand: Value): Value {
    return this.intern(`neg${operand.id}`, { kind: "negate", operand });
  }

  /**
   * The same value with its constant parts computed. As in tcpdump, `x * 0` and `0 & x` are 0 without loading x, so that
   * they do not reject a frame in which x lies beyond the captured bytes.
   */
  simplified(value: Value): Value {
    const done = this.simple.get(value);
    if (done) return done;
    const result = this.simplify(value);
    this.simple.set(value, result);
    return result;
  }

  private simplify(value: Value): Value {
    switch (value.kind) {
      case "bytes":
        return value.index ? this.simplifyBytes(value, this.simplified(value.index)) : value;
      case "negate": {
        const operand = this.simplified(value.operand);
        return operand.kind === "constant" ? this.constant(-operand.value) : this.negate(operand);
      }
      case "arithmetic":
        return this.simplifyArithmetic(value.operator, this.simplified(value.left), this.simplified(value.right));
      default:
        return value;
    }
  }

  private simplifyBytes({ size, at }: Shape<"bytes">, index: Value): Value {
    if (index.kind === "constant") return this.bytes(size, at + index.value);
    if (index.kind === "arithmetic" && index.operator === "+" && index.left.kind === "constant")
      if (index.right.kind === "header length") return this.bytes(size, at + index.left.value, index.right);
    return this.bytes(size, at, index);
  }

  private simplifyArithmetic(operator: AluOperator, left: Value, right: Value): Value {
    if (left.kind === "constant" && right.kind === "constant") {
      const result = compute(operator, left.value, right.value);
      return result === undefined ? this.arithmetic(operator, left, right) : this.constant(result);
    }
    if (right.kind === "constant" && right.value === 0) {
      if (operator === "*" || operator === "&") return right;
      if (operator !== "/" && operator !== "%") return left;
    }
    if (left.kind === "constant" && left.value === 0) {
      if (operator === "+" || operator === "|" || operator === "^") return right;
      if (operator !== "-") return left;
    }
    return this.arithmetic(operator, left, right);
  }

  private intern(key: string, shape: DistributiveOmit<Value, "id">): Value {
    const known = this.known.get(key);
    if (known) return known;
    const value = { ...shape, id: this.known.size } as Value;
    this.known.set(key, value);
    return value;
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** Unsigned 32-bit arithmetic; undefined for a division by zero. Shifts of 32 and more push every bit out. */
export function compute(operator: AluOperator, left: number, right: number): number | undefined {
  switch (operator) {
    case "+":
      return (left + right) >>> 0;
    case "-":
      return (left - right) >>> 0;
    case "*":
      return Math.imul(left, right) >>> 0;
    case "/":
      return right === 0 ? undefined : Math.floor(left / right);
    case "%":
      return right === 0 ? undefined : left % right;
    case "&":
      return (left & right) >>> 0;
    case "|":
      return (left | right) >>> 0;
    case "^":
      return (left ^ right) >>> 0;
    case "<<":
      return right > 31 ? 0 : (left << right) >>> 0;
    case ">>":
      return right > 31 ? 0 : left >>> right;
  }
}

/** Whether the operands of an operator may be exchanged. */
export function commutes(operator: AluOperator): boolean {
  return operator in aluCode && "+*&|^".includes(operator);
}
