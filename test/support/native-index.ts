// The test addon's doors to the frame parser and to index runs (native/test/index_binding.cc).
import { loadAddon } from "../../native/load.js";

export interface DissectedLayer {
  /** 4, 6, or 1 for ARP and RARP. */
  version: number;
  offset: number;
  headerBytes: number;
  source: Buffer;
  destination: Buffer;
  protocols: number[];
  fragment: "" | "first" | "later";
  fragmentId: number;
  transport: number;
  payload: number;
  tcpFlags: number;
  portSource?: number;
  portDestination?: number;
  icmpType?: number;
  icmpCode?: number;
}

export interface Dissected {
  odd: boolean;
  cut: boolean;
  links: number[];
  types: number[];
  tags: number[];
  layers: DissectedLayer[];
}

export interface IndexedRecord {
  /** Of its header in the block, in bytes. */
  offset: number;
  type: number;
  repeated: boolean;
  placed: boolean;
  timeNs: number;
  ingress: number;
  egress: number;
  rule: number;
  outcome: number;
  parts: number;
  bytes: Buffer;
  /** First 8 bytes of the digest. */
  community?: Buffer;
}

export interface IndexedStore {
  runs: Buffer[];
  blocks: { index: number; run: number; lane: number; records: IndexedRecord[] }[];
}

export interface RunAnswer {
  blocks: { index: number; records: number; all: boolean; offsets: number[] }[];
  /** Empty, or what a damaged run said; then every block is all. */
  failure: string;
  reads: number;
  bytesRead: number;
  omitted: number[];
  names: { of: "port" | "rule"; id: number; name: string }[];
}

export const { dissect, indexStore, askRun, sha1Blocks, sha1Short } = loadAddon("paste_switch_test") as unknown as {
  dissect(frame: Uint8Array, tunnels: boolean): Dissected;
  /** Runs over the sealed blocks of a closed store. `damage`: that block is given with a wrong byte in a header. */
  indexStore(
    path: string,
    options: { tunnels?: boolean; bytesMax?: number; blocksPerRun?: number; damage?: number },
  ): IndexedStore;
  /** Of 64 bytes, from SHA-1's initial state, by each variant that runs here; five words. */
  sha1Blocks(block: Uint8Array): { name: string; digest: number[] }[];
  /** Of up to 55 bytes. */
  sha1Short(message: Uint8Array): number[];
  /** Name tests: field 12 ingress, 13 egress, 14 rule. Throws when the run cannot be opened. */
  askRun(run: Uint8Array, plan: Uint8Array, nameTests: { field: number; pattern: string }[]): RunAnswer;
};
