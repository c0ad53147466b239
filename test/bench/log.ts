import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { createStore } from "../../logger/store.js";
import { benchForward, type ForwardSide } from "../../native/index.js";
import type { Bench, Effort } from "./bench.js";
import { whole } from "./forward.js";
import type { Row } from "./report.js";

const mebibyte = 1024 * 1024;
/** Bytes that one round logs, about; a store of this many rounds is written for the first time only. */
const roundBytes = 48 * mebibyte;
const steadyStoreBytes = 64 * mebibyte;

interface Side {
  what: string;
  log: "none" | "pack" | "mark";
  strict: boolean;
  storeBytes: number;
  /** With the indexer at work. */
  index?: true;
}

function sides(rounds: number): Side[] {
  return [
    { what: "none", log: "none", strict: true, storeBytes: 0 },
    { what: "pack strict", log: "pack", strict: true, storeBytes: steadyStoreBytes },
    { what: "pack strict, indexed", log: "pack", strict: true, storeBytes: steadyStoreBytes, index: true },
    { what: "pack relaxed", log: "pack", strict: false, storeBytes: steadyStoreBytes },
    { what: "mark strict", log: "mark", strict: true, storeBytes: steadyStoreBytes },
    { what: "pack strict, first pass", log: "pack", strict: true, storeBytes: (rounds + 2) * 2 * roundBytes },
  ];
}

/** Frames of this size that fill a round; records take a line in front and whole lines. */
const framesOf = (frameBytes: number, bytes: number) => Math.floor(bytes / (64 + Math.ceil(frameBytes / 64) * 64));

async function ofSize(frameBytes: number, effort: Effort): Promise<Row[]> {
  const chosen = sides(effort.rounds);
  const framesPerRound = framesOf(frameBytes, effort.quick ? 4 * mebibyte : roundBytes);
  const paths: string[] = [];
  const native: ForwardSide[] = [];
  for (const [index, { log, strict, storeBytes, index: indexed = false }] of chosen.entries()) {
    const side: ForwardSide = { frameBytes, framesPerRound, log, strict, index: indexed };
    if (log !== "none") {
      const storePath = join(effort.folder, `log-${frameBytes}-${index}.store`);
      await createStore(storePath, { sizeBytes: storeBytes });
      paths.push(storePath);
      side.storePath = storePath;
    }
    native.push(side);
  }
  try {
    const results = await benchForward(native, effort.rounds);
    return results.map((result, index) => ({
      bench: "log",
      what: chosen[index]!.what,
      sizeBytes: frameBytes,
      unit: "ns/frame",
      samples: result.nsPerFrame,
      ...(index === 0 ? {} : { pairedWith: chosen[index]!.index ? "pack strict" : "none" }),
      ...(result.notLogged > 0 ? { note: `NOT LOGGED ${result.notLogged}` } : whole(result)),
    }));
  } finally {
    for (const path of paths) unlinkSync(path);
  }
}

export const log: Bench = {
  summary:
    "the same with every frame logged: packed or marked in place, strict or relaxed, first pass and steady state",
  storeBytes: 3 * steadyStoreBytes + 9 * 2 * roundBytes,
  async run(effort) {
    const rows: Row[] = [];
    for (const frameBytes of effort.quick ? [64, 1514] : [64, 256, 768, 1280, 1514])
      rows.push(...(await ofSize(frameBytes, effort)));
    return rows;
  },
};
