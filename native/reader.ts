// A store open for reading, as the addon gives it (native/addon/reader_binding.cc). logger/reader.ts is the face for programs.
import { loadAddon } from "./load.js";

export interface NativeBatch {
  count: number;
  /** Three numbers a record: offset of the header, offset of the payload, bytes of the payload; all in `bytes`. */
  index: Uint32Array;
  bytes: ArrayBuffer;
  /** False: nothing more now. An empty batch with true: a piece of the store was searched and nothing matched. */
  more: boolean;
  namesVersion: number;
}

export interface NativeReadOptions {
  fromSequence?: bigint;
  toSequence?: bigint;
  framesOnly?: boolean;
  verifyPayload?: boolean;
  follow?: boolean;
  /** Newest first; not with `follow`. */
  reverse?: boolean;
  snaplen?: number;
  /** struct bpf_insn, little-endian, 8 bytes each. */
  program?: Uint8Array;
  /** What the program's record words stand for, behind the fixed ones. */
  names?: readonly { of: "in-port" | "out-port" | "rule"; pattern: string }[];
  /** And those behind them: tests of whole frames (logger/filter/frame-test.ts). */
  tests?: readonly object[];
  /** A promise that the program takes only frames from `fromNs` up to, but not including, `toNs`. */
  fromNs?: bigint;
  toNs?: bigint;
  /** What the index is asked (native/core/index/expression.h), 40 bytes a node. A promise: the program rejects what it excludes. */
  plan?: Uint8Array;
}

/** What a reading has met so far; exact numbers. */
export interface ReadCounters {
  records: number;
  frames: number;
  matched: number;
  /** Blocks reused before they were read to the end; all that came and went between two looks of a follower count as one. */
  overtaken: number;
  /** Records whose checksum is wrong where all must be right. */
  corrupt: number;
  bytesScanned: number;
  /** Blocks that were not read, because by the directory nothing in them can be wanted. */
  blocksSkipped: number;
  /** Blocks read from their start. */
  blocksScanned: number;
  /** Blocks of which an index run said where the wanted records are, or that there are none. */
  blocksIndexed: number;
  /** Records read because a run named them. */
  recordsJumped: number;
  /** Index runs that were asked, and those whose checksum is wrong: their blocks are scanned. */
  runsRead: number;
  runsDamaged: number;
  /** Bytes read of index blocks. */
  indexBytes: number;
}

export interface PortDescription {
  id: number;
  epoch: number;
  /** layout::PortKind. */
  kind: number;
  name: string;
}

export interface RuleDescription {
  id: number;
  ruleSet: number;
  name: string;
  filter: string;
}

export interface StoreInfo {
  version: number;
  uuid: string;
  sizeBytes: number;
  blockBytes: number;
  blockCount: number;
  laneCount: number;
  epoch: number;
  createdNs: bigint;
  /** Closed by its writer; false while it is written and after its writer died. */
  clean: boolean;
  writerAlive: boolean;
  /** What it stands on, and a sentence about what that survives. */
  medium: string;
  survives: string;
  fileSystem: string;
  /** 0n when the store holds no record. */
  firstSequence: bigint;
  durableSequence: bigint;
  nextSequence: bigint;
  trimmedBefore: bigint;
  oldestTimeNs: bigint;
  newestTimeNs: bigint;
  records: number;
  frames: number;
  frameBytes: number;
  blocksFree: number;
  blocksLog: number;
  blocksBuffers: number;
  blocksIndex: number;
  blocksUnsealed: number;
}

export interface StoreProblem {
  block: number;
  /** Bytes from the block's start. */
  offset: number;
  what: string;
}

/** One call at a time: the next one after the promise of the one before is settled. Failures carry "CODE: message". */
export interface NativeStoreReader {
  start(options: NativeReadOptions): void;
  /** Copies and checks off the main thread. */
  next(maxRecords: number, maxBytes: number): Promise<NativeBatch>;
  /** The same at once; null when there is nothing. */
  poll(maxRecords: number, maxBytes: number): NativeBatch | null;
  /** Takes a batch's memory back for the next ones: its buffers are detached. */
  recycle(batch: NativeBatch): void;
  counters(): ReadCounters;
  names(): { ports: PortDescription[]; rules: RuleDescription[] };
  info(): Promise<StoreInfo>;
  verify(limit: number): Promise<{ problems: StoreProblem[]; counters: ReadCounters }>;
  close(): void;
}

interface ReaderAddon {
  StoreReader: new (path: string) => NativeStoreReader;
}

/** Opens a store for reading. Throws an Error "STORE: ..." where it is none; `native()` makes a PasteError of it. */
export function openNativeReader(path: string): NativeStoreReader {
  const { StoreReader } = loadAddon("paste_switch") as unknown as ReaderAddon;
  return new StoreReader(path);
}
