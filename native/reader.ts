// A store open for reading, as the addon gives it (native/addon/reader_binding.cc). logger/reader.ts is the face for programs.
import { loadAddon } from "./load.js";

/** Where a field of a record header lies, in bytes from its start; native/core/store/layout.h is the specification. */
export const recordFields = {
  lines: 0,
  type: 2,
  flags: 3,
  sequence: 8,
  time_ns: 16,
  ingress: 28,
  egress: 32,
  rule: 36,
  wire_length: 40,
  payload_length: 44,
  flow_hash: 48,
  vlan_tci: 52,
  copies_reserved: 54,
  copies_refused: 56,
  outcome: 58,
  size: 64,
} as const;

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
  snaplen?: number;
  /** struct bpf_insn, little-endian, 8 bytes each. */
  program?: Uint8Array;
}

/** What a reading has met so far; exact numbers. */
export interface ReadCounters {
  records: number;
  frames: number;
  matched: number;
  /** Blocks that were reused before they were read to the end: their records are gone. */
  overtaken: number;
  /** Records whose checksum is wrong where all must be right. */
  corrupt: number;
  bytesScanned: number;
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
  counters(): ReadCounters;
  names(): { ports: PortDescription[]; rules: RuleDescription[] };
  info(): Promise<StoreInfo>;
  verify(limit: number): Promise<{ problems: StoreProblem[]; counters: ReadCounters }>;
  close(): void;
}

interface ReaderAddon {
  StoreReader: new (path: string) => NativeStoreReader;
  recordLayout(): Record<string, number> & { drops: string[] };
}

let checked: { addon: ReaderAddon; drops: readonly string[] } | undefined;

function reading() {
  if (checked) return checked;
  const addon = loadAddon("paste_switch") as unknown as ReaderAddon;
  const { drops, ...fields } = addon.recordLayout();
  for (const [name, offset] of Object.entries(recordFields))
    if (fields[name] !== offset)
      throw new Error(`the addon and dist/ are of different versions (record field ${name}): run \`npm run build\``);
  checked = { addon, drops };
  return checked;
}

/** Opens a store for reading. Throws an Error "STORE: ..." where it is none; `native()` makes a PasteError of it. */
export function openNativeReader(path: string): NativeStoreReader {
  return new (reading().addon.StoreReader)(path);
}

/** Names of the reasons for a drop, in the order of a record's `outcome` (which is one more). */
export function dropNames(): readonly string[] {
  return reading().drops;
}
