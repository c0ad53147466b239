// From stores and captures to capture files.
import type { KeyObject } from "node:crypto";
import { statSync } from "node:fs";
import type { Writable } from "node:stream";
import { asPasteError, native } from "../native/engine.js";
import { type CaptureEncoder, createCaptureEncoder, type SourcePiece } from "../native/export.js";
import type { CaptureFormat } from "./capture/capture.js";
import { capturedLengthMax } from "./capture/capture.js";
import { PasteError } from "./errors.js";
import { type Compression, compressionOf, compressor, piecesCompressing } from "./export/compress.js";
import type { SplitOptions } from "./export/file-names.js";
import type { WrittenManifest } from "./export/manifest-writer.js";
import { Output, type WrittenFile } from "./export/output.js";
import { type SanitizeOptions, sanitizeSettings } from "./export/sanitize.js";
import { Sources } from "./export/sources.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { FilterCheck } from "./filter/filter-check.js";
import { answerableKinds, checkSources } from "./query-source.js";

export interface ExportOptions {
  /** Stores and captures; "-" is a capture on standard input. */
  sources: readonly string[];
  /** Several sources: "time" (default) merges them, each in its own order; "append": one behind the other, in the order given. */
  order?: "time" | "append";
  /** A file, "-" for standard output, or a stream. */
  output: string | Writable;
  /** Default pcapng. */
  format?: CaptureFormat;
  /** Several files instead of one. */
  split?: SplitOptions;
  /** Default: by the output's name, .gz or .zst. */
  compression?: Compression;
  /** In the language of pcap-filter(7) and the words of FILTER.md; absent or empty: every frame. */
  filter?: string;
  /** Frames to write at most. */
  limit?: number;
  /** Bytes to write of each frame at most. */
  snaplen?: number;
  /** Of stores: first and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** pcapng without comments that say rule, way and outcome. */
  plain?: boolean;
  /** Make the frames fit to be shared. */
  sanitize?: SanitizeOptions;
  /** Write FILE.manifest.json and FILE.manifest, by which `verifyManifest` proves later that nothing was changed. */
  manifest?: { signWith?: KeyObject };
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
  /** Bytes of all files, as written. */
  bytes: number;
  /** The files that were written and are there now. */
  files: WrittenFile[];
  /** Files, and frames in them, that a ring wrote and gave up for newer ones. */
  removed: { files: number; frames: number };
  /** "done": all there was, or the limit; "files": the number of files wanted is full; "aborted"; "closed": nobody reads the output any more. */
  ended: "done" | "files" | "aborted" | "closed";
  /** Of stores: frames that a rule selected and the log could not take, in the range that was read. */
  lost: number;
  /** Of stores: records whose checksum is wrong, and blocks that were overwritten while they were read. */
  corrupt: number;
  overtaken: number;
  /** What was done to frames of captures, and what is odd about them. */
  notes: string[];
  warnings: string[];
  manifest?: WrittenManifest;
}

const application = "paste-switch";
/** Bytes encoded at once where they are not written as they are encoded. */
const pieceBytes = 1 << 20;
/** Pieces in use at once: one is encoded, one is written. */
const piecesWriting = 3;

/**
 * Writes the frames of all sources. A store is read up to what is durable when the export begins, in sequence order.
 * Throws USAGE, STORE or RESOURCE; FILTER, also when nothing was selected and the filter names a port or rule that no record has; CAPTURE for a
 * damaged capture, when the whole frames before the damage have been written and the file is finished.
 */
export async function exportFrames(options: ExportOptions): Promise<ExportReport> {
  return new Export(options).run();
}

class Export {
  readonly #options: ExportOptions;
  readonly #encoder: CaptureEncoder;
  readonly #output: Output;
  readonly #filter: CompiledFilter | undefined;
  readonly #check: FilterCheck;
  readonly #compression: Compression | undefined;
  /** What times in the filter count from. */
  readonly #nowNs = BigInt(Date.now()) * 1_000_000n;
  readonly #report: ExportReport;
  #left: number;
  /** The encoder has ended the file under way, and there is to be no other. */
  #whole = false;
  /** A damaged capture: what was whole is written first. */
  #damage: PasteError | undefined;

  constructor(options: ExportOptions) {
    const { format = "pcapng", limit, output, snaplen, sources, split } = options;
    checkSources(sources);
    for (const [name, value] of Object.entries({ limit, snaplen }))
      if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
        throw new PasteError("USAGE", `${name} must be an integer above 0, it is ${value}`);
    this.#options = options;
    const compression = options.compression ?? (typeof output === "string" ? compressionOf(output) : undefined);
    if (compression) compressor(compression); // refused before anything is opened
    this.#compression = compression;
    const manifest = options.manifest !== undefined;
    if (manifest) checkManifestOutput(output);
    this.#output = new Output({ output, sources, split, compression, hash: manifest, signal: options.signal });
    this.#filter = options.filter ? compileFilter(options.filter, { record: "store", nowNs: this.#nowNs }) : undefined;
    this.#check = new FilterCheck(this.#filter);
    this.#encoder = native(() =>
      createCaptureEncoder(format, application, Math.min(snaplen ?? capturedLengthMax, capturedLengthMax), {
        ...(split?.bytes !== undefined && { bytesOver: split.bytes }),
        ...(split?.frames !== undefined && { frames: split.frames }),
        ...(split?.seconds !== undefined && { durationNs: BigInt(split.seconds) * 1_000_000_000n }),
        byPeriod: split?.names !== "dumpcap",
        byTime: options.order !== "append",
        chain: manifest,
        plain: options.plain ?? false,
        ...(options.sanitize && { sanitize: sanitizeSettings(options.sanitize) }),
        // A stream's owner may keep what it was given.
        slots: typeof output !== "string" ? 0 : piecesWriting + (compression ? piecesCompressing : 0),
      }),
    );
    this.#left = limit ?? Number.POSITIVE_INFINITY;
    const { files, removed } = this.#output;
    this.#report = {
      ...{ frames: 0, bytes: 0, files, removed, ended: "done", lost: 0, corrupt: 0, overtaken: 0 },
      ...{ notes: [], warnings: [] },
    };
  }

  async run(): Promise<ExportReport> {
    const { allowTruncated = false, fromSequence, synthesizeEthernet = false, toSequence } = this.#options;
    const kinds = answerableKinds(this.#options, this.#filter);
    const range = {
      ...(fromSequence !== undefined && { fromSequence }),
      ...(toSequence !== undefined && { toSequence }),
    };
    const capture = { allowTruncated, synthesizeEthernet, signal: this.#options.signal };
    const anonymous = this.#options.sanitize !== undefined && !this.#options.sanitize.keepNames;
    const origins = this.#options.manifest !== undefined;
    const ranges = this.#options.sources.map(() => range);
    const sources = new Sources({ kinds, filter: this.#filter, ranges, origins, capture, anonymous });
    await this.#output.open();
    try {
      await sources.open(this.#options.sources, this.#encoder).catch((error) => this.#keepDamage(error));
      if (!this.#damage) await this.#copy(sources);
      if (!this.#whole) await this.#write(native(() => this.#encoder.finish()));
      if (!(await this.#output.end())) this.#report.ended = this.#closed();
      this.#report.bytes = this.#output.bytes;
      const warnings = [...sources.warnings, ...this.#output.warnings];
      Object.assign(this.#report, sources.counters(this.#check), { notes: sources.notes, warnings });
      await this.#writeManifest(sources);
      if (this.#damage) throw this.#damage;
      this.#checkFilter();
    } finally {
      await sources.close();
      await this.#output.close();
    }
    return this.#report;
  }

  async #writeManifest({ origins }: Sources): Promise<void> {
    const { format = "pcapng", manifest, output } = this.#options;
    if (!manifest || this.#report.ended === "closed") return;
    const chain = native(() => this.#encoder.chain());
    const { writeManifest } = await import("./export/manifest-writer.js");
    this.#report.manifest = await writeManifest(output as string, {
      options: this.#options,
      report: this.#report,
      format,
      compression: this.#compression,
      nowNs: this.#nowNs,
      origins,
      chain,
      signWith: manifest.signWith,
    });
  }

  #keepDamage(error: unknown): void {
    const problem = asPasteError(error);
    if (!(problem instanceof PasteError && problem.code === "CAPTURE")) throw problem;
    this.#damage = problem;
  }

  async #copy(sources: Sources): Promise<void> {
    const { signal } = this.#options;
    let next = this.#next();
    for (;;) {
      const piece = await next;
      this.#left -= piece.frames;
      this.#report.lost = piece.lost;
      if (piece.next === "hungry")
        await sources.feed(this.#encoder, piece.hungry).catch((error) => this.#keepDamage(error));
      const goesOn = () => piece.more && this.#left > 0 && !signal?.aborted && !this.#damage;
      // The next piece is encoded while this one is written, unless that is one.
      const ahead = !this.#output.fillable && goesOn();
      if (ahead) next = this.#next();
      const [written] = await Promise.allSettled(
        ahead ? [this.#take(piece, () => true), next] : [this.#take(piece, goesOn)],
      );
      if (written.status === "rejected") throw written.reason;
      if (this.#report.ended !== "done") return;
      if (ahead) continue; // also when it was aborted meanwhile: what has been encoded is written
      if (!goesOn()) break;
      next = this.#next();
    }
    if (signal?.aborted) this.#report.ended = "aborted";
  }

  #next(): Promise<SourcePiece> {
    if (this.#output.fillable) return this.#output.fill(this.#encoder, this.#left);
    return this.#encoder.next(pieceBytes, this.#left);
  }

  /** `goesOn`: more frames will be written. Without any, no file is begun for them: a ring would give up one for it. */
  async #take(piece: SourcePiece, goesOn: () => boolean): Promise<void> {
    await this.#write(piece, piece.firstNs);
    if (piece.next !== "split" || this.#report.ended !== "done") return;
    this.#whole = !goesOn();
    if (this.#whole || (await this.#output.rotate(piece.nextNs!, piece.byTime))) return;
    this.#whole = true;
    this.#report.ended = "files";
  }

  async #write({ bytes, frames }: { bytes: Uint8Array; frames: number }, firstNs?: bigint): Promise<void> {
    if ((bytes.length === 0 && frames === 0) || this.#report.ended === "closed") return;
    if (!(await this.#output.write(bytes, frames, firstNs))) {
      this.#report.ended = this.#closed();
      return;
    }
    this.#report.frames += frames;
    this.#report.bytes = this.#output.bytes;
    this.#options.onProgress?.(this.#report);
  }

  /** Nobody reads: any more, or by the time that this was ended. */
  #closed(): "aborted" | "closed" {
    return this.#options.signal?.aborted ? "aborted" : "closed";
  }

  #checkFilter(): void {
    if (this.#left <= 0 || this.#report.ended !== "done") return;
    this.#report.warnings.push(...this.#check.remarks(this.#report.frames));
  }
}

/** Throws USAGE where no manifest can stand beside the output. */
function checkManifestOutput(output: ExportOptions["output"]): void {
  const there = typeof output === "string" && output !== "-";
  if (!there || statSync(output, { throwIfNoEntry: false })?.isFile() === false)
    throw new PasteError("USAGE", "a manifest stands beside a file: give -w FILE, no pipe, device or standard output");
}
