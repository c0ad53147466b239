// Frames as a reading gives them: batches with cheap accessors, no object per frame unless asked for.
import { outcomes } from "../native/engine.js";
import type { NativeBatch, NativeStoreReader, PortDescription, RuleDescription } from "../native/reader.js";
import { structs } from "./layout.js";

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

let drops: readonly string[] | undefined;

function dropName(reason: number): string | undefined {
  drops ??= outcomes().drops.map(({ name }) => name);
  return drops[reason];
}
