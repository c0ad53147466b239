// The frames that a query selects from stores and captures, a piece at a time, with what was met on the way.
import { asPasteError, native } from "../native/engine.js";
import {
  type NativeReadOptions,
  type NativeStoreReader,
  openNativeReader,
  type ReadCounters,
} from "../native/reader.js";
import type { CaptureBatch } from "./capture/capture.js";
import type { CaptureReader } from "./capture/open-capture.js";
import { PasteError } from "./errors.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { explainPlan } from "./filter/explain.js";
import { FilterCheck } from "./filter/filter-check.js";
import { FrameBatch, NameTable } from "./frame-batch.js";
import { lastPackets, mergedPieces, type PacketPieces } from "./packet-pieces.js";
import { type PrintablePacket, packetsOf } from "./print/packet.js";
import {
  answerableKinds,
  checkSources,
  type SourceKind,
  selectedBatches,
  sourceLabels,
  sourceName,
} from "./query-source.js";
import { nativeOptions, needsForward, noCounters } from "./reader.js";
import { storeAddonChecked } from "./store.js";

export interface QueryOptions {
  /** Stores and captures: several are merged by time, each in its own order. "-" is a capture on standard input. */
  sources: readonly string[];
  /** In the language of pcap-filter(7) and the words of FILTER.md; absent or empty: every frame. */
  filter?: string;
  /** Frames at most. */
  limit?: number;
  /** Bytes to give of each frame at most. */
  snaplen?: number;
  /** Of stores: first and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** Newest first. Captures, and stores asked for `any port`, are read forwards for that: `limit` is needed then, at most `lastPacketsMax`. */
  reverse?: boolean;
  /** Ask the stores' indexes where they can answer (default true). */
  index?: boolean;
  /** Of captures: see CaptureOptions. */
  synthesizeEthernet?: boolean;
  allowTruncated?: boolean;
  /** Ends it early, without an error. */
  signal?: AbortSignal;
}

export interface QueryReport {
  frames: number;
  /** "done": all there was; "limit": as many as were asked for; "closed": nobody reads the output any more. */
  ended: "done" | "limit" | "aborted" | "closed";
  /** Of stores, summed up: what was touched, and what is missing (`corrupt`, `overtaken`). */
  counters: ReadCounters;
  /** What was done to frames of captures, and what is odd about sources and names. */
  notes: string[];
  warnings: string[];
  elapsedMs: number;
  /** How many there are, how many of them are captures, and their frames that were looked at. */
  sources: number;
  captures: number;
  captureFrames: number;
  /** How the filter was to be answered (explainPlan). */
  plan: string[];
}

/** The first piece is small, so that the first packet does not wait for thousands behind it. */
const firstPieceFrames = 64;
/** Of all sources together; of one never less than the first piece and `pieceBytesMin`. */
const pieceFrames = 8192;
const pieceBytes = 1 << 20;
const pieceBytesMin = 64 << 10;

/** Packets that are kept in memory where reading backwards is not possible. */
const lastPacketsMax = 65536;

/** One reading over all sources. Its frames are taken once, in whichever form: as packets, or by a native aggregate. */
export class QueryReading {
  readonly options: QueryOptions;
  readonly filter: CompiledFilter | undefined;
  readonly report: QueryReport;
  readonly #kinds: ReadonlyMap<string, SourceKind>;
  readonly #check: FilterCheck;
  readonly #begunMs = performance.now();

  private constructor(
    options: QueryOptions,
    filter: CompiledFilter | undefined,
    kinds: ReadonlyMap<string, SourceKind>,
  ) {
    this.options = options;
    this.filter = filter;
    this.#kinds = kinds;
    this.#check = new FilterCheck(filter);
    const counters = { ...noCounters };
    this.report = {
      ...{ frames: 0, ended: "done", counters, notes: [], warnings: [], elapsedMs: 0, plan: this.#plan() },
      sources: kinds.size,
      captures: [...kinds.values()].filter((kind) => kind === "capture").length,
      captureFrames: 0,
    };
  }

  /** Throws USAGE, FILTER, CAPTURE or PRIVILEGE for what can be known before anything is read. */
  static async open(options: QueryOptions): Promise<QueryReading> {
    const { sources, limit, snaplen } = options;
    checkSources(sources);
    for (const [name, value] of Object.entries({ limit, snaplen }))
      if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
        throw new PasteError("USAGE", `${name} must be an integer above 0, it is ${value}`);
    const filter = options.filter ? compileFilter(options.filter, { record: "store" }) : undefined;
    const kinds = answerableKinds(options, filter);
    if (options.reverse && (limit ?? Number.POSITIVE_INFINITY) > lastPacketsMax) {
      const capture = [...kinds].find(([, kind]) => kind === "capture")?.[0];
      const what = capture === undefined ? '"any port"' : sourceName(capture);
      if (capture !== undefined || needsForward(filter))
        throw new PasteError(
          "USAGE",
          `${what} can be read forwards only, newest first shows the last ones that were kept meanwhile: say how many with -c, ${lastPacketsMax} at most`,
        );
    }
    storeAddonChecked();
    return new QueryReading(options, filter, kinds);
  }

  #plan(): string[] {
    if (!this.filter) return ["no filter: every frame is read"];
    if (this.options.index === false) return ["index: not asked, as was wished"];
    return [...this.#kinds.values()].includes("store") ? explainPlan(this.filter) : [];
  }

  sources(): { path: string; kind: SourceKind }[] {
    return this.options.sources.map((path) => ({ path, kind: this.#kinds.get(path)! }));
  }

  get left(): number {
    return (this.options.limit ?? Number.POSITIVE_INFINITY) - this.report.frames;
  }

  /** Packets in pieces; those not taken because of the limit do not come. `report.frames` counts those that came. */
  async *packets(): PacketPieces {
    const labels = sourceLabels(this.options.sources);
    const { limit = 0, reverse = false } = this.options;
    const sources = this.sources().map(({ path, kind }, i) => {
      const store = kind === "store";
      const backwards = reverse && store && !needsForward(this.filter);
      // Of what is read forwards for its last packets every one is met.
      const left = () => (reverse && !backwards ? Number.POSITIVE_INFINITY : this.left);
      const pieces = store
        ? this.#storePackets(path, labels[i]!, backwards, left)
        : this.#capturePackets(path, labels[i]!, left);
      return reverse && !backwards ? lastPackets(pieces, limit) : pieces;
    });
    const pieces = sources.length === 1 ? sources[0]! : mergedPieces(sources, reverse);
    if (!this.aborted())
      for await (const piece of pieces) {
        if (reverse && this.aborted()) break; // those that were kept so far are not the last ones
        const taken = piece.length > this.left ? piece.slice(0, this.left) : piece;
        this.report.frames += taken.length;
        if (taken.length > 0) yield taken;
        if (this.left <= 0 || this.aborted()) break;
      }
    this.finish();
  }

  /** Completes the report. Throws FILTER when nothing was selected and the filter names a port or rule that no record has. */
  finish(): void {
    const { report } = this;
    report.elapsedMs = performance.now() - this.#begunMs;
    if (report.ended === "done" && this.aborted()) report.ended = "aborted";
    if (report.ended === "done" && this.left <= 0) report.ended = "limit";
    if (report.ended !== "done") return;
    report.warnings.push(...this.#check.remarks(report.frames));
  }

  aborted(): boolean {
    return this.options.signal?.aborted ?? false;
  }

  /** A store's reader that has begun, given to `use`; its counters and names are taken over afterwards. */
  async store<T>(path: string, use: (reader: NativeStoreReader) => Promise<T>): Promise<T> {
    const reader = native(() => openNativeReader(path));
    try {
      native(() => reader.start(this.#readOptions()));
      return await use(reader);
    } catch (error) {
      throw asPasteError(error);
    } finally {
      this.#closeStore(reader);
    }
  }

  /** A capture's batches with those selected of each; notes and warnings are taken over at its end. */
  async *capture(
    path: string,
  ): AsyncGenerator<{ batch: CaptureBatch; selected: Uint8Array | null; capture: CaptureReader }, void, void> {
    const { allowTruncated = false, synthesizeEthernet = false, signal } = this.options;
    const { openCapture } = await import("./capture/open-capture.js");
    const capture = await openCapture(path, { allowTruncated, synthesizeEthernet, signal });
    try {
      for await (const each of selectedBatches(capture, this.filter)) {
        this.report.captureFrames += each.batch.count;
        yield { ...each, capture };
      }
    } finally {
      this.report.notes.push(...capture.notes);
      this.report.warnings.push(...capture.warnings);
      await capture.close();
    }
  }

  #readOptions(reverse = false): NativeReadOptions {
    const { fromSequence, toSequence, snaplen, index } = this.options;
    return nativeOptions({
      ...(this.filter && { filter: this.filter }),
      ...(fromSequence !== undefined && { fromSequence }),
      ...(toSequence !== undefined && { toSequence }),
      ...(snaplen !== undefined && { snaplen }),
      ...(reverse && { reverse }),
      ...(index !== undefined && { index }),
    });
  }

  #closeStore(reader: NativeStoreReader): void {
    try {
      const met = reader.counters();
      this.#check.saw(reader.names(), met);
      const { counters } = this.report;
      for (const name of Object.keys(counters) as (keyof ReadCounters)[]) counters[name] += met[name] ?? 0;
    } finally {
      reader.close();
    }
  }

  async *#storePackets(path: string, source: string, reverse: boolean, left: () => number): PacketPieces {
    const share = 1 / this.options.sources.length;
    const framesMax = Math.max(firstPieceFrames, Math.floor(pieceFrames * share));
    const bytesMax = Math.max(pieceBytesMin, Math.floor(pieceBytes * share));
    const reader = native(() => openNativeReader(path));
    const names = new NameTable(reader);
    let size = firstPieceFrames;
    try {
      native(() => reader.start(this.#readOptions(reverse)));
      let next = reader.next(Math.min(size, left()), bytesMax);
      for (;;) {
        const batch = await next;
        names.update(batch.namesVersion);
        const goOn = batch.more && batch.count < left() && !this.aborted();
        const piece = batch.count > 0 ? [...packetsOf(new FrameBatch(batch, names), source)] : [];
        // The next piece is read while this one is printed.
        if (goOn) {
          size = Math.min(framesMax, size * 4);
          next = reader.next(Math.min(size, left() - batch.count), bytesMax);
          next.catch(() => {});
        }
        try {
          if (piece.length > 0) yield piece;
        } finally {
          if (goOn) await next.catch(() => {}); // until then the reader is busy and cannot be asked anything
        }
        if (!goOn) break;
      }
    } catch (error) {
      throw asPasteError(error);
    } finally {
      this.#closeStore(reader);
    }
  }

  async *#capturePackets(path: string, source: string, left: () => number): PacketPieces {
    for await (const { batch, selected, capture } of this.capture(path)) {
      const snaplen = this.options.snaplen ?? Number.POSITIVE_INFINITY;
      const piece: PrintablePacket[] = [];
      for (let i = 0; i < batch.count && piece.length < left(); i++) {
        if (selected && selected[i] === 0) continue;
        const start = batch.offsets[i]!;
        const name = capture.interfaces[batch.interfaces[i]!]?.name ?? "";
        piece.push({
          bytes: batch.data.subarray(start, start + Math.min(batch.capturedLengths[i]!, snaplen)),
          timeNs: batch.timesNs[i]!,
          wireLength: batch.wireLengths[i]!,
          ...(source !== "" && { source }),
          ...(name !== "" && { inPort: name }),
        });
      }
      yield piece;
    }
  }
}
