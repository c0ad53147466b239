// Filters select what tcpdump selects: from a committed table that needs no tcpdump, and live where it is installed.
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import test from "ava";
import { selectFrames, verifyProgram } from "../../../logger/filter/bpf-program.js";
import { compileFilter } from "../../../logger/filter/compile.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { packageRoot, skip } from "../../support/skip.js";
import { readAll } from "../capture/read-all.js";
import { frameSeeds, frameSet, hashFrames, hashSelection, readTable } from "./filter-table.js";
import { filters } from "./filters.js";
import { batchOf, type TestFrame } from "./frames.js";
import { noOracle, openOracle } from "./oracle.js";

const missing = noOracle();
const table = readTable();
const sets = frameSeeds.map((seed) => ({ seed, frames: frameSet(seed) }));
const batches = sets.map(({ frames }) => batchOf(frames));

/** Numbers of the frames that a filter selects. */
function select(filter: string, batch: ReturnType<typeof batchOf>): number[] {
  const { bytes } = compileFilter(filter);
  return [...selectFrames(bytes, batch).entries()].filter(([, selected]) => selected === 1).map(([index]) => index);
}

test("the table has at least 200 filters, each expectation belongs to the frames, and few filters select nothing", (t) => {
  t.deepEqual(Object.keys(table.selected).toSorted(), [...filters].toSorted());
  t.true(filters.length >= 200);
  for (const { seed, frames } of sets) t.is(hashFrames(frames), table.frames[String(seed)]!, `frames of seed ${seed}`);
  const nothing = filters.filter((filter) => table.selected[filter]!.split(" ").every((each) => each.startsWith("0:")));
  t.true(nothing.length < filters.length / 20, nothing.join(", "));
});

for (const filter of filters)
  test(`selects what tcpdump selects: ${filter || "(everything)"}`, (t) => {
    t.is(verifyProgram(compileFilter(filter).bytes), undefined);
    t.is(batches.map((batch) => hashSelection(select(filter, batch))).join(" "), table.selected[filter]!);
  });

/** Compares filters over frames with the tcpdump of this machine. */
function compareLive(frames: readonly TestFrame[], wanted: readonly string[], where: string): string[] {
  const oracle = openOracle(frames);
  const batch = batchOf(frames);
  try {
    return wanted
      .filter((filter) => JSON.stringify(oracle.select(filter)) !== JSON.stringify(select(filter, batch)))
      .map((filter) => `${where}: ${filter}`);
  } finally {
    oracle.close();
  }
}

test("this machine's tcpdump agrees with the table's filters over generated awkward traffic", (t) => {
  if (missing) return skip(t, missing);
  t.timeout(120_000);
  const frames = awkwardFrames(2026, 1500, { tiny: true });
  t.deepEqual(compareLive(frames, filters, "awkward traffic"), []);
});

const folder = resolve(packageRoot, "..", "shared", "captures");
const captures = existsSync(folder)
  ? readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.pcap(ng)?$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
  : [];
const liveCaptures = 32;
const framesPerCapture = 1000;

for (let part = 0; part < 4; part++)
  test(`this machine's tcpdump agrees over real captures (${part + 1} of 4)`, async (t) => {
    if (captures.length === 0) return skip(t, "no real captures beside the project (../shared/captures)");
    if (missing) return skip(t, missing);
    t.timeout(120_000);
    const step = Math.max(1, Math.floor(captures.length / 80));
    let compared = 0;
    for (let index = part * step; index < captures.length && compared < liveCaptures / 4; index += 4 * step) {
      const { frames, reader } = await readAll(captures[index]!);
      if (frames.length === 0 || reader?.interfaces.some(({ linkType }) => linkType !== 1)) continue;
      // Every file meets another eighth of the filters, so that all are met and a run stays short.
      const some = filters.filter((_, number) => number % 8 === compared % 8);
      t.deepEqual(compareLive(frames.slice(0, framesPerCapture), some, captures[index]!.slice(folder.length + 1)), []);
      compared++;
    }
    t.log(`${compared} captures`);
    if (compared === 0) skip(t, "no capture of Ethernet among these");
  });
