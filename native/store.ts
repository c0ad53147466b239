// Stores as TypeScript sees them (native/core/store). Failures throw PasteError with code STORE, RESOURCE, PRIVILEGE or USAGE.
import type { NativeLayout } from "../logger/layout.js";
import { loadAddon } from "./load.js";

/** What opening or recovering a store found. Sequences are bigint, counts are exact numbers. */
export interface RecoveryReport {
  wasClean: boolean;
  epoch: number;
  firstSequence: bigint;
  lastSequence: bigint;
  blocksScanned: number;
  blocksSealed: number;
  blocksFreed: number;
  /** Log blocks whose directory entries were damaged and are restored from the blocks' own headers; `reasons` names them. */
  blocksRestored: number;
  bufferBlocksFreed: number;
  /** Blocks of the index; of them, freed because they serve nothing any more or are damaged (looked for by `recoverStore` only). */
  indexBlocks: number;
  indexBlocksFreed: number;
  indexBlocksDamaged: number;
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
  blocksIndex: number;
  retiredBlocks: number;
  retiredFrames: number;
  commits: number;
  firstSequence: bigint;
  durableSequence: bigint;
  nextSequence: bigint;
  oldestTimeNs: bigint;
  /** Of this opening: runs written, or found and checked, and their bytes. */
  indexRuns: number;
  indexBytes: number;
  indexedBlocks: number;
  indexedFrames: number;
  /** Log blocks that were overwritten or trimmed without having been indexed: no time, or no room for the run. */
  indexSkippedBlocks: number;
  /** Index blocks found damaged: given up, what they covered is indexed anew. */
  indexDamaged: number;
  /** Sealed blocks that no run covers at present, and how long the oldest one sealed lately has been waiting. */
  indexLagBlocks: number;
  indexLagNs: number;
  /** Blocks that the file system had no space for when they were last tried: a sparse store is that much smaller. */
  blocksHollow: number;
  syncFailed: boolean;
  /** Then: what failed, and what to do. */
  failure: string;
}

export interface CreateStoreOptions {
  sizeBytes: number;
  /** A power of two from 64 KiB to 4 MiB; absent = chosen from the size. */
  blockBytes?: number;
  /** Blocks in a segment, the unit the index is built for; absent = about 32 MiB, an eighth of the blocks at most. */
  segmentBlocks?: number;
  /** Do not reserve the space: on a full file system the store is then smaller (`blocksHollow`). */
  sparse?: boolean;
  /** Permissions of the file, 0o600 when absent. */
  mode?: number;
}

export interface AppendCounters {
  frames: number;
  bytes: number;
  /** Not taken, for want of room; the log says so too. */
  refused: number;
  /** Longer than a store keeps (256 KiB): that much of each was kept. */
  shortened: number;
  store: StoreCounters;
}

export interface NativeStoreAppender {
  open(path: string, full: string, writer: string, index: boolean): Promise<RecoveryReport>;
  addInterface(name: string): number;
  append(
    data: Uint8Array,
    count: number,
    offsets: Uint32Array,
    capturedLengths: Uint32Array,
    wireLengths: Uint32Array,
    timesNs: BigInt64Array,
    interfaces: Uint16Array,
  ): Promise<void>;
  flush(): Promise<void>;
  counters(): AppendCounters;
  close(): Promise<AppendCounters>;
}

/** What the addon exports for stores. */
export interface StoreAddon {
  createStore(path: string, options: CreateStoreOptions): Promise<void>;
  recoverStore(path: string, dryRun: boolean): Promise<RecoveryReport>;
  trimStore(path: string, sequence: bigint): Promise<number>;
  storeLayout(): NativeLayout;
  StoreAppender: new () => NativeStoreAppender;
}

export function storeAddon(): StoreAddon {
  return loadAddon("paste_switch") as unknown as StoreAddon;
}
