// BPF programs as the C++ side takes them: verified there, and run there over batches of frames.
import { loadAddon } from "../../native/load.js";
import type { FrameTest } from "./frame-test.js";

/** Frames that lie in one buffer: frame i is `capturedLengths[i]` bytes at `offsets[i]`, of `wireLengths[i]` on the wire. */
export interface FrameBatch {
  data: Uint8Array;
  offsets: Uint32Array;
  capturedLengths: Uint32Array;
  wireLengths: Uint32Array;
  /** Nanoseconds since 1970, for programs that ask for them. */
  timesNs?: BigInt64Array;
}

type Columns = [
  data: Uint8Array,
  offsets: Uint32Array,
  capturedLengths: Uint32Array,
  wireLengths: Uint32Array,
  timesNs: BigInt64Array | undefined,
];

interface BpfAddon {
  bpfVerify(bytes: Uint8Array, recordWords: number): string | null;
  bpfRunBatch(bytes: Uint8Array, ...columns: Columns): Uint8Array;
  FrameFilter: new (bytes: Uint8Array, tests: readonly FrameTest[]) => NativeFrameFilter;
}

interface NativeFrameFilter {
  select(...columns: Columns): Uint8Array;
}

const addon = () => loadAddon("paste_switch") as unknown as BpfAddon;

/**
 * What is wrong with a program (`struct bpf_insn`s, 8 bytes each), in one line; undefined if it may be run where there are so many
 * record words.
 */
export function verifyProgram(bytes: Uint8Array, recordWords = 0): string | undefined {
  return addon().bpfVerify(bytes, recordWords) ?? undefined;
}

/**
 * Runs a program over a batch: one byte a frame, 1 if it is selected. A load past the captured bytes rejects a frame.
 * Throws a TypeError for a program that does not verify and for frames that lie outside their data.
 */
export function selectFrames(bytes: Uint8Array, batch: FrameBatch): Uint8Array {
  const { data, offsets, capturedLengths, wireLengths, timesNs } = batch;
  return addon().bpfRunBatch(bytes, data, offsets, capturedLengths, wireLengths, timesNs);
}

/** A filter over the frames of one capture, batch by batch in their order: later fragments are known by their first ones. */
export class FrameSelector {
  readonly #native: NativeFrameFilter;

  /** As compiled with `record: "time"`. Throws a TypeError for a program that does not verify. */
  constructor({ bytes, tests }: { readonly bytes: Uint8Array; readonly tests: readonly FrameTest[] }) {
    const { FrameFilter } = addon();
    this.#native = new FrameFilter(bytes, tests);
  }

  /** One byte a frame, 1 if it is selected. */
  select({ data, offsets, capturedLengths, wireLengths, timesNs }: FrameBatch): Uint8Array {
    return this.#native.select(data, offsets, capturedLengths, wireLengths, timesNs);
  }
}
