import { join } from "node:path";
import { compileFilter } from "../../logger/filter/compile.js";
import { openStore } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { TrafficGenerator } from "../../logger/traffic/traffic-generator.js";
import type { Bench } from "./bench.js";
import type { Row } from "./report.js";

const storeBytes = 256 * 1024 * 1024;

async function scan(
  path: string,
  options: { filter?: string; verifyPayload: boolean },
): Promise<{ frames: number; ms: number }> {
  const reader = openStore(path);
  const startMs = performance.now();
  let frames = 0;
  const program = options.filter === undefined ? {} : { program: compileFilter(options.filter).bytes };
  for await (const batch of reader.frames({ ...program, verifyPayload: options.verifyPayload })) frames += batch.count;
  const ms = performance.now() - startMs;
  frames = reader.counters.frames;
  reader.close();
  return { frames, ms };
}

export const scanning: Bench = {
  summary: "reading a store from end to end: headers checked, payloads checked, a filter that selects little",
  storeBytes,
  async run({ quick, rounds, folder }) {
    const path = join(folder, "scan.store");
    await createStore(path, { sizeBytes: storeBytes });
    const appender = await StoreAppender.open(path);
    const generator = new TrafficGenerator({ seed: 1 });
    for (let port = 0; port < 4; port++) appender.addInterface(`bench${port}`);
    for (let i = 0; i < (quick ? 1 : 16); i++) {
      await appender.append(generator.next(20_000));
    }
    await appender.close();
    const ways = [
      { what: "headers checked", verifyPayload: false },
      { what: "payloads checked", verifyPayload: true },
      { what: "filter: one host", verifyPayload: false, filter: "host 10.0.0.1 and tcp port 80" },
    ];
    const rows: Row[] = ways.map(({ what }) => ({ bench: "scan", what, unit: "ns/record", samples: [] }));
    for (let round = -1; round < rounds; round++)
      for (const [index, way] of ways.entries()) {
        const { frames, ms } = await scan(path, way);
        if (round >= 0) rows[index]!.samples.push((ms * 1e6) / frames);
      }
    return rows;
  },
};
