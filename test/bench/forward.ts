import { benchForward } from "../../native/index.js";
import type { Bench } from "./bench.js";
import type { Row } from "./report.js";

/** Loss is no detail: a figure with frames missing or wrong would be of another job. */
export function whole(result: { lost: number; wrong: number }): { note?: string } {
  if (result.lost === 0 && result.wrong === 0) return {};
  return { note: `LOST ${result.lost}, WRONG ${result.wrong}` };
}

export const forward: Bench = {
  summary: "one thread, 8 vale ports with private memory: generator, switch and sink, every byte read",
  storeBytes: 0,
  async run({ quick, rounds }) {
    const rows: Row[] = [];
    for (const frameBytes of quick ? [64] : [64, 256, 768, 1280, 1514]) {
      const framesPerRound = quick ? 50_000 : 500_000;
      const [result] = await benchForward([{ frameBytes, framesPerRound }], rounds);
      rows.push({
        bench: "forward",
        what: "no log",
        sizeBytes: frameBytes,
        unit: "ns/frame",
        samples: result!.nsPerFrame,
        ...whole(result!),
      });
    }
    return rows;
  },
};
