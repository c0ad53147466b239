import { rmSync } from "node:fs";
import { join } from "node:path";
import { type CompiledFilter, compileFilter } from "../../logger/filter/compile.js";
import { openStore, type StoreReader } from "../../logger/reader.js";
import { Random } from "../../logger/traffic/random.js";
import type { Bench } from "./bench.js";
import { imix, mixedStore, recordBytes } from "./mixed-frames.js";
import type { Row } from "./report.js";

/** About what is read, as records of the store. */
const dataBytes = 256 << 20;
/** More of them than a processor learns by heart. */
const anySizes = ((random) => Array.from({ length: 10_007 }, () => random.between(60, 1514)))(new Random(1));

interface Way {
  what: string;
  filter?: string;
  verifyPayload: boolean;
  /** Batches stay as they are when the next one is asked for. */
  kept?: boolean;
  unit: "ns/record" | "GB/s";
}

const ways: Way[] = [
  { what: "headers checked", verifyPayload: false, unit: "ns/record" },
  { what: "headers checked, batches kept", verifyPayload: false, kept: true, unit: "ns/record" },
  { what: "payloads checked", verifyPayload: true, unit: "GB/s" },
  { what: "payloads checked, none selected", verifyPayload: true, filter: "host 10.0.0.1", unit: "GB/s" },
  ...[
    "host 10.0.0.1",
    "tcp port 4444",
    "any host 10.0.0.1",
    "any port 4444",
    'payload "needle"',
    "payload /ne+dle|GET \\/[a-z]+/i",
  ].map((filter): Way => ({ what: `filter: ${filter}`, verifyPayload: false, filter, unit: "ns/record" })),
];

/** Compiling is no part of it: that takes as long for a frame as for a store. */
async function scan(
  reader: StoreReader,
  { verifyPayload, kept = false, unit }: Way,
  filter: CompiledFilter,
): Promise<number> {
  const startMs = performance.now();
  let given = 0;
  for await (const batch of reader.frames({ filter, index: false, verifyPayload, reuse: !kept })) given += batch.count;
  const ms = performance.now() - startMs;
  const { frames, matched, bytesScanned } = reader.counters;
  if (given !== matched) throw new Error(`${given} frames came of ${matched}`);
  return unit === "GB/s" ? bytesScanned / ms / 1e6 : (ms * 1e6) / frames;
}

export const scanning: Bench = {
  summary: "reading a store from end to end, and again: headers checked, payloads checked, filters that select nothing",
  storeBytes: dataBytes * 1.5,
  async run({ quick, rounds, folder }) {
    const rows: Row[] = [];
    const mixes: [string, number | undefined, readonly number[]][] = [
      ["64 bytes", 64, [64]],
      ["IMIX", undefined, imix],
      ["60 to 1514 bytes at random", undefined, anySizes],
      ["1514 bytes", 1514, [1514]],
    ];
    for (const [mix, sizeBytes, sizes] of mixes) {
      const path = join(folder, "scan.store");
      await mixedStore(path, quick ? 20_000 : Math.floor(dataBytes / recordBytes(sizes)), { sizes });
      const row = (what: string, unit: string): Row => {
        const row: Row = { bench: "scan", what: sizeBytes ? what : `${mix}: ${what}`, unit, samples: [] };
        return sizeBytes ? { ...row, sizeBytes } : row;
      };
      const of = ways.map(({ what, unit }) => [row(what, unit), row(`${what}, again`, unit)] as const);
      const filters = ways.map(({ filter }) => compileFilter(filter ?? "", { record: "store" }));
      for (let round = -1; round < rounds; round++)
        for (const [index, way] of ways.entries()) {
          const reader = openStore(path);
          const samples = [await scan(reader, way, filters[index]!), await scan(reader, way, filters[index]!)];
          reader.close();
          for (const [time, { samples: kept }] of of[index]!.entries()) if (round >= 0) kept.push(samples[time]!);
        }
      rows.push(...of.flat());
      rmSync(path);
    }
    return rows;
  },
};
