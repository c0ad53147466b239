import { rmSync } from "node:fs";
import { join } from "node:path";
import { openStore, type StoreReader } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import type { Bench } from "./bench.js";
import { imix, mixedFrames } from "./mixed-frames.js";
import type { Row } from "./report.js";

const storeBytes = 384 * 1024 * 1024;

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

async function scan(reader: StoreReader, { filter, verifyPayload, kept = false, unit }: Way): Promise<number> {
  const startMs = performance.now();
  let given = 0;
  for await (const batch of reader.frames({ filter: filter ?? "", index: false, verifyPayload, reuse: !kept }))
    given += batch.count;
  const ms = performance.now() - startMs;
  const { frames, matched, bytesScanned } = reader.counters;
  if (given !== matched) throw new Error(`${given} frames came of ${matched}`);
  return unit === "GB/s" ? bytesScanned / ms / 1e6 : (ms * 1e6) / frames;
}

/** As many frames as fill about 256 MiB of store. */
async function fill(path: string, sizes: readonly number[], quick: boolean): Promise<void> {
  await createStore(path, { sizeBytes: storeBytes });
  const appender = await StoreAppender.open(path);
  for (let port = 0; port < 4; port++) appender.addInterface(`bench${port}`);
  const recordBytes = sizes.reduce((sum, size) => sum + 64 + Math.ceil(size / 64) * 64, 0) / sizes.length;
  const total = quick ? 20_000 : Math.floor((256 << 20) / recordBytes);
  for (let number = 0; number < total; number += 20_000)
    await appender.append(mixedFrames(number, Math.min(20_000, total - number), { sizes }));
  await appender.close();
}

export const scanning: Bench = {
  summary: "reading a store from end to end, and again: headers checked, payloads checked, filters that select nothing",
  storeBytes,
  async run({ quick, rounds, folder }) {
    const rows: Row[] = [];
    const mixes: [string, number | undefined, readonly number[]][] = [
      ["64 bytes", 64, [64]],
      ["IMIX", undefined, imix],
      ["1514 bytes", 1514, [1514]],
    ];
    for (const [mix, sizeBytes, sizes] of mixes) {
      const path = join(folder, "scan.store");
      await fill(path, sizes, quick);
      const row = (what: string, unit: string): Row => {
        const row: Row = { bench: "scan", what: sizeBytes ? what : `${mix}: ${what}`, unit, samples: [] };
        return sizeBytes ? { ...row, sizeBytes } : row;
      };
      const of = ways.map(({ what, unit }) => [row(what, unit), row(`${what}, again`, unit)] as const);
      for (let round = -1; round < rounds; round++)
        for (const [index, way] of ways.entries()) {
          const reader = openStore(path);
          const samples = [await scan(reader, way), await scan(reader, way)];
          reader.close();
          for (const [time, { samples: kept }] of of[index]!.entries()) if (round >= 0) kept.push(samples[time]!);
        }
      rows.push(...of.flat());
      rmSync(path);
    }
    return rows;
  },
};
