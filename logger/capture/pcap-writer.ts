import { PasteError } from "../errors.js";
import { type CaptureBatch, capturedLengthMax } from "./capture.js";

export interface PcapWriterOptions {
  /** Times in nanoseconds (the magic number a1b23c4d) instead of microseconds, to which they are cut. */
  readonly nanoseconds?: boolean;
  readonly bigEndian?: boolean;
  /** Default 262144. It is only stated; frames are written as they are. */
  readonly snaplen?: number;
  /** Default 1, Ethernet. */
  readonly linkType?: number;
}

const recordHeaderSize = 16;
const secondsMax = 2n ** 32n;

/** Encodes classic pcap, version 2.4: `header` once, then `append` for each batch, each giving the bytes to write. */
export class PcapWriter {
  readonly #options: PcapWriterOptions;

  constructor(options: PcapWriterOptions = {}) {
    this.#options = options;
  }

  header(): Buffer {
    const little = !this.#options.bigEndian;
    const header = Buffer.alloc(24);
    const view = new DataView(header.buffer, header.byteOffset, header.length);
    view.setUint32(0, this.#options.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, little);
    view.setUint16(4, 2, little);
    view.setUint16(6, 4, little);
    view.setUint32(16, this.#options.snaplen ?? capturedLengthMax, little);
    view.setUint32(20, this.#options.linkType ?? 1, little);
    return header;
  }

  /** The batch's frames as records. Throws CAPTURE for a time that pcap cannot hold (before 1970, or after 2106). */
  append(batch: CaptureBatch): Buffer {
    const little = !this.#options.bigEndian;
    const unit = this.#options.nanoseconds ? 1n : 1000n;
    let size = 0;
    for (let i = 0; i < batch.count; i++) size += recordHeaderSize + batch.capturedLengths[i]!;
    const records = Buffer.allocUnsafe(size);
    const view = new DataView(records.buffer, records.byteOffset, size);
    let position = 0;
    for (let i = 0; i < batch.count; i++) {
      const time = batch.timesNs[i]!;
      const seconds = time / 1_000_000_000n;
      if (time < 0n || seconds >= secondsMax)
        throw new PasteError("CAPTURE", `a frame of time ${time} ns cannot be written as pcap: use pcapng`);
      const captured = batch.capturedLengths[i]!;
      const offset = batch.offsets[i]!;
      view.setUint32(position, Number(seconds), little);
      view.setUint32(position + 4, Number((time % 1_000_000_000n) / unit), little);
      view.setUint32(position + 8, captured, little);
      view.setUint32(position + 12, batch.wireLengths[i]!, little);
      batch.data.copy(records, position + recordHeaderSize, offset, offset + captured);
      position += recordHeaderSize + captured;
    }
    return records;
  }
}
