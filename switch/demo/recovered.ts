import { type FrameOptions, openStore } from "../../logger/reader.js";
import type { Recovered } from "./acknowledged.js";
import { DigestList, frameDigest } from "./frame-digest.js";

/** Every frame of a store from a sequence on, as digests and sequence numbers, in the store's order. */
export async function readRecovered(path: string, fromSequence: bigint): Promise<Recovered> {
  const reader = openStore(path);
  try {
    const digests = new DigestList();
    const sequences: bigint[] = [];
    for await (const batch of reader.frames({ fromSequence })) {
      for (let i = 0; i < batch.count; i++) {
        digests.push(frameDigest(batch.bytes(i)));
        sequences.push(batch.sequence(i));
      }
    }
    return { digests: digests.values(), sequences: BigUint64Array.from(sequences) };
  } finally {
    reader.close();
  }
}

/** Time from a frame's arrival at the switch to the moment at which another process reads it, one value a frame. */
export async function readableAfterNs(path: string, options: FrameOptions, frames: number): Promise<number[]> {
  const reader = openStore(path);
  const values: number[] = [];
  const end = new AbortController();
  const limit = setTimeout(() => end.abort(), 5000);
  try {
    for await (const batch of reader.follow({ ...options, signal: end.signal })) {
      const nowNs = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
      for (let i = 0; i < batch.count; i++) values.push(Number(nowNs - batch.timeNs(i)));
      if (values.length >= frames) break;
    }
    return values;
  } finally {
    clearTimeout(limit);
    reader.close();
  }
}
