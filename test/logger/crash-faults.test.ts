// The crash tests can fail: with a flush, a fence or a check of generations left out, the model says that something is wrong.
import test from "ava";
import { type CrashOptions, maskOf, runCrash } from "../support/crash-model.js";

// What is broken, and one of the sentences that must be said.
const faults: [title: string, options: Omit<CrashOptions, "seed">, expected: RegExp][] = [
  ["records are not written back", { dropFlushes: maskOf("block") }, /was acknowledged and is gone/],
  ["directory words are not flushed", { dropFlushes: maskOf("word") }, /was acknowledged and is gone/],
  ["the hold on a buffer block is not flushed", { dropFlushes: maskOf("held") }, /is gone|is not held|is free/],
  ["superblocks are not flushed", { dropFlushes: maskOf("superblock") }, /damaged|is gone|came back|never appended/],
  ["the fence behind records is missing", { dropFences: maskOf("block") }, /was acknowledged and is gone/],
  ["the fence behind directory words is missing", { dropFences: maskOf("word") }, /was acknowledged and is gone/],
  ["records are not written to the disk", { disk: 1, dropFlushes: maskOf("block") }, /was acknowledged and is gone/],
  ["the disk is not synced behind records", { disk: 1, dropFences: maskOf("block") }, /was acknowledged and is gone/],
  [
    "a block's former life passes for its present one",
    { staleSeeds: 1 },
    /came back|was given up|follows|never appended|was acknowledged and is gone/,
  ],
];

for (const [title, options, expected] of faults)
  test(`a fault is caught: ${title}`, (t) => {
    for (let seed = 1; seed <= 12; ++seed) {
      const { wrong } = runCrash({ steps: 500, lookEvery: 6, blocks: 12, imagesMax: 250, ...options, seed });
      if (wrong.length === 0) continue;
      t.log(wrong[0]);
      t.regex(wrong.join("\n"), expected);
      return;
    }
    t.fail("the model found nothing wrong in twelve seeds");
  });
