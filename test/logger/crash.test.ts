// Crash images of the real store: lane, keeper, directory, superblock and recovery on simulated memory that keeps what was fenced,
// loses or tears what was not, and may write anything back early. native/test/crash_run.h says what is done with each image,
// native/test/crash_model.h what must come back. PASTE_CRASH_SEED=N runs every scenario with that one seed.
import { randomInt } from "node:crypto";
import test from "ava";
import { type CrashOptions, policies, runCrash } from "../support/crash-model.js";

const only = process.env.PASTE_CRASH_SEED;
const fresh = randomInt(1_000_000);
const seedsOf = (fixed: number[]) => (only ? [Number(only)] : [...fixed, fresh]);

type Scenario = [title: string, options: Omit<CrashOptions, "seed">];

// A crash at every fence and after every step, from the first on.
const everyFence: Scenario[] = [
  ["one lane, packed, overwriting", { lanes: 1, placed: 0 }],
  ["two lanes, packed and marked in place, overwriting", { lanes: 2 }],
  ["two lanes, stopping when full", { lanes: 2, full: policies.stop, blocks: 12 }],
  ["three lanes, blocking when full", { lanes: 3, full: policies.block, blocks: 16 }],
  ["a disk, two lanes, overwriting", { lanes: 2, disk: 1 }],
  ["a disk, one lane, stopping when full", { lanes: 1, disk: 1, full: policies.stop }],
];

// Longer, cut at one fence or step in eight: stores that are full and go round.
const longRuns: Scenario[] = [
  ["one lane, packed, going round", { lanes: 1, placed: 0, blocks: 10 }],
  ["two lanes, marked in place, going round", { lanes: 2, blocks: 16 }],
  ["two lanes, full and trimmed", { lanes: 2, full: policies.stop, blocks: 12 }],
  ["a disk, two lanes, going round", { lanes: 2, disk: 1, blocks: 12 }],
];

function scenario(
  [title, options]: Scenario,
  extra: Omit<CrashOptions, "seed">,
  seeds: number[],
  least: number,
  runsLeast = 0,
): void {
  test(`what was acknowledged comes back: ${title}`, (t) => {
    let images = 0;
    let records = 0;
    let runs = 0;
    for (const seed of seedsOf(seeds)) {
      const result = runCrash({ ...options, ...extra, seed });
      t.deepEqual(result.wrong, [], `PASTE_CRASH_SEED=${seed} runs this again`);
      images += result.images + result.recoveryImages;
      records += result.records;
      runs += result.runs;
    }
    t.log(`${images} crash images, ${records} records read, ${runs} runs asked, seeds ${seedsOf(seeds).join(", ")}`);
    t.true(only !== undefined || images >= least, `${images} images are too few to mean anything`);
    t.true(records > images, "the images hold records");
    t.true(only !== undefined || runs >= runsLeast, `${runs} runs of an index are too few to mean anything`);
  });
}

// With an index: runs that are in an image are whole and find every record of the blocks they cover, whatever was cut.
const withIndex: Scenario[] = [
  ["two lanes, indexed", { lanes: 2, index: 1, blocks: 64 }],
  ["one lane, indexed, going round", { lanes: 1, index: 1, blocks: 24 }],
  ["a disk, two lanes, indexed", { lanes: 2, index: 1, disk: 1, blocks: 64 }],
];

for (const one of everyFence) scenario(one, { steps: 100, imagesMax: 100 }, [1, 2], 450);
for (const one of longRuns) scenario(one, { steps: 600, lookEvery: 8, imagesMax: 80 }, [3], 200);
for (const one of withIndex) scenario(one, { steps: 400, lookEvery: 5, imagesMax: 60 }, [4], 100, 50);
