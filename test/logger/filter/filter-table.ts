// The table that says what tcpdump selects: for each filter and each set of frames how many, and a hash of which.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../native/load.js";
import { type TestFrame, testFrames } from "./frames.js";

export const tablePath = join(packageRoot(), "test", "logger", "filter", "filter-table.json");
/** Seeds of the frame sets. */
export const frameSeeds = [1, 2, 3] as const;
export const framesPerSet = 1200;

export interface FilterTable {
  /** Says which tcpdump made it. */
  madeBy: string;
  /** Hash of each frame set, so that changed frames are found out before they are blamed on a filter. */
  frames: Record<string, string>;
  /** By filter: `count:hash` for each frame set, separated by blanks. */
  selected: Record<string, string>;
}

export function readTable(): FilterTable {
  return JSON.parse(readFileSync(tablePath, "utf8")) as FilterTable;
}

export function frameSet(seed: number): TestFrame[] {
  return testFrames(seed, framesPerSet);
}

export function hashFrames(frames: readonly TestFrame[]): string {
  const hash = createHash("sha256");
  for (const { data, wireLength } of frames) hash.update(`${data.length} ${wireLength} `).update(data);
  return hash.digest("hex").slice(0, 16);
}

/** `count:hash` of a set of frame numbers. */
export function hashSelection(numbers: readonly number[]): string {
  return `${numbers.length}:${createHash("sha256").update(numbers.join(" ")).digest("hex").slice(0, 16)}`;
}
