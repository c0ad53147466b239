// What the addon computes for queries (native/addon/query_binding.cc).
import { loadAddon } from "./load.js";
import type { NativeStoreReader } from "./reader.js";

export interface TallySum {
  packets: number;
  /** On the wire. */
  bytes: number;
}

/** What is counted of one conversation. */
export interface FlowTotals {
  communityId: string;
  firstNs: bigint;
  lastNs: bigint;
  /** 0n in captures. */
  firstSequence: bigint;
  /** In the direction of its first frame, and back. */
  packets: number;
  packetsBack: number;
  bytes: number;
  bytesBack: number;
  /** All flags that its segments had, each way; 0 of other protocols. */
  tcpFlags: number;
  tcpFlagsBack: number;
}

export interface FlowRow extends FlowTotals {
  /** What its Community ID is made of (native/core/store/community_id.h, FlowTuple). */
  tuple: Uint8Array;
  /** Its first frame went from the tuple's second end to its first. */
  swapped: boolean;
}

export interface TopTotals extends TallySum {
  firstNs: bigint;
  lastNs: bigint;
}

export interface TopRow extends TopTotals {
  /** 16 bytes (native/core/query/tally.h, TopRow). */
  value: Uint8Array;
  kind: number;
}

export const rowOrders = ["first", "last", "packets", "bytes"] as const;
export type RowOrder = (typeof rowOrders)[number];

/** One call at a time. Frames go in, rows come out. */
export interface NativeTally {
  /** Adds about so many frames of a store's reading; whether there is more. */
  addStore(reader: NativeStoreReader, frames: number): Promise<boolean>;
  /** Adds a capture's frames; `numbers` gives each of its interfaces an id above 0. */
  addCapture(batch: object, selected: Uint8Array | null, numbers: Uint32Array): void;
  sums(): { all: TallySum; without: TallySum; leftOut: TallySum; rows: number };
  /** A number in `rowOrders`. */
  sort(order: number): void;
  rows(from: number, count: number): (FlowRow | TopRow)[];
}

interface QueryAddon {
  communityId(frame: Uint8Array): string | undefined;
  mergeTimes(columns: readonly BigUint64Array[], newestFirst: boolean): Uint32Array;
  QueryTally: new (what: string, rowsMax: number) => NativeTally;
}

const addon = () => loadAddon("paste_switch") as unknown as QueryAddon;

/** "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", version 1 with seed 0; undefined where a frame has none (native/core/store/community_id.h). */
export function communityId(frame: Uint8Array): string | undefined {
  return addon().communityId(frame);
}

/**
 * Merges by time, as an export does: the columns hold the times of what comes next of each source. Pairs of source and count, until
 * one column is used up.
 */
export function mergeTimes(columns: readonly BigUint64Array[], newestFirst: boolean): Uint32Array {
  return addon().mergeTimes(columns, newestFirst);
}

/** `what`: "count", "flows", or a field of `topFields`. Frames of more than `rowsMax` rows are counted as left out. */
export function createTally(what: string, rowsMax: number): NativeTally {
  return new (addon().QueryTally)(what, rowsMax);
}
