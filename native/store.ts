// Stores as TypeScript sees them (native/core/store). Failures throw PasteError with code STORE, RESOURCE, PRIVILEGE or USAGE.

/** What opening or recovering a store found. Sequences are bigint, counts are exact numbers. */
export interface RecoveryReport {
  wasClean: boolean;
  epoch: number;
  firstSequence: bigint;
  lastSequence: bigint;
  blocksScanned: number;
  blocksSealed: number;
  blocksFreed: number;
  bufferBlocksFreed: number;
  recordsKept: number;
  framesKept: number;
  bytesDiscarded: number;
  recordsDiscarded: number;
  reasons: string[];
  gaps: { from: bigint; to: bigint }[];
}

export interface StoreCounters {
  mediumBytes: number;
  frameBytes: number;
  blocksFree: number;
  blocksLog: number;
  blocksBuffers: number;
  retiredBlocks: number;
  retiredFrames: number;
  commits: number;
  firstSequence: bigint;
  durableSequence: bigint;
  nextSequence: bigint;
  oldestTimeNs: bigint;
  syncFailed: boolean;
}
