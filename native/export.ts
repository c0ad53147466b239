// The encoder of capture files, as the addon gives it (native/addon/export_binding.cc). logger/export.ts uses it.
import type { CaptureBatch, CaptureFormat } from "../logger/capture/capture.js";
import { loadAddon } from "./load.js";
import type { NativeStoreReader } from "./reader.js";

/** Whole blocks of the output, and how many frames are in them. */
export interface EncodedPiece {
  bytes: Uint8Array;
  frames: number;
}

/** One call at a time. Failures carry "CODE: message". */
export interface CaptureEncoder {
  /** Number of the interface with this name and link type; its description comes out with the next piece if it is new. */
  describe(name: string, linkType: number, snaplen: number): number;
  /** Encodes the frames of a batch that `selected` marks (null: all), `framesMax` at most. */
  append(
    batch: CaptureBatch,
    interfaceNumbers: Uint32Array,
    selected: Uint8Array | null,
    framesMax: number,
  ): EncodedPiece;
  /** What next() takes frames from: a reader that was started with `framesOnly` false. */
  openStore(reader: NativeStoreReader): void;
  /** About bytesMax of the store's frames, encoded off the main thread. `lost`: frames the store says were not logged. */
  next(bytesMax: number, framesMax: number): Promise<EncodedPiece & { more: boolean; lost: number }>;
  /** The end of the file. */
  finish(): EncodedPiece;
}

interface ExportAddon {
  CaptureEncoder: new (format: number, application: string, snaplen: number) => CaptureEncoder;
}

const formatNumbers: Record<CaptureFormat, number> = { pcapng: 0, pcap: 1, nsecpcap: 2 };

/** Frames longer than `snaplen` are cut. */
export function createCaptureEncoder(format: CaptureFormat, application: string, snaplen: number): CaptureEncoder {
  const addon = loadAddon("paste_switch") as unknown as ExportAddon;
  return new addon.CaptureEncoder(formatNumbers[format], application, snaplen);
}
