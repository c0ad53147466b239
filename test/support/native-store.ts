// The test addon's door to a store's writing side (native/test/store_binding.cc), and places to put stores.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { loadAddon } from "../../native/load.js";
import type { StoreCounters } from "../../native/store.js";

export interface DriverOptions {
  lanes?: number;
  /** 0 overwrite, 1 stop, 2 block. */
  full?: 0 | 1 | 2;
  blockTimeoutMs?: number;
  keeperGraceMs?: number;
  spareBlocks?: number;
  startKeeper?: 0 | 1;
  bootRecord?: 0 | 1;
  /** Times are kept as they are, also when they run backwards, as imports do. */
  exactTimes?: 0 | 1;
  /** 1, as elsewhere: what is sealed is indexed, here by indexRound() and close(). */
  index?: 0 | 1;
}

export interface TestFrame {
  bytes: Uint8Array;
  timeNs: bigint;
  wireLength?: number;
  ingress?: number;
  egress?: number;
  rule?: number;
  flags?: number;
  outcome?: number;
  flowHash?: number;
  vlanTci?: number;
  copiesReserved?: number;
  copiesRefused?: number;
  /** 1: with room for the header in front, so that both go out as one run. */
  framed?: 0 | 1;
  /** Marked in place at this offset of the store. */
  storeOffset?: number;
}

export interface Written {
  plans: string[];
  sequences: bigint[];
  ticket?: bigint;
}

export type DriverCounters = Omit<
  StoreCounters,
  "commits" | "durableSequence" | "oldestTimeNs" | "indexLagNs" | "syncFailed"
>;

export interface StoreDriver {
  epoch: number;
  wasClean: boolean;
  blocksScanned: number;
  framesKept: number;
  write(lane: number, frames: TestFrame[], commit: boolean): Written;
  commit(lane: number): bigint;
  durable(lane: number): bigint;
  event(lane: number, type: number, timeNs: bigint, payload: Uint8Array): boolean;
  planInVain(lane: number, frame: TestFrame): boolean;
  describePort(lane: number, id: number, name: string): void;
  describeRule(lane: number, id: number, ruleSet: number, name: string, filter: string): void;
  hasBuffers(): boolean;
  takeBuffers(): { index: number; storeOffset: number; sizeBytes: number } | null;
  fillBuffer(storeOffset: number, bytes: Uint8Array): void;
  dropUses(index: number, count: number): void;
  round(): void;
  /** Indexes what is sealed; `all`: also writes the run under way. */
  indexRound(all: boolean): void;
  trim(sequence: bigint): number;
  takeId(): number;
  counters(): DriverCounters;
  close(): void;
  /** As if the process had died, but for the memory: nothing is sealed, no clean mark. */
  abandon(): void;
}

export interface ScannedRecord {
  offset: number;
  type: number;
  flags: number;
  sequence: bigint;
  timeNs: bigint;
  ingress: number;
  egress: number;
  rule: number;
  wireLength: number;
  payloadLength: number;
  flowHash: number;
  vlanTci: number;
  copiesReserved: number;
  copiesRefused: number;
  outcome: number;
  part: number;
  parts: number;
  bytes: Buffer;
}

export interface ScannedBlock {
  index: number;
  kind: number;
  serial: bigint;
  lane: number;
  epoch: number;
  sealed: boolean;
  sealFlags: number;
  firstSequence: bigint;
  lastSequence: bigint;
  timeMinNs: bigint;
  timeMaxNs: bigint;
  frameBytes: number;
  endBytes: number;
  recordCount: number;
  frameCount: number;
  heldUntil: bigint;
  headerValid?: boolean;
  scannedBytes?: number;
  records: ScannedRecord[];
}

export interface ScannedStore {
  clean: boolean;
  epoch: number;
  blockCount: number;
  blockBytes: number;
  blocksOffset: number;
  nextSequence: bigint;
  trimmedBefore: bigint;
  blocks: ScannedBlock[];
}

export interface IndexBlock {
  block: number;
  serial: bigint;
  sealed: boolean;
  heldUntil: bigint;
  /** Every byte of its runs is as it was written. */
  whole: boolean;
  end: number;
  runs: number;
  covers: { index: number; serial: bigint; records: number; live: boolean }[];
}

interface StoreTestAddon {
  indexOf(path: string): IndexBlock[];
  openDriver(path: string, options: DriverOptions): StoreDriver;
  scanStore(path: string): ScannedStore;
}

const addon = loadAddon("paste_switch_test") as unknown as StoreTestAddon;

/** Deterministic unless told otherwise: no keeper thread, no boot record. Failures are Errors, "CODE: message". */
export const openDriver = (path: string, options: DriverOptions = {}): StoreDriver => addon.openDriver(path, options);
/** The index blocks of a store as they lie there, read-only. */
export const indexOf = (path: string): IndexBlock[] => addon.indexOf(path);
export const scanStore = (path: string): ScannedStore => addon.scanStore(path);

/** A folder of its own, removed after the test: on tmpfs (immediate medium) or where temporary files go (a disk, usually). */
export function storeFolder(t: ExecutionContext, medium: "memory" | "disk" = "memory"): string {
  const folder = mkdtempSync(join(medium === "memory" ? "/dev/shm" : tmpdir(), "paste-store-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The first record of each frame. */
export const frameRecords = ({ blocks }: ScannedStore): ScannedRecord[] =>
  blocks.flatMap(({ records }) => records.filter(({ type }) => type === 1));

/** Whole frames in sequence order: parts joined, incomplete ones left out. */
export function framesOf(
  store: ScannedStore,
): { sequence: bigint; timeNs: bigint; bytes: Buffer; record: ScannedRecord }[] {
  const logs = store.blocks.filter((block) => block.kind === 1).sort((a, b) => Number(a.serial - b.serial));
  const frames: { sequence: bigint; timeNs: bigint; bytes: Buffer; record: ScannedRecord; left: number }[] = [];
  const open = new Map<number, (typeof frames)[number]>();
  for (const block of logs)
    for (const record of block.records) {
      if (record.type === 1) {
        const frame = { ...record, record, left: record.parts - 1 };
        frames.push(frame);
        open.set(block.lane, frame);
      } else if (record.type === 2) {
        const frame = open.get(block.lane);
        if (!frame || frame.sequence !== record.sequence) continue;
        frame.bytes = Buffer.concat([frame.bytes, record.bytes]);
        frame.left -= 1;
      }
    }
  return frames.filter((frame) => frame.left === 0).sort((a, b) => Number(a.sequence - b.sequence));
}
