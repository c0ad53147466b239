// Classic BPF as the kernel's <linux/filter.h> and McCanne and Jacobson (USENIX 1993) define it: opcodes, one instruction,
// and its bytes.

/** One instruction: `jt` and `jf` count instructions skipped, `k` is an unsigned 32-bit operand. */
export interface BpfInstruction {
  code: number;
  jt: number;
  jf: number;
  k: number;
}

/** Longest program that a filter may become; the kernel's BPF_MAXINSNS. */
export const maxInstructions = 4096;
/** Scratch words M[0] to M[15]. */
export const scratchWords = 16;
/** `struct bpf_insn`: u16 code, u8 jt, u8 jf, u32 k. */
export const instructionSizeBytes = 8;

export const sizeCode = { 1: 0x10, 2: 0x08, 4: 0x00 } as const;
export type LoadSize = keyof typeof sizeCode;

export const aluCode = {
  "+": 0x00,
  "-": 0x10,
  "*": 0x20,
  "/": 0x30,
  "|": 0x40,
  "&": 0x50,
  "<<": 0x60,
  ">>": 0x70,
  "%": 0x90,
  "^": 0xa0,
} as const;
export type AluOperator = keyof typeof aluCode;

export const jumpCode = { equal: 0x10, greater: 0x20, greaterOrEqual: 0x30, anyBit: 0x40 } as const;
export type JumpTest = keyof typeof jumpCode;

export const op = {
  loadImmediate: 0x00,
  loadAbsolute: 0x20, // | size
  loadIndirect: 0x40, // | size
  loadScratch: 0x60,
  loadLength: 0x80,
  loadRecord: 0xc0, // a free mode of ours: A = record[k]
  loadXImmediate: 0x01,
  loadXScratch: 0x61,
  loadXLength: 0x81,
  loadXHeaderLength: 0xb1, // X = 4 * (frame[k] & 0xf)
  store: 0x02,
  aluConstant: 0x04, // | operator
  aluX: 0x0c, // | operator
  negate: 0x84,
  jumpAlways: 0x05,
  jumpConstant: 0x05, // | test
  jumpX: 0x0d, // | test
  returnConstant: 0x06,
  copyAToX: 0x07,
  copyXToA: 0x87,
} as const;

/** The program as the kernel and the C++ interpreter take it: little endian, 8 bytes an instruction. */
export function encodeProgram(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * instructionSizeBytes);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    const at = index * instructionSizeBytes;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}
