import { PasteError } from "../errors.js";
import { type CaptureBatch, type CaptureInterface, capturedLengthMax } from "./capture.js";
import { blockTypes, byteOrderMagic } from "./pcapng-block.js";

export interface PcapngWriterOptions {
  readonly bigEndian?: boolean;
  /** The program that writes (shb_userappl). */
  readonly application?: string;
}

/** Facts of a batch's frames that only pcapng can hold, one column each; what is missing is not written. */
export interface FrameExtras {
  /** epb_flags: bits 0-1 are the direction, 1 inbound, 2 outbound. */
  readonly flags?: Uint32Array;
  /** epb_dropcount: frames lost between this one and the one before, on the same interface. */
  readonly dropCounts?: BigUint64Array;
  /** epb_packetid. */
  readonly packetIds?: BigUint64Array;
  /** epb_queue. */
  readonly queues?: Uint32Array;
}

/** What an interface statistics block says; what is missing is not written. */
export interface InterfaceStatistics {
  readonly timeNs: bigint;
  readonly received?: bigint;
  readonly dropped?: bigint;
}

const codes = {
  shbUserappl: 4,
  ifName: 2,
  ifTsresol: 9,
  epbFlags: 2,
  epbDropcount: 4,
  epbPacketid: 5,
  epbQueue: 6,
  isbIfrecv: 4,
  isbIfdrop: 5,
} as const;

const packetHeaderSize = 28;

/** Encodes pcapng 1.0 with times in nanoseconds: `header` once, then in any order the others, each giving bytes. */
export class PcapngWriter {
  readonly #little: boolean;
  readonly #application: string;
  #interfaceCount = 0;

  constructor(options: PcapngWriterOptions = {}) {
    this.#little = !options.bigEndian;
    this.#application = options.application ?? "paste-switch";
  }

  /** A section header, and the description of each interface. Another call begins another section. */
  header(interfaces: readonly CaptureInterface[]): Buffer {
    this.#interfaceCount = 0;
    const options = textOption(codes.shbUserappl, this.#application, this.#little);
    const body = Buffer.alloc(16);
    const view = viewOf(body);
    view.setUint32(0, byteOrderMagic, this.#little);
    view.setUint16(4, 1, this.#little);
    view.setBigInt64(8, -1n, this.#little); // the section's length is not known while it is written
    const blocks = [this.#block(blockTypes.sectionHeader, [body, options, endOfOptions(options)])];
    for (const each of interfaces) blocks.push(this.describe(each));
    return Buffer.concat(blocks);
  }

  /** The description of one more interface; frames refer to interfaces in the order of their descriptions. */
  describe(captureInterface: CaptureInterface): Buffer {
    this.#interfaceCount++;
    const body = Buffer.alloc(8);
    const view = viewOf(body);
    view.setUint16(0, captureInterface.linkType, this.#little);
    view.setUint32(4, captureInterface.snaplen, this.#little);
    const resolution = Buffer.alloc(8);
    viewOf(resolution).setUint16(0, codes.ifTsresol, this.#little);
    viewOf(resolution).setUint16(2, 1, this.#little);
    resolution[4] = 9;
    const name = textOption(codes.ifName, captureInterface.name, this.#little);
    return this.#block(blockTypes.interfaceDescription, [body, name, resolution, endOfOptions(resolution)]);
  }

  /** The batch's frames as enhanced packet blocks. Throws CAPTURE for an interface that was not described, or a time before 1970. */
  append(batch: CaptureBatch, extras: FrameExtras = {}): Buffer {
    const little = this.#little;
    const optionsSize = sizeOfExtras(extras);
    let size = 0;
    for (let i = 0; i < batch.count; i++)
      size += packetHeaderSize + padded(batch.capturedLengths[i]!) + optionsSize + 4;
    const blocks = Buffer.alloc(size);
    const view = viewOf(blocks);
    let position = 0;
    for (let i = 0; i < batch.count; i++) {
      const captured = batch.capturedLengths[i]!;
      const offset = batch.offsets[i]!;
      const length = packetHeaderSize + padded(captured) + optionsSize + 4;
      this.#check(batch, i);
      view.setUint32(position, blockTypes.enhancedPacket, little);
      view.setUint32(position + 4, length, little);
      view.setUint32(position + 8, batch.interfaces[i]!, little);
      const time = batch.timesNs[i]!;
      view.setUint32(position + 12, Number(time >> 32n), little);
      view.setUint32(position + 16, Number(time & 0xffffffffn), little);
      view.setUint32(position + 20, captured, little);
      view.setUint32(position + 24, batch.wireLengths[i]!, little);
      batch.data.copy(blocks, position + packetHeaderSize, offset, offset + captured);
      writeExtras(view, position + packetHeaderSize + padded(captured), extras, i, little);
      view.setUint32(position + length - 4, length, little);
      position += length;
    }
    return blocks;
  }

  /** Statistics of one interface, usually at the end. */
  statistics(interfaceIndex: number, statistics: InterfaceStatistics): Buffer {
    const body = Buffer.alloc(12);
    const view = viewOf(body);
    view.setUint32(0, interfaceIndex, this.#little);
    view.setUint32(4, Number(statistics.timeNs >> 32n), this.#little);
    view.setUint32(8, Number(statistics.timeNs & 0xffffffffn), this.#little);
    const options: Buffer[] = [];
    if (statistics.received !== undefined)
      options.push(countOption(codes.isbIfrecv, statistics.received, this.#little));
    if (statistics.dropped !== undefined) options.push(countOption(codes.isbIfdrop, statistics.dropped, this.#little));
    return this.#block(blockTypes.interfaceStatistics, [body, ...options, endOfOptions(Buffer.concat(options))]);
  }

  #check(batch: CaptureBatch, i: number): void {
    const index = batch.interfaces[i]!;
    if (index >= this.#interfaceCount)
      throw new PasteError("CAPTURE", `a frame of interface ${index}, but ${this.#interfaceCount} were described`);
    if (batch.timesNs[i]! < 0n)
      throw new PasteError("CAPTURE", `a frame of time ${batch.timesNs[i]} ns cannot be written: it lies before 1970`);
    if (batch.capturedLengths[i]! > capturedLengthMax)
      throw new PasteError("CAPTURE", `a frame of ${batch.capturedLengths[i]} bytes: ${capturedLengthMax} at most`);
  }

  /** A block around parts whose lengths are multiples of four. */
  #block(type: number, parts: readonly Buffer[]): Buffer {
    const length = 12 + parts.reduce((sum, part) => sum + part.length, 0);
    const head = Buffer.alloc(8);
    viewOf(head).setUint32(0, type, this.#little);
    viewOf(head).setUint32(4, length, this.#little);
    const tail = Buffer.alloc(4);
    viewOf(tail).setUint32(0, length, this.#little);
    return Buffer.concat([head, ...parts, tail]);
  }
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** opt_endofopt, which stands only where there are options. */
function endOfOptions(options: Buffer): Buffer {
  return Buffer.alloc(options.length === 0 ? 0 : 4);
}

/** An option of text; none for an empty one. Option lengths are 16 bits. */
function textOption(code: number, text: string, little: boolean): Buffer {
  const value = Buffer.from(text, "utf8").subarray(0, 65535);
  if (value.length === 0) return Buffer.alloc(0);
  const option = Buffer.alloc(4 + padded(value.length));
  viewOf(option).setUint16(0, code, little);
  viewOf(option).setUint16(2, value.length, little);
  value.copy(option, 4);
  return option;
}

function countOption(code: number, value: bigint, little: boolean): Buffer {
  const option = Buffer.alloc(12);
  const view = viewOf(option);
  view.setUint16(0, code, little);
  view.setUint16(2, 8, little);
  view.setBigUint64(4, value, little);
  return option;
}

function sizeOfExtras(extras: FrameExtras): number {
  const size =
    (extras.flags ? 8 : 0) + (extras.dropCounts ? 12 : 0) + (extras.packetIds ? 12 : 0) + (extras.queues ? 8 : 0);
  return size === 0 ? 0 : size + 4;
}

/** Writes frame i's options; the zero bytes behind them are opt_endofopt. */
function writeExtras(view: DataView, start: number, extras: FrameExtras, i: number, little: boolean): void {
  let position = start;
  const option = (code: number, length: number): number => {
    view.setUint16(position, code, little);
    view.setUint16(position + 2, length, little);
    position += 4 + length;
    return position - length;
  };
  if (extras.flags) view.setUint32(option(codes.epbFlags, 4), extras.flags[i] ?? 0, little);
  if (extras.dropCounts) view.setBigUint64(option(codes.epbDropcount, 8), extras.dropCounts[i] ?? 0n, little);
  if (extras.packetIds) view.setBigUint64(option(codes.epbPacketid, 8), extras.packetIds[i] ?? 0n, little);
  if (extras.queues) view.setUint32(option(codes.epbQueue, 4), extras.queues[i] ?? 0, little);
}
