// The crash tests' door to native/test/crash_run.h: scenarios on simulated memory, and what their images came to. The model itself
// (what must, may and must not come back) is native/test/crash_model.h.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAddon } from "../../native/load.js";

/** Parts of a store that a fault can be aimed at; the numbers are those of `Part` in native/test/sim_memory.h. */
export const parts = { superblock: 0, live: 1, word: 2, held: 3, entry: 4, seal: 5, block: 6 } as const;
export const maskOf = (...names: (keyof typeof parts)[]): number =>
  names.reduce((mask, name) => mask | (1 << parts[name]), 0);

export const policies = { overwrite: 0, stop: 1, block: 2 } as const;

export interface CrashOptions {
  seed: number;
  lanes?: number;
  /** Blocks of the store, 64 KiB each. */
  blocks?: number;
  full?: number;
  disk?: number;
  placed?: number;
  index?: number;
  steps?: number;
  imagesMax?: number;
  lookEvery?: number;
  dropFlushes?: number;
  dropFences?: number;
  staleSeeds?: number;
  stopAtFirst?: number;
}

export interface CrashResult {
  images: number;
  recoveryImages: number;
  fences: number;
  records: number;
  acknowledged: number;
  lives: number;
  retired: number;
  /** Of the index: found in images, and asked for records that they must find. */
  runs: number;
  wrong: string[];
}

const addon = () =>
  loadAddon("paste_switch_test") as unknown as { runCrash(path: string, options: CrashOptions): CrashResult };

/** Runs one seeded scenario; the store that it starts from is made in a folder of its own and gone afterwards. */
export function runCrash(options: CrashOptions): CrashResult {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-crash-"));
  try {
    return addon().runCrash(join(folder, "fresh.store"), options);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
