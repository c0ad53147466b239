// Instructions that bring a value into the accumulator or the index register, given what these already hold.
import { PasteError } from "../errors.js";
import { aluCode, type BpfInstruction, op, scratchWords, sizeCode } from "./instruction.js";
import { commutes, type Value } from "./values.js";

/** What the accumulator and the index register are known to hold. */
export interface MachineState {
  a?: Value | undefined;
  x?: Value | undefined;
}

export class ValueEmitter {
  readonly code: BpfInstruction[] = [];
  readonly state: MachineState;
  private readonly needs = new Map<Value, number>();

  constructor(state: MachineState) {
    this.state = { ...state };
  }

  /** Brings `value` into the accumulator; scratch words from `scratch` up may be used. */
  loadA(value: Value, scratch = 0): void {
    if (this.state.a === value) return;
    if (this.state.x === value) this.emit(op.copyXToA);
    else this.compute(value, scratch);
    this.state.a = value;
  }

  /** Brings `left` into the accumulator and `right` into the index register. */
  loadBoth(left: Value, right: Value, scratch = 0): void {
    if (this.state.x === right && this.isDirect(left)) {
      this.loadA(left, scratch);
      return;
    }
    if (right.kind === "header length" || right.kind === "frame length" || right.kind === "constant") {
      this.loadA(left, scratch);
      this.loadX(right, scratch);
      return;
    }
    // Cannot happen: the needier operand goes first, so words grow with the logarithm of the (bounded) operators.
    if (scratch >= scratchWords) throw new PasteError("INTERNAL", "filter: an expression outgrew the scratch words");
    if (this.need(right) > this.need(left)) {
      this.loadA(right, scratch);
      this.emit(op.store, scratch);
      this.loadA(left, scratch + 1);
      this.emit(op.loadXScratch, scratch);
    } else {
      this.loadA(left, scratch);
      this.emit(op.store, scratch);
      this.loadA(right, scratch + 1);
      this.emit(op.copyAToX);
      this.emit(op.loadScratch, scratch);
    }
    this.state.a = left;
    this.state.x = right;
  }

  private loadX(value: Value, scratch: number): void {
    if (this.state.x === value) return;
    if (value.kind === "constant") this.emit(op.loadXImmediate, value.value);
    else if (value.kind === "frame length") this.emit(op.loadXLength);
    else if (value.kind === "header length") this.emit(op.loadXHeaderLength, value.at);
    else {
      this.loadA(value, scratch);
      this.emit(op.copyAToX);
    }
    this.state.x = value;
  }

  private compute(value: Value, scratch: number): void {
    switch (value.kind) {
      case "constant":
        this.emit(op.loadImmediate, value.value);
        break;
      case "frame length":
        this.emit(op.loadLength);
        break;
      case "record word":
        this.emit(op.loadRecord, value.number);
        break;
      case "header length":
        this.loadX(value, scratch);
        this.emit(op.copyXToA);
        break;
      case "bytes":
        if (value.index) this.loadX(value.index, scratch);
        this.emit((value.index ? op.loadIndirect : op.loadAbsolute) | sizeCode[value.size], value.at);
        break;
      case "negate":
        this.loadA(value.operand, scratch);
        this.emit(op.negate);
        break;
      case "arithmetic":
        this.computeArithmetic(value, scratch);
    }
  }

  private computeArithmetic(value: Extract<Value, { kind: "arithmetic" }>, scratch: number): void {
    let { left, right } = value;
    if (left.kind === "constant" && commutes(value.operator)) [left, right] = [right, left];
    if (right.kind === "constant") {
      this.loadA(left, scratch);
      this.emit(op.aluConstant | aluCode[value.operator], right.value);
    } else {
      this.loadBoth(left, right, scratch);
      this.emit(op.aluX | aluCode[value.operator]);
    }
  }

  /** Whether a value reaches the accumulator without touching the index register. */
  private isDirect(value: Value): boolean {
    return (
      value.kind === "constant" ||
      value.kind === "frame length" ||
      value.kind === "record word" ||
      (value.kind === "bytes" && !value.index)
    );
  }

  /** Scratch words that computing a value takes (Sethi and Ullman's numbers): the needier operand goes first. */
  private need(value: Value): number {
    const known = this.needs.get(value);
    if (known !== undefined) return known;
    let need = 0;
    if (value.kind === "bytes" && value.index) need = this.need(value.index);
    if (value.kind === "negate") need = this.need(value.operand);
    if (value.kind === "arithmetic") {
      const [left, right] = [this.need(value.left), this.need(value.right)];
      need = left === right ? left + 1 : Math.max(left, right);
    }
    this.needs.set(value, need);
    return need;
  }

  private emit(code: number, k = 0): void {
    this.code.push({ code, jt: 0, jf: 0, k });
    // The old contents are gone; callers note the new ones.
    const isX = (code & 0x07) === 0x01 || code === op.copyAToX;
    if (isX) this.state.x = undefined;
    else if ((code & 0x07) !== op.store) this.state.a = undefined;
  }
}
