// A store as programs read it.
import { asPasteError, native } from "../native/engine.js";
import {
  type NativeReadOptions,
  type NativeStoreReader,
  openNativeReader,
  type ReadCounters,
  type StoreInfo,
  type StoreProblem,
} from "../native/reader.js";
import { PasteError } from "./errors.js";
import type { CompiledFilter } from "./filter/compile.js";
import { timeEnd } from "./filter/record-words.js";
import { Pause } from "./follow.js";
import { FrameBatch, NameTable } from "./frame-batch.js";
import { storeAddonChecked } from "./store.js";

export type { PortDescription, ReadCounters, RuleDescription, StoreInfo, StoreProblem } from "../native/reader.js";

export interface FrameOptions {
  /** In the language of pcap-filter(7) and the words of FILTER.md; absent or empty: every frame. */
  filter?: string | CompiledFilter;
  /** Instead of it: a program as compiled by `compileFilter` (its `bytes`), without words about records. */
  program?: Uint8Array;
  /** First and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** Bytes to give of each frame at most. */
  snaplen?: number;
  /** Check the bytes' checksums too (default true); records' headers are always checked. */
  verifyPayload?: boolean;
  /** Size of a batch at most, in frames and (about) in bytes. */
  batchFrames?: number;
  batchBytes?: number;
  /**
   * A batch is valid until the next one is asked for, then its memory is used again (default false: it stays as it is however
   * long it is kept). Several times faster where most frames are wanted.
   */
  reuse?: boolean;
  /** Newest first; not when following. */
  reverse?: boolean;
  /** Ask the store's index where it can answer (default true). The frames are the same either way. */
  index?: boolean;
  /** Ends the iteration, without an error. */
  signal?: AbortSignal;
}

/** With a filter that was compiled for records. */
export type CompiledOptions = Omit<FrameOptions, "filter"> & { filter?: CompiledFilter };

/** Frames and bytes of a batch at most unless told otherwise. */
const batchFramesDefault = 8192;
const batchBytesDefault = 1 << 20;

/** Of a reading that has not begun. */
export const noCounters: Readonly<ReadCounters> = {
  records: 0,
  frames: 0,
  matched: 0,
  overtaken: 0,
  corrupt: 0,
  bytesScanned: 0,
  blocksSkipped: 0,
  blocksScanned: 0,
  blocksIndexed: 0,
  recordsJumped: 0,
  runsRead: 0,
  runsDamaged: 0,
  indexBytes: 0,
};

/** Whether a store can be asked this from its oldest frame on only: later fragments are known by earlier ones. */
export function needsForward(filter: CompiledFilter | undefined): boolean {
  return filter?.tests.some(({ of }) => of === "port") ?? false;
}

/** Options for the addon, checked. */
export function nativeOptions(options: CompiledOptions): NativeReadOptions {
  const { filter: compiled } = options;
  if (compiled && options.program) throw new PasteError("USAGE", "filter and program exclude each other: give one");
  const checked: NativeReadOptions = { verifyPayload: options.verifyPayload ?? true };
  const { fromSequence, toSequence, snaplen } = options;
  for (const [name, value] of Object.entries({ fromSequence, toSequence }))
    if (value !== undefined && (typeof value !== "bigint" || value < 0n || value >= 1n << 64n))
      throw new PasteError("USAGE", `${name} must be a bigint from 0 to 2^64 - 1, it is ${value}`);
  if (snaplen !== undefined && !(Number.isInteger(snaplen) && snaplen > 0))
    throw new PasteError("USAGE", `snaplen must be an integer above 0, it is ${snaplen}`);
  if (fromSequence !== undefined) checked.fromSequence = fromSequence;
  if (toSequence !== undefined) checked.toSequence = toSequence;
  if (snaplen !== undefined) checked.snaplen = Math.min(snaplen, 0xffffffff);
  if (options.reverse) checked.reverse = true;
  if (options.program) checked.program = options.program;
  if (compiled) {
    if (options.reverse && needsForward(compiled))
      throw new PasteError(
        "USAGE",
        '"any port" cannot be asked newest first: later fragments are known by earlier ones: read forwards and keep the last ones, or write port',
      );
    const { fromNs, toNs } = compiled.range;
    Object.assign(checked, { program: compiled.bytes, names: compiled.names, tests: compiled.tests, fromNs });
    if (toNs < timeEnd) checked.toNs = toNs;
    if (compiled.plan && options.index !== false) checked.plan = compiled.plan;
  }
  return checked;
}

/**
 * A store open for reading, also while a daemon writes it or after its writer died. Nothing is written, locked or repaired.
 * Each iteration is a reading of its own; close() ends those under way. What one reading has made present of the file the next one
 * finds so: several questions are asked faster of one StoreReader than of one each.
 */
export class StoreReader {
  readonly path: string;
  readonly #open = new Set<NativeStoreReader>();
  #idle: NativeStoreReader | undefined;
  #closed = false;
  #last: ReadCounters = noCounters;

  constructor(path: string) {
    this.path = path;
    storeAddonChecked(); // its layout is the one read here
    this.#idle = native(() => openNativeReader(path)); // so that a wrong path is refused here
  }

  /** Counters of the reading that ended last (or is under way). */
  get counters(): ReadCounters {
    return this.#last;
  }

  /** What the store holds and stands on; quick, since sealed blocks are read from the directory. */
  async info(): Promise<StoreInfo> {
    return this.#alone((reader) => reader.info());
  }

  /** Checks every record of every block. `problems` holds at most `limit`; `counters.corrupt` counts all of them. */
  async verify(limit = 100): Promise<{ problems: StoreProblem[]; counters: ReadCounters }> {
    return this.#alone((reader) => reader.verify(limit));
  }

  /** Frames from the oldest to the newest that is durable now, in sequence order. */
  frames(options: FrameOptions = {}): AsyncGenerator<FrameBatch, void, void> {
    return this.#read(options, false);
  }

  /**
   * The same, and then for ever those that become durable, each within 10 ms of that; ends when `signal` is aborted. Give
   * `fromSequence: (await info()).nextSequence` to see only what comes.
   */
  follow(options: FrameOptions = {}): AsyncGenerator<FrameBatch, void, void> {
    return this.#read(options, true);
  }

  close(): void {
    this.#closed = true;
    this.#idle?.close();
    this.#idle = undefined;
    for (const reader of this.#open) reader.close();
  }

  /** A native reader serves one reading at a time. */
  #take(): NativeStoreReader {
    const reader = this.#idle ?? native(() => openNativeReader(this.path));
    this.#idle = undefined;
    return reader;
  }

  /** Kept for the next reading, unless it failed or there is one already. */
  #put(reader: NativeStoreReader, failed: boolean): void {
    if (failed || this.#closed || this.#idle) reader.close();
    else this.#idle = reader;
  }

  async #alone<T>(call: (reader: NativeStoreReader) => Promise<T>): Promise<T> {
    const reader = this.#take();
    let failed = true;
    try {
      const result = await call(reader);
      failed = false;
      return result;
    } catch (error) {
      throw asPasteError(error);
    } finally {
      this.#put(reader, failed);
    }
  }

  async *#read(options: FrameOptions, follow: boolean): AsyncGenerator<FrameBatch, void, void> {
    if (this.#closed) throw new PasteError("USAGE", `${this.path}: the reader is closed`);
    if (follow && options.reverse)
      throw new PasteError("USAGE", "what is followed has no newest frame to start from: leave out reverse");
    const reader = this.#take();
    let failed = false;
    this.#open.add(reader);
    const names = new NameTable(reader);
    const frames = options.batchFrames ?? batchFramesDefault;
    const bytes = options.batchBytes ?? batchBytesDefault;
    const pause = new Pause(options.signal);
    try {
      const compiled = await compiledOptions(options);
      native(() => reader.start({ ...nativeOptions(compiled), follow }));
      while (!options.signal?.aborted && !this.#closed) {
        const batch = follow ? native(() => reader.poll(frames, bytes)) : await reader.next(frames, bytes);
        if (batch && batch.count > 0) {
          names.update(batch.namesVersion);
          this.#last = reader.counters();
          yield new FrameBatch(batch, names);
          if (options.reuse && !this.#closed) reader.recycle(batch);
          pause.reset();
        }
        // A store that is never read up must not keep signals and timers of this thread waiting.
        if (follow) await (batch && (batch.count > 0 || batch.more) ? pause.turn() : pause.wait());
        if (!follow && batch && !batch.more) break;
      }
      if (!this.#closed) this.#last = reader.counters();
    } catch (error) {
      failed = true;
      if (!this.#closed) throw asPasteError(error);
    } finally {
      this.#open.delete(reader);
      this.#put(reader, failed);
    }
  }
}

/** The compiler is loaded where there is something to compile: most who open a store have no filter. */
async function compiledOptions({ filter, ...options }: FrameOptions): Promise<CompiledOptions> {
  if (!filter) return options;
  if (typeof filter !== "string") return { ...options, filter };
  const { compileFilter } = await import("./filter/compile.js");
  return { ...options, filter: compileFilter(filter, { record: "store" }) };
}

/** Opens a store. Throws STORE where it is none, PRIVILEGE where it may not be read. */
export function openStore(path: string): StoreReader {
  return new StoreReader(path);
}
