// The C++ side: what its verifier refuses, and that its interpreter does what the model does.
import test from "ava";
import fc from "fast-check";
import { selectFrames, verifyProgram } from "../../../logger/filter/bpf-program.js";
import { type BpfInstruction, encodeProgram } from "../../../logger/filter/instruction.js";
import { runModel } from "./bpf-model.js";
import { batchOf } from "./frames.js";

const insn = (code: number, k = 0, jt = 0, jf = 0): BpfInstruction => ({ code, jt, jf, k });
const ret = insn(0x06, 1);

const refused: readonly (readonly [what: string, program: BpfInstruction[], message: string])[] = [
  ["no instruction", [], "BPF program: 0 instructions, 1 to 4096 are allowed"],
  ["4097 instructions", new Array(4097).fill(ret), "BPF program: 4097 instructions, 1 to 4096 are allowed"],
  ["no return at the end", [ret, insn(0x00)], "BPF program: instruction 1: the last one must be ret"],
  ["an unknown opcode", [insn(0xff), ret], "BPF program: instruction 0: unknown opcode"],
  ["an opcode over a byte", [insn(0x106), ret], "BPF program: instruction 0: unknown opcode"],
  ["a return of X", [insn(0x0e)], "BPF program: instruction 0: unknown opcode"],
  ["a load of unknown size", [insn(0x38), ret], "BPF program: instruction 0: unknown opcode"],
  ["a jump if true past the end", [insn(0x15, 0, 1, 0), ret], "BPF program: instruction 0: jump past the end"],
  ["a jump if false past the end", [insn(0x15, 0, 0, 1), ret], "BPF program: instruction 0: jump past the end"],
  ["a far jump past the end", [insn(0x1d, 0, 255, 0), ret], "BPF program: instruction 0: jump past the end"],
  ["a jump always past the end", [insn(0x05, 1), ret], "BPF program: instruction 0: jump past the end"],
  ["a jump backwards", [ret, insn(0x05, 0xfffffffe), ret], "BPF program: instruction 1: jump past the end"],
  ["a jump at the end", [ret, insn(0x05, 0)], "BPF program: instruction 1: jump past the end"],
  ...[0x60, 0x61, 0x02, 0x03].map((code): [string, BpfInstruction[], string] => [
    `scratch word 16 by 0x${code.toString(16)}`,
    [insn(code, 16), ret],
    "BPF program: instruction 0: scratch word out of range",
  ]),
  ["a division by the constant 0", [insn(0x34, 0), ret], "BPF program: instruction 0: division by zero"],
  ["a remainder by the constant 0", [insn(0x94, 0), ret], "BPF program: instruction 0: division by zero"],
  ["a shift left by 32", [insn(0x64, 32), ret], "BPF program: instruction 0: shift by more than 31 bits"],
  ["a shift right by 32", [insn(0x74, 32), ret], "BPF program: instruction 0: shift by more than 31 bits"],
];

for (const [what, program, message] of refused)
  test(`the verifier refuses ${what}`, (t) => {
    const bytes = encodeProgram(program);
    t.is(verifyProgram(bytes), message);
    t.throws(() => selectFrames(bytes, batchOf([])), { instanceOf: TypeError, message });
  });

test("the verifier takes the limits themselves", (t) => {
  t.is(verifyProgram(encodeProgram(new Array(4096).fill(ret))), undefined);
  t.is(
    verifyProgram(encodeProgram([insn(0x02, 15), insn(0x64, 31), insn(0x15, 0, 0, 0), insn(0x05, 0), ret])),
    undefined,
  );
});

test("what is no program or no batch is a TypeError", (t) => {
  const bytes = encodeProgram([ret]);
  const batch = batchOf([{ data: Buffer.alloc(60), wireLength: 60 }]);
  t.throws(() => verifyProgram(bytes.subarray(1)), { instanceOf: TypeError });
  t.throws(() => verifyProgram("tcp" as never), { instanceOf: TypeError });
  t.throws(() => verifyProgram(new Uint16Array(4) as never), { instanceOf: TypeError });
  t.throws(() => selectFrames(bytes, { ...batch, capturedLengths: Uint32Array.of(61) }), {
    message: /outside its data/,
  });
  t.throws(() => selectFrames(bytes, { ...batch, offsets: Uint32Array.of(0xffffffff) }), {
    message: /outside its data/,
  });
  t.throws(() => selectFrames(bytes, { ...batch, wireLengths: new Uint32Array(0) }), { message: /as many/ });
  t.throws(() => selectFrames(bytes, { ...batch, offsets: [0] as never }), { instanceOf: TypeError });
  // A program at an odd address is copied before it is read.
  const odd = new Uint8Array(9);
  odd.set(bytes, 1);
  t.deepEqual([...selectFrames(odd.subarray(1), batch)], [1]);
});

const loads = [0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x60, 0x01, 0x61, 0x81, 0xb1];
const alu = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0].flatMap((operation) => [
  operation | 4,
  operation | 12,
]);
const moves = [0x84, 0x02, 0x03, 0x07, 0x87];
const jumps = [0x05, 0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d];
const anyK = fc.oneof(
  fc.nat(70),
  fc.constantFrom(0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x0800, 6),
  fc.nat(0xffffffff),
);

/** Programs that verify: operands are brought into their range, jumps stay inside. */
const anyProgram = fc
  .array(fc.tuple(fc.constantFrom(...loads, ...loads, ...alu, ...moves, ...jumps), anyK, fc.nat(255), fc.nat(255)), {
    maxLength: 30,
  })
  .chain((body) => fc.tuple(fc.constant(body), fc.constantFrom(insn(0x16), ret)))
  .map(([body, last]) => [
    ...body.map(([code, k, jt, jf], index) => {
      const left = body.length - index;
      if ((code & 7) === 5)
        return insn(code, code === 5 ? k % left : k, code === 5 ? 0 : jt % left, code === 5 ? 0 : jf % left);
      if ([0x60, 0x61, 0x02, 0x03].includes(code)) return insn(code, k % 16);
      if (code === 0x64 || code === 0x74) return insn(code, k % 32);
      if (code === 0x34 || code === 0x94) return insn(code, k || 1);
      return insn(code, k);
    }),
    last,
  ]);

test("the interpreter does what the model does, for every opcode, over random programs and frames", (t) => {
  const met = new Set<number>();
  const frame = fc.tuple(fc.uint8Array({ maxLength: 70 }), fc.nat(2000));
  fc.assert(
    fc.property(anyProgram, fc.array(frame, { minLength: 1, maxLength: 4 }), (program, frames) => {
      for (const { code } of program) met.add(code);
      const bytes = encodeProgram(program);
      t.is(verifyProgram(bytes), undefined);
      const batch = batchOf(frames.map(([data, wireLength]) => ({ data: Buffer.from(data), wireLength })));
      const expected = frames.map(([data, wireLength]) => (runModel(program, data, wireLength) === 0 ? 0 : 1));
      t.deepEqual([...selectFrames(bytes, batch)], expected);
    }),
    { numRuns: 3000 },
  );
  t.is(met.size, new Set([...loads, ...alu, ...moves, ...jumps]).size + 2);
});

/** Each line computes A from known values and compares it with what it must be: a sign or a carry too many shows. */
const arithmetic: readonly (readonly [code: number, a: number, x: number, result: number])[] = [
  [0x0c, 0xffffffff, 2, 1],
  [0x1c, 1, 2, 0xffffffff],
  [0x2c, 0x10001, 0x10001, 0x20001],
  [0x3c, 0xfffffffe, 0xffffffff, 0],
  [0x3c, 0xffffffff, 2, 0x7fffffff],
  [0x9c, 0xffffffff, 10, 5],
  [0x6c, 1, 31, 0x80000000],
  [0x6c, 1, 32, 0],
  [0x7c, 0x80000000, 31, 1],
  [0x7c, 0x80000000, 0xffffffff, 0],
  [0x84, 1, 0, 0xffffffff],
];
for (const [code, a, x, result] of arithmetic)
  test(`opcode 0x${code.toString(16)} of ${a} and ${x} is ${result}`, (t) => {
    const program = [insn(0x01, x), insn(0x00, a), insn(code), insn(0x15, result, 0, 1), ret, insn(0x06, 0)];
    t.deepEqual([...selectFrames(encodeProgram(program), batchOf([{ data: Buffer.alloc(0), wireLength: 0 }]))], [1]);
  });

test("loads reach the last captured byte and not one further, whatever the frame's length on the wire", (t) => {
  const frame = { data: Buffer.from([1, 2, 3, 4, 5, 6]), wireLength: 1500 };
  for (const [code, size] of [
    [0x20, 4],
    [0x28, 2],
    [0x30, 1],
    [0xb1, 1],
    [0x40, 4],
    [0x48, 2],
    [0x50, 1],
  ] as const) {
    const selects = (k: number): number | undefined =>
      selectFrames(encodeProgram([insn(code, k), ret]), batchOf([frame]))[0];
    t.is(selects(6 - size), 1, `0x${code.toString(16)} of the last bytes`);
    t.is(selects(7 - size), 0, `0x${code.toString(16)} one further`);
    t.is(selects(0xffffffff), 0, `0x${code.toString(16)} at the end of numbers`);
    // The same with a comparison behind it, which the interpreter runs as one operation.
    const fused = (k: number) => encodeProgram([insn(code, k), insn(0x15, 99, 0, 0), ret]);
    t.deepEqual(
      [6 - size, 7 - size].map((k) => selectFrames(fused(k), batchOf([frame]))[0]),
      [1, 0],
    );
  }
});
