import { benchIndex, type IndexBenchResult } from "../../native/bench.js";
import type { Bench } from "./bench.js";
import type { Row } from "./report.js";

const MiB = 1 << 20;
const ways = [
  { what: "IMIX, 10,000 flows", newFlows: false, share: 32 },
  { what: "IMIX, 10,000 flows of IPv6 in two tags", newFlows: false, ipv6: true, share: 32 },
  { what: "each frame a new flow, index of at most 1/32", newFlows: true, share: 32 },
  { what: "each frame a new flow, every field kept", newFlows: true, share: 2 },
];

function rows(what: string, result: IndexBenchResult): Row[] {
  const { frames, framesPerSecond, dataBytes, runBytes, omitted, absentNs, hostNs, hostRecords } = result;
  const row = (kind: string, unit: string, samples: number[], note = ""): Row => ({
    bench: "index",
    what: `${kind}: ${what}`,
    unit,
    samples,
    ...(note && { note }),
  });
  const out = omitted.toString(2).replaceAll("0", "").length;
  const size = `${(dataBytes / MiB).toFixed(1)} MiB of log${out > 0 ? `, ${out} fields left out` : ""}`;
  return [
    row("build", "M frames/s", framesPerSecond.map((rate) => rate / 1e6), `${frames} frames`), // biome-ignore format: a table
    row("size", "% of the data", [(100 * runBytes) / dataBytes], size),
    row("absent host", "us", absentNs.map((ns) => ns / 1e3)), // biome-ignore format: a table
    row("one host", "us", hostNs.map((ns) => ns / 1e3), `${hostRecords} records`), // biome-ignore format: a table
  ];
}

export const indexing: Bench = {
  summary:
    "an index run over a segment of 32 MiB in memory, in one thread's processor time: making it, its size, asking it",
  storeBytes: 0,
  async run({ quick, rounds }) {
    const all: Row[] = [];
    const segmentBytes = (quick ? 4 : 32) * MiB;
    for (const { what, share, ...traffic } of ways)
      all.push(...rows(what, await benchIndex({ ...traffic, bytesMax: segmentBytes / share, segmentBytes, rounds })));
    return all;
  },
};
