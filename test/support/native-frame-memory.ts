// The test addon's doors to frame memory and offloads (native/test/frame_memory_binding.cc, offload_binding.cc).
import { loadAddon } from "../../native/load.js";

export interface ReadTally {
  read: number;
  placed: number;
  passes: number;
  wrong: number;
  disordered: number;
  overtaken: number;
  corrupt: number;
  /** Sequence of the last record. */
  last: number;
  failure: string;
}

export interface MemoryFacts {
  marked: number;
  packed: number;
  ticket: number;
  chunks: number;
  free: number;
  logged: number;
}

export interface TestFrameMemory {
  inStore: boolean;
  whyNotStore: string;
  pin(): void;
  facts(): MemoryFacts;
  /** Batches of 32 frames: filled, marked where they may be, else packed, committed, given back. */
  run(batches: number): MemoryFacts;
  /** Until that many frames are logged, beside a follower and a scanner. */
  runBeside(frames: number): MemoryFacts & { scanner: ReadTally; follower: ReadTally };
  close(): void;
}

export const { frameMemory, tellingFrames, finishChecksum, join, segments } = loadAddon(
  "paste_switch_test",
) as unknown as {
  /** `place`: 0 auto, 1 store, 2 DRAM. Without a path there is no store. */
  frameMemory(
    path: string | undefined,
    options: { chunks?: number; chunkBytes?: number; place?: 0 | 1 | 2 },
  ): TestFrameMemory;
  /** Reads such a store once. */
  tellingFrames(path: string): ReadTally;
  finishChecksum(header: Uint8Array, frame: Uint8Array): Buffer | null;
  /** How many of the frames, which follow each other, go together, and as what; null: not even the first. */
  join(frames: readonly Uint8Array[]): { count: number; header: Buffer; frame: Buffer } | null;
  segments(header: Uint8Array, frame: Uint8Array): Buffer[] | null;
};
