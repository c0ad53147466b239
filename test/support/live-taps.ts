// Live taps on a switch in this process, read to where they end.
import type { ExecutionContext } from "ava";
import { outcomes } from "../../native/engine.js";
import { egressFlooded, type LiveTapWish, type NativeLiveTap, openLiveTap } from "../../native/live-tap.js";
import { textOf, until } from "./live-switch.js";

export interface TappedFrame {
  bytes: Buffer;
  text: string;
  in: string;
  /** "*": flooded; "": nowhere. */
  out: string;
  outcome: string;
  left: boolean;
  length: number;
  wireLength: number;
  timeNs: bigint;
}

export function openTap(t: ExecutionContext, socket: string, wish: Partial<LiveTapWish> = {}): NativeLiveTap {
  const defaults = { port: "any", in: true, out: false, dropped: true, snaplen: 9216, ringBytes: 4 << 20 };
  const tap = openLiveTap({ socket, ...defaults, ...wish });
  t.teardown(() => tap.close());
  return tap;
}

/** Everything that lies in the tap. */
export function readTap(tap: NativeLiveTap): TappedFrame[] {
  const drops = outcomes().drops.map(({ name }) => name);
  const frames: TappedFrame[] = [];
  for (let batch = tap.read(1000, 1 << 20); batch; batch = tap.read(1000, 1 << 20)) {
    const ports = tap.names(-1)!.ports;
    for (let i = 0; i < batch.count; i++) {
      const start = batch.offsets[i]!;
      const egress = batch.egress[i]!;
      const outcome = batch.outcomes[i]!;
      const bytes = batch.data.subarray(start, start + batch.capturedLengths[i]!);
      frames.push({
        bytes,
        text: textOf(bytes),
        in: ports[batch.ingress[i]!] ?? "",
        out: egress === egressFlooded ? "*" : (ports[egress] ?? ""),
        outcome: outcome === 0 ? "forwarded" : drops[outcome - 1]!,
        left: batch.left[i] === 1,
        length: batch.capturedLengths[i]!,
        wireLength: batch.wireLengths[i]!,
        timeNs: batch.timesNs[i]!,
      });
    }
  }
  return frames;
}

/** The same, when at least so many frames have come. */
export async function tapped(tap: NativeLiveTap, count = 1): Promise<TappedFrame[]> {
  const frames: TappedFrame[] = [];
  await until(() => frames.push(...readTap(tap)) >= count, `${count} frames in a tap`);
  return frames;
}
