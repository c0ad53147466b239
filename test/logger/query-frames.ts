// Frames over which queries are tested: believable ones, and a tenth of awkward ones, from four ports.
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import type { TestFrame } from "./store-tools.js";

export const ports = ["vale0:a", "vale0:b", "en0", "tap"];

export function traffic(seed: number, count: number): TestFrame[] {
  const { batch } = generateTraffic({ seed, frames: count });
  const frames = Array.from({ length: count }, (_, i) => ({
    data: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
    wireLength: batch.wireLengths[i]!,
    timeNs: batch.timesNs[i]!,
    interface: batch.interfaces[i]! % ports.length,
  }));
  return [...frames, ...awkwardFrames(seed, count / 10).map((frame, i) => ({ ...frame, interface: i % ports.length }))];
}
