import type { CaptureBatch } from "../../logger/capture/capture.js";
import { FrameColumns } from "../../logger/capture/frame-columns.js";
import { openCapture } from "../../logger/capture/open-capture.js";
import { PasteError } from "../../logger/errors.js";
import { TrafficGenerator } from "../../logger/traffic/traffic-generator.js";
import type { FrameColumns as PlayedColumns } from "../../native/index.js";

/** Frames to play, and the port on which each host sits. `interfaces` of the batch is the index into `ports`. */
export interface DemoTraffic {
  /** Port names inside the switch: "a", "b", ... */
  ports: string[];
  frames: CaptureBatch;
  /** The map, one line a port: its name, how many source addresses sit there, the first few of them. */
  map: { port: string; addresses: string[] }[];
  notes: string[];
}

/** Live ports take frames up to this size; longer ones of a capture are left out of the demo, and counted. */
const frameBytesMax = 9216;
const playedBytesMax = 24 * 1024 * 1024;

/** Believable traffic of 32 hosts on four ports. */
export function generatedTraffic(seed: number, count: number): DemoTraffic {
  const generator = new TrafficGenerator({ seed, hosts: 32, ports: 4 });
  const frames = generator.next(count);
  return placed(frames, frames.interfaces, ["a", "b", "c", "d"], [`32 hosts, seed ${seed}`]);
}

/** The user's own capture: source addresses are given to four ports in order of appearance. */
export async function capturedTraffic(path: string): Promise<DemoTraffic> {
  const reader = await openCapture(path, { synthesizeEthernet: true, allowTruncated: true });
  const columns = new FrameColumns();
  const chunks: Buffer[] = [];
  const portOf = new Map<string, number>();
  let bytes = 0;
  let left = 0;
  for await (const batch of reader) {
    for (let i = 0; i < batch.count; i++) {
      const length = batch.capturedLengths[i]!;
      if (length < 14 || length > frameBytesMax || bytes + length > playedBytesMax) {
        left++;
        continue;
      }
      const frame = batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + length);
      const source = frame.toString("hex", 6, 12);
      const port = portOf.get(source) ?? portOf.size % 4;
      portOf.set(source, port);
      columns.push(bytes, length, length, 0, 0, port);
      chunks.push(frame);
      bytes += length;
    }
  }
  if (chunks.length === 0)
    throw new PasteError("CAPTURE", `${path}: no frame of 14 to ${frameBytesMax} bytes in it: nothing to play`);
  const notes = [...reader.notes, ...reader.warnings];
  if (left > 0)
    notes.push(`${left} frames left out (under 14 or over ${frameBytesMax} bytes, or past the first 24 MiB)`);
  const frames = columns.take(Buffer.concat(chunks));
  return placed(frames, frames.interfaces, ["a", "b", "c", "d"], notes);
}

/** The frames that enter on one port. */
export function framesOf(traffic: Pick<DemoTraffic, "frames">, port: number): PlayedColumns {
  const { data, offsets, capturedLengths, interfaces, count } = traffic.frames;
  const own = [];
  for (let i = 0; i < count; i++) if (interfaces[i] === port) own.push(i);
  return {
    data,
    offsets: Uint32Array.from(own, (i) => offsets[i]!),
    lengths: Uint32Array.from(own, (i) => capturedLengths[i]!),
    count: own.length,
  };
}

function placed(frames: CaptureBatch, portOf: Uint16Array, ports: string[], notes: string[]): DemoTraffic {
  const map = ports.map((port) => ({ port, addresses: new Set<string>() }));
  for (let i = 0; i < frames.count; i++) {
    const at = frames.offsets[i]! + 6;
    const address = frames.data.toString("hex", at, at + 6).replace(/..(?!$)/g, "$&:");
    map[portOf[i]!]!.addresses.add(address);
  }
  return { ports, frames, map: map.map(({ port, addresses }) => ({ port, addresses: [...addresses] })), notes };
}
