// The learning table of the test addon (native/test/mac_table_binding.cc).
import { loadAddon } from "../../native/load.js";

export interface MacTableOptions {
  entries: number;
  entriesPerPort: number;
  ageMs: number;
  seed: number;
}

/** Addresses are numbers below 2^48, `tick` counts 100 ms. */
export interface NativeMacTable {
  learn(
    mac: number,
    fid: number,
    port: number,
    tick: number,
  ): "known" | "learned" | "moved" | "source" | "static" | "full" | "contended";
  /** -1 = unknown. */
  lookup(mac: number, fid: number, tick: number): number;
  add(mac: number, fid: number, port: number, tick: number): boolean;
  remove(mac: number, fid: number, tick: number): boolean;
  addPort(port: number, id: number): void;
  killPort(port: number): void;
  sweepPort(port: number): number;
  flush(port: number | null): number;
  age(tick: number, from: number, count: number): number;
  each(tick: number): { mac: number; fid: number; port: number; static: boolean; ageMs: number }[];
  /** "kind mac fid portId" each. */
  takeEvents(): { events: string[]; lost: number };
  counters(): {
    learned: number;
    moved: number;
    aged: number;
    refused: number;
    entries: number;
    statics: number;
    buckets: number;
  };
}

interface MacTableAddon {
  macTable(options: MacTableOptions): NativeMacTable;
  macTableRace(rounds: number): { wrong: number; found: number; left: number };
}

export const macTableAddon = (): MacTableAddon => loadAddon("paste_switch_test") as unknown as MacTableAddon;
