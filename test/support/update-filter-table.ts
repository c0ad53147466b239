// Makes test/logger/filter/filter-table.json anew with this machine's tcpdump: `node dist/test/support/update-filter-table.js`.
// Needed when the filters or the frames of the table change. Refuses filters that tcpdump does not take.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import {
  type FilterTable,
  frameSeeds,
  frameSet,
  hashFrames,
  hashSelection,
  tablePath,
} from "../logger/filter/filter-table.js";
import { filters } from "../logger/filter/filters.js";
import { openOracle } from "../logger/filter/oracle.js";

const versions = spawnSync("tcpdump", ["--version"], { encoding: "utf8" });
const madeBy = `${versions.stdout}${versions.stderr}`.split("\n").slice(0, 2).join(", ");
const table: FilterTable = { madeBy, frames: {}, selected: {} };
const sets = frameSeeds.map((seed) => ({ seed, frames: frameSet(seed) }));
const oracles = sets.map(({ seed, frames }) => {
  table.frames[String(seed)] = hashFrames(frames);
  return openOracle(frames);
});
for (const filter of filters)
  table.selected[filter] = oracles
    .map((oracle) => {
      const selected = oracle.select(filter);
      if (typeof selected === "string") throw new Error(`tcpdump refuses "${filter}": ${selected}`);
      return hashSelection(selected);
    })
    .join(" ");
for (const oracle of oracles) oracle.close();
writeFileSync(tablePath, `${JSON.stringify(table, undefined, 2)}\n`);
process.stdout.write(`${filters.length} filters over ${sets.length} frame sets\n`);
