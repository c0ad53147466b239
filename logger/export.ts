// From stores and captures to a capture file.
import type { Writable } from "node:stream";
import { asPasteError, native } from "../native/engine.js";
import { type CaptureEncoder, createCaptureEncoder, type EncodedPiece } from "../native/export.js";
import { openNativeReader } from "../native/reader.js";
import type { CaptureFormat } from "./capture/capture.js";
import { capturedLengthMax } from "./capture/capture.js";
import { openCapture } from "./capture/open-capture.js";
import { PasteError } from "./errors.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { NameCheck } from "./filter/name-check.js";
import { checkAnswerable, type SourceKind, selectedBatches, sourceKind } from "./query-source.js";
import { nativeOptions } from "./reader.js";
import { openSink, type Sink } from "./sink.js";

export interface ExportOptions {
  /** Stores and captures, one behind the other in this order; "-" is a capture on standard input. */
  sources: readonly string[];
  /** A file, "-" for standard output, or a stream. */
  output: string | Writable;
  /** Default pcapng. */
  format?: CaptureFormat;
  /** In the language of pcap-filter(7) and the words of FILTER.md; absent or empty: every frame. */
  filter?: string;
  /** Frames to write at most. */
  limit?: number;
  /** Bytes to write of each frame at most. */
  snaplen?: number;
  /** Of stores: first and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** Of captures: see CaptureOptions. */
  synthesizeEthernet?: boolean;
  allowTruncated?: boolean;
  /** Ends the export early; the file is finished properly. */
  signal?: AbortSignal;
  /** Called after each piece that was written. */
  onProgress?: (report: Readonly<ExportReport>) => void;
}

export interface ExportReport {
  frames: number;
  /** Bytes of the file. */
  bytes: number;
  /** "done": all there was, or the limit; "aborted"; "closed": nobody reads the output any more. */
  ended: "done" | "aborted" | "closed";
  /** Of stores: frames that a rule selected and the log could not take, in the range that was read. */
  lost: number;
  /** Of stores: records whose checksum is wrong, and blocks that were overwritten while they were read. */
  corrupt: number;
  overtaken: number;
  /** What was done to frames of captures, and what is odd about them. */
  notes: string[];
  warnings: string[];
}

const application = "paste-switch";
/** Bytes encoded at once. */
const pieceBytes = 1 << 20;
/** Bytes gathered from captures before they are written. */
const gatherBytes = 256 << 10;

/**
 * Writes the frames of all sources. A store's frames come in sequence order, as far as they are durable when their turn comes.
 * Throws USAGE, STORE or RESOURCE; FILTER, also when nothing was selected and the filter names a port or rule that no record has; CAPTURE for a damaged capture, when the whole frames before the damage have
 * been written and the file is finished.
 */
export async function exportFrames(options: ExportOptions): Promise<ExportReport> {
  return new Export(options).run();
}

class Export {
  readonly #options: ExportOptions;
  readonly #encoder: CaptureEncoder;
  readonly #filter: CompiledFilter | undefined;
  readonly #names: NameCheck;
  readonly #report: ExportReport;
  #left: number;
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #gatheredFrames = 0;

  constructor(options: ExportOptions) {
    const { format = "pcapng", limit, snaplen, sources } = options;
    if (sources.length === 0) throw new PasteError("USAGE", "nothing to export: name a store or a capture");
    for (const [name, value] of Object.entries({ limit, snaplen }))
      if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
        throw new PasteError("USAGE", `${name} must be an integer above 0, it is ${value}`);
    this.#options = options;
    this.#filter = options.filter ? compileFilter(options.filter, { record: "store" }) : undefined;
    this.#names = new NameCheck(this.#filter?.names ?? []);
    this.#encoder = native(() =>
      createCaptureEncoder(format, application, Math.min(snaplen ?? capturedLengthMax, capturedLengthMax)),
    );
    this.#left = limit ?? Number.POSITIVE_INFINITY;
    this.#report = { frames: 0, bytes: 0, ended: "done", lost: 0, corrupt: 0, overtaken: 0, notes: [], warnings: [] };
  }

  async run(): Promise<ExportReport> {
    const kinds = new Map<string, SourceKind>();
    for (const source of this.#options.sources) kinds.set(source, await sourceKind(source));
    checkAnswerable(this.#filter, kinds);
    const sink = await openSink(this.#options.output, this.#options.sources);
    try {
      let problem: unknown;
      try {
        for (const source of this.#options.sources) {
          if (this.#left <= 0 || this.#report.ended !== "done") break;
          await (kinds.get(source) === "store" ? this.#store(source, sink) : this.#capture(source, sink));
        }
      } catch (error) {
        problem = asPasteError(error);
        if (!(problem instanceof PasteError && problem.code === "CAPTURE")) throw problem;
      }
      await this.#gather(
        native(() => this.#encoder.finish()),
        sink,
        true,
      );
      if (problem) throw problem;
      this.#tellUnknownNames();
    } finally {
      await sink.close();
    }
    return this.#report;
  }

  /** What was read to its end and nowhere names such a port or rule: a line; and where nothing was selected, a failure. */
  #tellUnknownNames(): void {
    if (this.#left <= 0 || this.#report.ended !== "done") return;
    const lines = this.#names.lines();
    if (lines.length > 0 && this.#report.frames === 0) throw new PasteError("FILTER", lines.join("; "));
    this.#report.warnings.push(...lines);
  }

  async #store(path: string, sink: Sink): Promise<void> {
    const { fromSequence, toSequence } = this.#options;
    await this.#gather({ bytes: new Uint8Array(0), frames: 0 }, sink, true); // what captures gave so far stands before
    const reader = native(() => openNativeReader(path));
    try {
      native(() => {
        const filter = this.#filter;
        const range = {
          ...(fromSequence !== undefined && { fromSequence }),
          ...(toSequence !== undefined && { toSequence }),
        };
        reader.start({ ...nativeOptions({ ...range, ...(filter && { filter }) }), framesOnly: false });
        this.#encoder.openStore(reader);
      });
      const lostBefore = this.#report.lost;
      let next = this.#encoder.next(pieceBytes, this.#left);
      for (;;) {
        const piece = await next;
        this.#left -= piece.frames;
        this.#report.lost = lostBefore + piece.lost;
        const goOn = piece.more && this.#left > 0 && !this.#options.signal?.aborted;
        // The next piece is encoded while this one is written.
        if (goOn) next = this.#encoder.next(pieceBytes, this.#left);
        const writing = this.#write(sink, piece.bytes, piece.frames);
        const [written] = await Promise.allSettled(goOn ? [writing, next] : [writing]);
        if (written.status === "rejected") throw written.reason;
        if (this.#options.signal?.aborted) this.#report.ended = "aborted";
        if (!goOn || this.#report.ended !== "done") break;
      }
      this.#names.saw(reader.names());
      const { corrupt, overtaken } = reader.counters();
      this.#report.corrupt += corrupt;
      this.#report.overtaken += overtaken;
    } finally {
      reader.close();
    }
  }

  async #capture(path: string, sink: Sink): Promise<void> {
    const { allowTruncated = false, synthesizeEthernet = false, signal } = this.#options;
    const capture = await openCapture(path, { allowTruncated, synthesizeEthernet });
    try {
      for await (const { batch, selected } of selectedBatches(capture, this.#filter)) {
        const numbers = Uint32Array.from(
          capture.interfaces.map((each) =>
            native(() => this.#encoder.describe(each.name, each.linkType, each.snaplen || capturedLengthMax)),
          ),
        );
        const piece = native(() => this.#encoder.append(batch, numbers, selected, this.#left));
        this.#left -= piece.frames;
        await this.#gather(piece, sink, false);
        if (signal?.aborted) this.#report.ended = "aborted";
        if (this.#left <= 0 || this.#report.ended !== "done") break;
      }
    } finally {
      this.#report.notes.push(...capture.notes);
      this.#report.warnings.push(...capture.warnings);
      await capture.close();
    }
  }

  /** Collects small pieces; writes them when they are enough, or `now`. */
  async #gather(piece: EncodedPiece, sink: Sink, now: boolean): Promise<void> {
    if (piece.bytes.length > 0) this.#gathered.push(piece.bytes);
    this.#gatheredBytes += piece.bytes.length;
    this.#gatheredFrames += piece.frames;
    if (!now && this.#gatheredBytes < gatherBytes) return;
    const bytes = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered, this.#gatheredBytes);
    const frames = this.#gatheredFrames;
    this.#gathered = [];
    this.#gatheredBytes = this.#gatheredFrames = 0;
    await this.#write(sink, bytes, frames);
  }

  async #write(sink: Sink, bytes: Uint8Array, frames: number): Promise<void> {
    if (bytes.length === 0) return;
    if (!(await sink.write(bytes, frames))) {
      this.#report.ended = "closed";
      return;
    }
    this.#report.frames += frames;
    this.#report.bytes += bytes.length;
    this.#options.onProgress?.(this.#report);
  }
}
