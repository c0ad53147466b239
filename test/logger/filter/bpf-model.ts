// Classic BPF as its papers and the kernel's documentation state it, in the plainest way: the model that the C++ is held to.
import type { BpfInstruction } from "../../../logger/filter/instruction.js";

/** What a program returns for a frame; a load beyond the frame and a division by zero return 0. */
export function runModel(program: readonly BpfInstruction[], frame: Uint8Array, wireLength: number): number {
  const scratch = new Array<number>(16).fill(0);
  let [a, x] = [0, 0];
  for (let at = 0; ; at++) {
    const { code, jt, jf, k } = program[at]!;
    const group = code & 0x07;
    const operand = code & 0x08 ? x : k;
    if (group === 0 || group === 1) {
      const value = load(code, k, x, frame, wireLength, scratch);
      if (value === undefined) return 0;
      if (group === 0) a = value;
      else x = value;
    } else if (group === 2 || group === 3) scratch[k] = group === 2 ? a : x;
    else if (group === 4) {
      const value = compute(code & 0xf0, a, operand);
      if (value === undefined) return 0;
      a = value;
    } else if (group === 5) at += (code & 0xf0) === 0 ? k : holds(code & 0xf0, a, operand) ? jt : jf;
    else if (group === 6) return code & 0x10 ? a : k;
    else if (code & 0x80) a = x;
    else x = a;
  }
}

function load(
  code: number,
  k: number,
  x: number,
  frame: Uint8Array,
  wireLength: number,
  scratch: number[],
): number | undefined {
  const mode = code & 0xe0;
  if (mode === 0x00) return k;
  if (mode === 0x60) return scratch[k];
  if (mode === 0x80) return wireLength;
  const at = mode === 0x40 ? x + k : k;
  const size = { 0: 4, 8: 2, 16: 1 }[code & 0x18]!;
  if (at + size > frame.length) return undefined;
  const value = frame.subarray(at, at + size).reduce((sum, byte) => sum * 256 + byte, 0);
  return mode === 0xa0 ? (value & 0xf) * 4 : value;
}

function compute(operation: number, a: number, b: number): number | undefined {
  const [left, right] = [BigInt(a), BigInt(b)];
  if ((operation === 0x30 || operation === 0x90) && b === 0) return undefined;
  const results: Record<number, () => bigint> = {
    0: () => left + right,
    16: () => left - right,
    32: () => left * right,
    48: () => left / right,
    64: () => left | right,
    80: () => left & right,
    96: () => (b < 32 ? left << right : 0n),
    112: () => (b < 32 ? left >> right : 0n),
    128: () => -left,
    144: () => left % right,
    160: () => left ^ right,
  };
  return Number(BigInt.asUintN(32, results[operation]!()));
}

function holds(test: number, a: number, b: number): boolean {
  if (test === 0x10) return a === b;
  if (test === 0x20) return a > b;
  if (test === 0x30) return a >= b;
  return (BigInt(a) & BigInt(b)) !== 0n;
}
