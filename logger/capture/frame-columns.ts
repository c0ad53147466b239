import type { CaptureBatch } from "./capture.js";
import { capturedLengthMax } from "./capture.js";

const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
/** Which of the two 32-bit words of a BigInt64Array's element is the low one on this machine. */
export const lowWord = little ? 0 : 1;
export const highWord = 1 - lowWord;

/** Columns that grow: the work area in which a reader collects a batch. It is used again for the next one. */
export class FrameColumns {
  count = 0;
  #capacity = 0;
  #offsets = new Uint32Array(0);
  #capturedLengths = new Uint32Array(0);
  #wireLengths = new Uint32Array(0);
  #times = new BigInt64Array(0);
  #timeWords = new Uint32Array(0);
  #interfaces = new Uint16Array(0);

  /** Adds a frame. Its time is given as two 32-bit words of a signed 64-bit number of nanoseconds: no BigInt per frame. */
  push(
    offset: number,
    captured: number,
    wire: number,
    timeHigh: number,
    timeLow: number,
    interfaceIndex: number,
  ): void {
    if (this.count === this.#capacity) this.#grow();
    const i = this.count++;
    this.#offsets[i] = offset;
    this.#capturedLengths[i] = captured;
    this.#wireLengths[i] = wire;
    this.#timeWords[2 * i + lowWord] = timeLow;
    this.#timeWords[2 * i + highWord] = timeHigh;
    this.#interfaces[i] = interfaceIndex;
  }

  /** Takes what was collected as a batch over `data`, with columns of its own, and starts anew. */
  take(data: Buffer): CaptureBatch {
    const count = this.count;
    this.count = 0;
    return {
      data,
      count,
      offsets: this.#offsets.slice(0, count),
      capturedLengths: this.#capturedLengths.slice(0, count),
      wireLengths: this.#wireLengths.slice(0, count),
      timesNs: this.#times.slice(0, count),
      interfaces: this.#interfaces.slice(0, count),
    };
  }

  #grow(): void {
    this.#capacity = Math.max(1024, 2 * this.#capacity);
    this.#offsets = grown(this.#offsets, new Uint32Array(this.#capacity));
    this.#capturedLengths = grown(this.#capturedLengths, new Uint32Array(this.#capacity));
    this.#wireLengths = grown(this.#wireLengths, new Uint32Array(this.#capacity));
    this.#interfaces = grown(this.#interfaces, new Uint16Array(this.#capacity));
    const times = new BigInt64Array(this.#capacity);
    times.set(this.#times);
    this.#times = times;
    this.#timeWords = new Uint32Array(times.buffer);
  }
}

function grown<T extends Uint32Array | Uint16Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** A batch made of frames held as objects: for tests and small tools. Throws RangeError for a frame that is too long. */
export function batchOf(
  frames: readonly { data: Uint8Array; wireLength?: number; timeNs?: bigint; interface?: number }[],
): CaptureBatch {
  const data = Buffer.alloc(frames.reduce((sum, frame) => sum + frame.data.length, 0));
  const columns = new FrameColumns();
  let offset = 0;
  for (const frame of frames) {
    const captured = frame.data.length;
    if (captured > capturedLengthMax)
      throw new RangeError(`a frame of ${captured} bytes: ${capturedLengthMax} at most`);
    data.set(frame.data, offset);
    const time = BigInt.asUintN(64, frame.timeNs ?? 0n);
    const wire = Math.max(captured, frame.wireLength ?? captured);
    columns.push(offset, captured, wire, Number(time >> 32n), Number(time & 0xffffffffn), frame.interface ?? 0);
    offset += captured;
  }
  return columns.take(data);
}
