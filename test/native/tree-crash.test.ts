// Crash images of the tree on simulated memory (native/test/tree_crash.cc): every fence of every commit is cut, and each image must
// hold exactly the last committed state or the one being committed. PASTE_CRASH_SEED=N runs every scenario with that one seed.
import { randomInt } from "node:crypto";
import test from "ava";
import { loadAddon } from "../../native/load.js";

interface TreeCrashOptions {
  seed: number;
  pages?: number;
  steps?: number;
  lives?: number;
  keys?: number;
  disk?: number;
  fault?: number;
}

interface TreeCrashResult {
  images: number;
  commits: number;
  lives: number;
  /** Puts that were refused, for want of a free page. */
  full: number;
  entriesMax: number;
  wrong: string[];
}

const { runTreeCrash } = loadAddon("paste_switch_test") as unknown as {
  runTreeCrash(options: TreeCrashOptions): TreeCrashResult;
};

const only = process.env.PASTE_CRASH_SEED;
const seeds = only ? [Number(only)] : [1, 2, randomInt(1_000_000)];

for (const [title, options] of [
  ["memory that is byte-addressable", {}],
  ["a disk", { disk: 1 }],
  ["a tree that is often full", { pages: 56 }],
  ["a disk, a tree that is often full", { pages: 56, disk: 1 }],
  ["few keys: many updates, empty trees, bulk loads", { keys: 40, pages: 80 }],
] as const)
  test(`a crash anywhere leaves exactly one committed state: ${title}`, (t) => {
    let full = 0;
    for (const seed of seeds) {
      const result = runTreeCrash({ seed, ...options });
      t.deepEqual(result.wrong, [], `PASTE_CRASH_SEED=${seed} runs this again`);
      t.true(result.images > 1000, `${result.images} images`);
      t.is(result.lives, 4);
      full += result.full;
    }
    if (title.includes("often full") && !only) t.true(full > 0, "the tree was full at times");
  });

const faults = ["pages not flushed", "no fence before the root", "the root not flushed", "no fence behind the root"];
for (const [i, title] of faults.entries())
  for (const disk of [0, 1])
    test(`the crash images tell: ${title}${disk ? ", on a disk" : ""}`, (t) => {
      t.true(runTreeCrash({ seed: 1, disk, fault: i + 1 }).wrong.length > 0);
    });
