// A store as programs read it: batches of frames with cheap accessors, no object per frame unless asked for.
import { asPasteError, native, outcomes } from "../native/engine.js";
import {
  type NativeBatch,
  type NativeReadOptions,
  type NativeStoreReader,
  openNativeReader,
  type PortDescription,
  type ReadCounters,
  type RuleDescription,
  type StoreInfo,
  type StoreProblem,
} from "../native/reader.js";
import { PasteError } from "./errors.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { timeEnd } from "./filter/record-words.js";
import { Pause } from "./follow.js";
import { structs } from "./layout.js";
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

/** What ids mean, shared by all batches of one reading. */
export interface StoreNames {
  /** Such as "vale0:a"; "port 7" while nothing was said about it. */
  port(id: number): string;
  rule(id: number): string;
  readonly ports: readonly PortDescription[];
  readonly rules: readonly RuleDescription[];
}

/** One frame as an object, for who prefers that to columns. */
export interface FrameView {
  sequence: bigint;
  timeNs: bigint;
  ingress: string;
  egress: string;
  wireLength: number;
  outcome: string;
  bytes: Uint8Array;
}

const recordFields = structs.RecordHeader.fields;
const headerWords = {
  sequence: recordFields.sequence >> 3,
  time: recordFields.time_ns >> 3,
  ingress: recordFields.ingress >> 2,
  egress: recordFields.egress >> 2,
  rule: recordFields.rule >> 2,
  wireLength: recordFields.wire_length >> 2,
  capturedLength: recordFields.payload_length >> 2,
  flowHash: recordFields.flow_hash >> 2,
} as const;
const flagStrict = 2;
const flagFlooded = 4;
const flagVlan = 8;

/**
 * Frames in sequence order; `i` runs from 0 to `count - 1`. The batch owns its memory: it stays as it is however long it is
 * kept, unless FrameOptions.reuse was asked for.
 */
export class FrameBatch {
  readonly count: number;
  readonly names: StoreNames;
  readonly #index: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;
  readonly #shorts: Uint16Array;

  constructor(batch: NativeBatch, names: StoreNames) {
    this.count = batch.count;
    this.names = names;
    this.#index = batch.index;
    this.#bytes = new Uint8Array(batch.bytes);
    const whole = batch.bytes.byteLength >> 3;
    this.#words = new BigUint64Array(batch.bytes, 0, whole);
    this.#halves = new Uint32Array(batch.bytes, 0, whole * 2);
    this.#shorts = new Uint16Array(batch.bytes, 0, whole * 4);
  }

  #header(i: number): number {
    const at = this.#index[3 * i];
    if (at === undefined) throw new RangeError(`frame ${i} of a batch of ${this.count}`);
    return at;
  }

  /** The store's number of this frame: unique, increasing. */
  sequence(i: number): bigint {
    return this.#words[(this.#header(i) >> 3) + headerWords.sequence]!;
  }
  /** When it was received: wall clock, nanoseconds since 1970. */
  timeNs(i: number): bigint {
    return this.#words[(this.#header(i) >> 3) + headerWords.time]!;
  }
  /** Id of the port it came from; 0 = none. */
  ingressId(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.ingress]!;
  }
  ingress(i: number): string {
    return this.names.port(this.ingressId(i));
  }
  /** Id of the one port it went to; 0 = none, or flooded. */
  egressId(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.egress]!;
  }
  /** Name of the one port it went to; "" = none, "*" = flooded. */
  egress(i: number): string {
    const id = this.egressId(i);
    return id !== 0 ? this.names.port(id) : this.flooded(i) ? "*" : "";
  }
  ruleId(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.rule]!;
  }
  rule(i: number): string {
    const id = this.ruleId(i);
    return id === 0 ? "" : this.names.rule(id);
  }
  wireLength(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.wireLength]!;
  }
  /** Bytes that the store keeps of it; `bytes(i)` may be shorter (snaplen). */
  capturedLength(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.capturedLength]!;
  }
  flowHash(i: number): number {
    return this.#halves[(this.#header(i) >> 2) + headerWords.flowHash]!;
  }
  /** The outermost VLAN tag's control information; undefined when it had none. */
  vlanTci(i: number): number | undefined {
    const at = this.#header(i);
    return this.#flags(at) & flagVlan ? this.#shorts[(at + recordFields.vlan_tci) >> 1] : undefined;
  }
  copiesReserved(i: number): number {
    return this.#shorts[(this.#header(i) + recordFields.copies_reserved) >> 1]!;
  }
  copiesRefused(i: number): number {
    return this.#shorts[(this.#header(i) + recordFields.copies_refused) >> 1]!;
  }
  strict(i: number): boolean {
    return (this.#flags(this.#header(i)) & flagStrict) !== 0;
  }
  flooded(i: number): boolean {
    return (this.#flags(this.#header(i)) & flagFlooded) !== 0;
  }
  /** "forwarded", or the name of the reason for which it was dropped. */
  outcome(i: number): string {
    const outcome = this.#bytes[this.#header(i) + recordFields.outcome]!;
    return outcome === 0 ? "forwarded" : (dropName(outcome - 1) ?? `reason ${outcome - 1}`);
  }
  /** The frame's bytes: a view into the batch, not a copy. */
  bytes(i: number): Uint8Array {
    this.#header(i);
    const start = this.#index[3 * i + 1]!;
    return this.#bytes.subarray(start, start + this.#index[3 * i + 2]!);
  }
  frame(i: number): FrameView {
    return {
      sequence: this.sequence(i),
      timeNs: this.timeNs(i),
      ingress: this.ingress(i),
      egress: this.egress(i),
      wireLength: this.wireLength(i),
      outcome: this.outcome(i),
      bytes: this.bytes(i),
    };
  }
  *[Symbol.iterator](): Generator<FrameView, void, void> {
    for (let i = 0; i < this.count; i++) yield this.frame(i);
  }

  #flags(header: number): number {
    return this.#bytes[header + recordFields.flags]!;
  }
}

/** Names by id, fetched again when the reader has learned more. */
export class NameTable implements StoreNames {
  readonly #reader: NativeStoreReader;
  #version = -1;
  #ports = new Map<number, PortDescription>();
  #rules = new Map<number, RuleDescription>();

  constructor(reader: NativeStoreReader) {
    this.#reader = reader;
  }
  /** While no call of the reader is under way. */
  update(version: number): void {
    if (version === this.#version) return;
    this.#version = version;
    const names = this.#reader.names();
    this.#ports = new Map(names.ports.map((each) => [each.id, each]));
    this.#rules = new Map(names.rules.map((each) => [each.id, each]));
  }
  port(id: number): string {
    return id === 0 ? "" : (this.#ports.get(id)?.name ?? `port ${id}`);
  }
  rule(id: number): string {
    return this.#rules.get(id)?.name ?? `rule ${id}`;
  }
  get ports(): readonly PortDescription[] {
    return [...this.#ports.values()];
  }
  get rules(): readonly RuleDescription[] {
    return [...this.#rules.values()];
  }
}

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

/** Options for the addon, checked. */
export function nativeOptions(options: FrameOptions): NativeReadOptions {
  const { filter } = options;
  if (filter && options.program) throw new PasteError("USAGE", "filter and program exclude each other: give one");
  const compiled = typeof filter === "string" ? compileFilter(filter, { record: "store" }) : filter;
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
    if (options.reverse && compiled.tests.some(({ of }) => of === "port"))
      throw new PasteError(
        "USAGE",
        '"any port" cannot be asked newest first: later fragments are known by earlier ones: read forwards, or write port',
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
      native(() => reader.start({ ...nativeOptions(options), follow }));
      while (!options.signal?.aborted && !this.#closed) {
        const batch = follow ? native(() => reader.poll(frames, bytes)) : await reader.next(frames, bytes);
        if (batch && batch.count > 0) {
          names.update(batch.namesVersion);
          this.#last = reader.counters();
          yield new FrameBatch(batch, names);
          if (options.reuse && !this.#closed) reader.recycle(batch);
          pause.reset();
        } else if (batch?.more) {
          if (follow) await pause.turn();
        } else if (follow) {
          await pause.wait();
        }
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

let drops: readonly string[] | undefined;

function dropName(reason: number): string | undefined {
  drops ??= outcomes().drops.map(({ name }) => name);
  return drops[reason];
}

/** Opens a store. Throws STORE where it is none, PRIVILEGE where it may not be read. */
export function openStore(path: string): StoreReader {
  return new StoreReader(path);
}
