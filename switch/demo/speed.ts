import { statSync, unlinkSync } from "node:fs";
import { createStore } from "../../logger/store.js";
import { benchForward } from "../../native/index.js";

export interface ForwardingCost {
  /** Nanoseconds a 64-byte frame, generator and receiver included: medians of paired rounds. */
  plainNs: number;
  loggedNs: number;
  mode: string;
}

const rounds = 5;
const framesPerRound = 100_000;

/** What a frame costs on one thread, without log and with every frame logged before it leaves. The store at `path` is temporary. */
export async function forwardingCost(path: string): Promise<ForwardingCost> {
  await createStore(path, { sizeBytes: 16 * 1024 * 1024 });
  try {
    const [plain, logged] = await benchForward(
      [{ framesPerRound }, { framesPerRound, log: "pack", strict: true, storePath: path }],
      rounds,
    );
    return { plainNs: middle(plain!.nsPerFrame), loggedNs: middle(logged!.nsPerFrame), mode: "strict, packed" };
  } finally {
    if (statSync(path, { throwIfNoEntry: false })) unlinkSync(path);
  }
}

const middle = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
