// BPF programs as the C++ side takes them: verified there, and run there over batches of frames.
import { loadAddon } from "../../native/load.js";

/** Frames that lie in one buffer: frame i is `capturedLengths[i]` bytes at `offsets[i]`, of `wireLengths[i]` on the wire. */
export interface FrameBatch {
  data: Uint8Array;
  offsets: Uint32Array;
  capturedLengths: Uint32Array;
  wireLengths: Uint32Array;
}

interface BpfAddon {
  bpfVerify(bytes: Uint8Array): string | null;
  bpfRunBatch(
    bytes: Uint8Array,
    data: Uint8Array,
    offsets: Uint32Array,
    capturedLengths: Uint32Array,
    wireLengths: Uint32Array,
  ): Uint8Array;
}

let loaded: BpfAddon | undefined;

function addon(): BpfAddon {
  loaded ??= loadAddon("paste_switch") as unknown as BpfAddon;
  return loaded;
}

/** What is wrong with a program (`struct bpf_insn`s, 8 bytes each), in one line; undefined if it may be run. */
export function verifyProgram(bytes: Uint8Array): string | undefined {
  return addon().bpfVerify(bytes) ?? undefined;
}

/**
 * Runs a program over a batch: one byte a frame, 1 if it is selected. A load past the captured bytes rejects a frame.
 * Throws a TypeError for a program that does not verify and for frames that lie outside their data.
 */
export function selectFrames(bytes: Uint8Array, batch: FrameBatch): Uint8Array {
  return addon().bpfRunBatch(bytes, batch.data, batch.offsets, batch.capturedLengths, batch.wireLengths);
}
