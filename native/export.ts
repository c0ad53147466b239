// The encoder of capture files, as the addon gives it (native/addon/export_binding.cc). logger/export.ts uses it.
import type { CaptureBatch, CaptureFormat, CaptureInterface } from "../logger/capture/capture.js";
import type { TappedBatch } from "./live-tap.js";
import { loadAddon } from "./load.js";
import type { NativeStoreReader } from "./reader.js";

/** Whole blocks of the output, and how many frames are in them. */
export interface EncodedPiece {
  bytes: Uint8Array;
  frames: number;
}

export interface SourcePiece extends EncodedPiece {
  /** "split": the file is complete with this piece, and another follows; "hungry": feed the source of that number, or end it. */
  next: "more" | "split" | "hungry" | "end";
  /** `next` is not "end". */
  more: boolean;
  hungry: number;
  /** Of "split": for its duration, not its size. */
  byTime: boolean;
  /** Time of the piece's first frame, when it has one. */
  firstNs?: bigint;
  /** Of "split": time of the next file's first frame. */
  nextNs?: bigint;
  /** Frames that the stores say were not logged, so far. */
  lost: number;
}

/** A piece that is in the file already; its `bytes` are empty. */
export interface WrittenPiece extends SourcePiece {
  /** Bytes of what was written as a whole, which holds `frames`. */
  written: number;
  /** 0, or the number of the system's error with which writing on failed. */
  error: number;
}

/** One call at a time. Failures carry "CODE: message". */
export interface CaptureEncoder {
  /** One more source, and its number: a reader that was started with `framesOnly` false. `description` is that of its interfaces. */
  openStore(reader: NativeStoreReader, description?: string): number;
  /** The same for a capture, whose batches `feed` hands over. */
  openCapture(description?: string): number;
  /** A capture's next batch, when it is hungry, of whose frames those are taken that `selected` marks (null: all). */
  feed(source: number, batch: CaptureBatch, interfaces: readonly CaptureInterface[], selected: Uint8Array | null): void;
  /** There are no more batches of this capture. */
  end(source: number): void;
  /** About bytesMax of the sources' frames, encoded off the main thread. At the end of stores that are followed, call again later. */
  next(bytesMax: number, framesMax: number): Promise<SourcePiece>;
  /** The same straight into an open file, from `position` on. */
  write(descriptor: number, position: number, bytesMax: number, framesMax: number): Promise<WrittenPiece>;
  /** Number of the interface with this name and link type for `append`; its description comes out with the next piece if it is new. */
  describe(name: string, linkType: number, snaplen: number): number;
  /** Without sources: encodes the frames of a batch that `selected` marks (null: all), `framesMax` at most, at once. `left`, `outcomes`: of a tap. */
  append(
    batch: CaptureBatch & Partial<Pick<TappedBatch, "left" | "outcomes">>,
    interfaceNumbers: Uint32Array,
    selected: Uint8Array | null,
    framesMax: number,
  ): EncodedPiece;
  /** The end of the file. */
  finish(): EncodedPiece;
  /** With `chain`: the parts of the files that were ended since the last call, and all interfaces so far. */
  chain(): { parts: ChainPart[]; interfaces: ChainInterface[] };
}

/** One file's part of the hash chain over all records (logger/MANIFEST.md). */
export interface ChainPart {
  before: Buffer;
  after: Buffer;
  records: number;
  /** Lowest and highest packet id, 0n where there is none; lowest and highest time. */
  firstId: bigint;
  lastId: bigint;
  firstNs: bigint;
  lastNs: bigint;
  /** The chain behind each stride of records, 32 bytes each. */
  stride: number;
  marks: Buffer;
}

export interface ChainInterface {
  name: string;
  description: string;
  linkType: number;
}

/** Computes a file's part again from the file's bytes. */
export interface ChainCheck {
  /** Throws CAPTURE where this is no capture as an export writes it. */
  feed(bytes: Uint8Array): void;
  /** `interfaces`: how many there are, with those that were known. `disorder`: the first packet id that is not above the one before it. */
  finish(): ChainPart & {
    interfaces: number;
    disorder: { record: number; id: bigint; before: bigint } | null;
  };
}

export interface EncoderOptions {
  /** Keep a hash chain over the records. */
  chain?: boolean;
  /** Another file begins before a frame: when the file has more bytes than these, so many frames, or is so long; 0 = never. */
  bytesOver?: number;
  frames?: number;
  durationNs?: bigint;
  /** The duration is counted from the last file that began because of it, also when others began since. */
  byPeriod?: boolean;
  /** Several sources are merged by time; else one behind the other. */
  byTime?: boolean;
  /** Without comments. */
  plain?: boolean;
  sanitize?: { key: Uint8Array; keepPayload: boolean; keepOui: boolean; keepNames: boolean };
  /** Pieces that are in use at once, at most: the memory of one is used again when so many more have been made. 0: never. */
  slots?: number;
}

interface ExportAddon {
  CaptureEncoder: new (format: number, application: string, snaplen: number, options: EncoderOptions) => CaptureEncoder;
  ChainCheck: new (before: Uint8Array, stride: number, interfaces: readonly ChainInterface[]) => ChainCheck;
}

const formatNumbers: Record<CaptureFormat, number> = { pcapng: 0, pcap: 1, nsecpcap: 2 };

/** Frames longer than `snaplen` are cut. */
export function createCaptureEncoder(
  format: CaptureFormat,
  application: string,
  snaplen: number,
  options: EncoderOptions = {},
): CaptureEncoder {
  const addon = loadAddon("paste_switch") as unknown as ExportAddon;
  return new addon.CaptureEncoder(formatNumbers[format], application, snaplen, options);
}

export function createChainCheck(
  before: Uint8Array,
  stride: number,
  interfaces: readonly ChainInterface[],
): ChainCheck {
  const addon = loadAddon("paste_switch") as unknown as ExportAddon;
  return new addon.ChainCheck(before, stride, interfaces);
}
