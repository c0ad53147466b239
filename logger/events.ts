// What a store tells besides frames: ports and rules that came and went, changes of MAC tables, steps of the clock, lost frames, writers.
import { asPasteError, native, outcomes } from "../native/engine.js";
import {
  type NativeBatch,
  type NativeReadOptions,
  openNativeReader,
  type PortDescription,
  type ReadCounters,
  type RuleDescription,
} from "../native/reader.js";
import { encodePlan, none } from "./filter/index-expression.js";
import { Pause } from "./follow.js";
import { portKinds, recordFlags, recordTypes, structs } from "./layout.js";
import { macText } from "./print/octets.js";
import { storeAddonChecked } from "./store.js";

interface Event {
  /** The store's number; of a description: that of the record behind it. */
  sequence: bigint;
  /** Wall clock, nanoseconds since 1970. */
  timeNs: bigint;
}

export interface PortEvent extends Event {
  type: "port";
  /** "described": it was there already; a switch says so of all its ports once in each segment of the log. */
  event: "described" | "attached" | "detached";
  id: number;
  epoch: number;
  /** "vale", "pcap", "netmap", "xdp", "tap", "import". */
  kind: string;
  name: string;
}
export interface RuleEvent extends Event {
  type: "rule";
  id: number;
  ruleSet: number;
  name: string;
  filter: string;
}
export interface RuleSetEvent extends Event {
  type: "rule-set";
  version: number;
  ruleCount: number;
  /** The rules as JSON. */
  text: string;
}
export interface MacChange {
  /** "02:00:00:00:00:01". */
  mac: string;
  fid: number;
  portId: number;
  event: "learned" | "moved" | "aged" | "removed" | "static";
}
export interface MacEvent extends Event {
  type: "mac";
  /** After `flushed`: those that were removed by it, 255 at most. */
  changes: MacChange[];
  /** All learned addresses behind this port, or of the switch that it belongs to, were forgotten at once. */
  flushed?: { portId: number; of: "port" | "switch" };
}
export interface ClockStepEvent extends Event {
  type: "clock-step";
  fromNs: bigint;
  toNs: bigint;
}
export interface LostEvent extends Event {
  type: "lost";
  count: bigint;
  untilSequence: bigint;
  reason: string;
  /** Port that the lost frames came from, 0 = of any. */
  portId: number;
}
export interface BootEvent extends Event {
  type: "boot";
  epoch: number;
  medium: number;
  previousLastSequence: bigint;
  writer: string;
}
export type StoreEvent = PortEvent | RuleEvent | RuleSetEvent | MacEvent | ClockStepEvent | LostEvent | BootEvent;

export interface EventOptions {
  /** First and last sequence wanted. */
  fromSequence?: bigint;
  toSequence?: bigint;
  /** Blocks all of whose records are of this time or later are left out; others are read whole. */
  toNs?: bigint;
  /** Goes on with those that become durable, until `signal` is aborted. */
  follow?: boolean;
  signal?: AbortSignal;
  /** Only these types. */
  types?: readonly StoreEvent["type"][];
  /** Give the descriptions of ports and rules, too, that each block repeats (default false). */
  repeated?: boolean;
  /** Called with the ports and rules known so far, before the events of a piece, when there are new ones. */
  onNames?: (names: { ports: PortDescription[]; rules: RuleDescription[] }) => void;
  /** Called at the end of the reading, and with `follow` after each piece. */
  onCounters?: (counters: ReadCounters) => void;
}

const fields = structs.RecordHeader.fields;
/** `ret #0`: a program that takes no frame. */
const noFrames = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0);
const batchRecords = 8192;
const batchBytes = 1 << 20;

/**
 * The events of a store in sequence order, as far as they are durable; what cannot be made out (a later version's record) is left out.
 * Throws STORE where the path is no store.
 */
export async function* storeEvents(path: string, options: EventOptions = {}): AsyncGenerator<StoreEvent, void, void> {
  const { fromSequence, toSequence, follow = false, signal, types, repeated = false } = options;
  storeAddonChecked();
  const reader = native(() => openNativeReader(path));
  const pause = new Pause(signal);
  let namesVersion = 0;
  try {
    const reading: NativeReadOptions = { framesOnly: false, verifyPayload: false, program: noFrames, follow };
    if (fromSequence !== undefined) reading.fromSequence = fromSequence;
    if (toSequence !== undefined) reading.toSequence = toSequence;
    if (options.toNs !== undefined) reading.toNs = options.toNs;
    // What the index knows of events is asked anyway; frames are not wanted, nor descriptions that are repeated.
    const plan = repeated ? undefined : encodePlan(none);
    if (plan) reading.plan = plan;
    native(() => reader.start(reading));
    while (!signal?.aborted) {
      const batch = follow
        ? native(() => reader.poll(batchRecords, batchBytes))
        : await reader.next(batchRecords, batchBytes);
      if (batch && batch.namesVersion !== namesVersion) {
        namesVersion = batch.namesVersion;
        options.onNames?.(reader.names());
      }
      if (batch)
        for (const event of decodeEvents(batch, repeated)) if (!types || types.includes(event.type)) yield event;
      options.onCounters?.(reader.counters());
      if (!follow && !batch?.more) break;
      if (!follow) continue;
      if (batch && batch.count > 0) pause.reset();
      else if (batch?.more) await pause.turn();
      else await pause.wait();
    }
  } catch (error) {
    throw asPasteError(error);
  } finally {
    reader.close();
  }
}

/** The events among the records of a batch that was read with `framesOnly: false`. */
export function* decodeEvents(batch: NativeBatch, repeated = false): Generator<StoreEvent, void, void> {
  const view = new DataView(batch.bytes);
  for (let i = 0; i < batch.count; i++) {
    const header = batch.index[3 * i]!;
    if (!repeated && view.getUint8(header + fields.flags) & recordFlags.kRepeated) continue;
    const event = decode(view, header, batch.index[3 * i + 1]!, batch.index[3 * i + 2]!);
    if (event) yield event;
  }
}

function decode(view: DataView, header: number, at: number, length: number): StoreEvent | undefined {
  const base: Event = {
    sequence: view.getBigUint64(header + fields.sequence, true),
    timeNs: view.getBigUint64(header + fields.time_ns, true),
  };
  const payload = new Payload(view, at, length);
  switch (view.getUint8(header + fields.type)) {
    case recordTypes.kPort:
      return port(base, payload);
    case recordTypes.kRule:
      return rule(base, payload);
    case recordTypes.kRuleSet:
      return ruleSet(base, payload);
    case recordTypes.kMac:
      return { ...base, type: "mac", ...macChanges(payload) };
    case recordTypes.kClockStep:
      return clockStep(base, payload);
    case recordTypes.kLost:
      return lost(base, payload, view.getUint32(header + fields.ingress, true));
    case recordTypes.kBoot:
      return boot(base, payload);
    default:
      return undefined;
  }
}

/** A record's payload; its checksum was right, its length may still be that of another version. */
class Payload {
  constructor(
    readonly view: DataView,
    readonly at: number,
    readonly length: number,
  ) {}
  text(from: number, length = this.length - from): string {
    const end = Math.min(this.length, from + Math.max(0, length));
    return Buffer.from(this.view.buffer, this.at + from, Math.max(0, end - from)).toString("utf8");
  }
  u8(at: number): number {
    return this.view.getUint8(this.at + at);
  }
  u16(at: number): number {
    return this.view.getUint16(this.at + at, true);
  }
  u32(at: number): number {
    return this.view.getUint32(this.at + at, true);
  }
  u64(at: number): bigint {
    return this.view.getBigUint64(this.at + at, true);
  }
}

const kindNames = new Map<number, string>(
  Object.entries(portKinds).map(([name, kind]) => [kind, name.slice(1, -"Port".length).toLowerCase()]),
);

/** What a port's kind is called: "vale", "tap". */
export function portKindName(kind: number): string {
  return kindNames.get(kind) ?? `kind ${kind}`;
}

const portEvents = ["described", "attached", "detached"] as const;
const macEvents = ["learned", "learned", "moved", "aged", "removed", "static"] as const;
const flushes = ["port", "switch"] as const;

function port(base: Event, payload: Payload): PortEvent | undefined {
  const { size, fields } = structs.PortPayload;
  if (payload.length < size) return undefined;
  return {
    ...base,
    type: "port",
    event: portEvents[payload.u8(fields.event)] ?? "described",
    id: payload.u32(fields.id),
    epoch: payload.u32(fields.epoch),
    kind: portKindName(payload.u8(fields.kind)),
    name: payload.text(size),
  };
}

function rule(base: Event, payload: Payload): RuleEvent | undefined {
  const { size, fields } = structs.RulePayload;
  if (payload.length < size) return undefined;
  const nameLength = payload.u16(fields.name_length);
  return {
    ...base,
    type: "rule",
    id: payload.u32(fields.id),
    ruleSet: payload.u32(fields.rule_set),
    name: payload.text(size, nameLength),
    filter: payload.text(size + nameLength, payload.u16(fields.filter_length)),
  };
}

function ruleSet(base: Event, payload: Payload): RuleSetEvent | undefined {
  const { size, fields } = structs.RuleSetPayload;
  if (payload.length < size) return undefined;
  const [version, ruleCount] = [payload.u32(fields.version), payload.u32(fields.rule_count)];
  return { ...base, type: "rule-set", version, ruleCount, text: payload.text(size) };
}

function macChanges(payload: Payload): Pick<MacEvent, "changes" | "flushed"> {
  const { size, fields } = structs.MacPayload;
  const changes: MacChange[] = [];
  const of = payload.length < size ? undefined : flushes[payload.u8(fields.event) - macEvents.length];
  for (let at = 0; at + size <= payload.length; at += size) {
    const event = macEvents[payload.u8(at + fields.event)];
    if (!event || payload.u8(at + fields.event) === 0) continue;
    changes.push({
      mac: macText(new Uint8Array(payload.view.buffer), payload.at + at + fields.mac),
      fid: payload.u16(at + fields.fid),
      portId: payload.u32(at + fields.port),
      event,
    });
  }
  return of ? { changes, flushed: { portId: payload.u32(fields.port), of } } : { changes };
}

function clockStep(base: Event, payload: Payload): ClockStepEvent | undefined {
  const { size, fields } = structs.ClockStepPayload;
  if (payload.length < size) return undefined;
  return { ...base, type: "clock-step", fromNs: payload.u64(fields.from_ns), toNs: payload.u64(fields.to_ns) };
}

function lost(base: Event, payload: Payload, portId: number): LostEvent | undefined {
  const { size, fields } = structs.LostPayload;
  if (payload.length < size) return undefined;
  const reason = payload.u8(fields.reason);
  return {
    ...base,
    type: "lost",
    count: payload.u64(fields.count),
    untilSequence: payload.u64(fields.until_sequence),
    reason: outcomes().notLogged[reason]?.name ?? `reason ${reason}`,
    portId,
  };
}

function boot(base: Event, payload: Payload): BootEvent | undefined {
  const { size, fields } = structs.BootPayload;
  if (payload.length < size) return undefined;
  return {
    ...base,
    type: "boot",
    epoch: payload.u32(fields.epoch),
    medium: payload.u32(fields.medium),
    previousLastSequence: payload.u64(fields.previous_last_sequence),
    writer: payload.text(size),
  };
}
