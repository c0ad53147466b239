import { setImmediate } from "node:timers/promises";
import type { CaptureBatch, CaptureOptions } from "../../../logger/capture/capture.js";
import { type CaptureReader, openCapture, openCaptureBytes } from "../../../logger/capture/open-capture.js";

export interface ReadFrame {
  readonly data: Buffer;
  readonly wireLength: number;
  readonly timeNs: bigint;
  readonly interface: number;
}

export interface ReadResult {
  readonly frames: ReadFrame[];
  /** What opening or reading threw, after the frames. */
  readonly error: unknown;
  readonly reader: CaptureReader | null;
}

/** Reads a capture given by its path or its bytes; bytes are handed over in chunks of `chunkSize`. */
export async function readAll(
  input: string | Buffer,
  options: CaptureOptions = {},
  chunkSize = 65536,
): Promise<ReadResult> {
  const frames: ReadFrame[] = [];
  let reader: CaptureReader | null = null;
  try {
    reader = await (typeof input === "string"
      ? openCapture(input, options)
      : openCaptureBytes(chunked(input, chunkSize), "capture", options));
    for await (const batch of reader) {
      frames.push(...framesOf(batch));
      await setImmediate();
    }
    return { frames, error: null, reader };
  } catch (error) {
    return { frames, error, reader };
  }
}

export function framesOf(batch: CaptureBatch): ReadFrame[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    data: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
    wireLength: batch.wireLengths[i]!,
    timeNs: batch.timesNs[i]!,
    interface: batch.interfaces[i]!,
  }));
}

export function* chunked(bytes: Buffer, chunkSize: number): Generator<Buffer> {
  for (let position = 0; position < bytes.length; position += chunkSize)
    yield bytes.subarray(position, position + chunkSize);
}
