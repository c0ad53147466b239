// One frame's story: when and where it came in, what the switch knew then, where it went or why not, what kept it, and what its flow
// did around it. All of it is read out of the log.
import { native, outcomes } from "../native/engine.js";
import { communityId } from "../native/query.js";
import { openNativeReader, type PortDescription, type RuleDescription, type StoreInfo } from "../native/reader.js";
import { PasteError } from "./errors.js";
import { decodeEvents, portKindName, type StoreEvent } from "./events.js";
import type { FrameBatch } from "./frame-batch.js";
import { type MacEntryThen, type MacFlushed, type MacTableThen, macTablesAt, switchOf } from "./mac-history.js";
import { type PrintablePacket, packetOf } from "./print/packet.js";
import { type PacketFacts, packetFacts } from "./print/packet-facts.js";
import { eveTime } from "./print/packet-json.js";
import { safeName } from "./print/plain-text.js";
import { type FrameOptions, openStore, type StoreReader } from "./reader.js";

export interface TracedPort {
  name: string;
  /** "vale", "tap", ...; absent where its description is gone. */
  kind?: string;
  /** Of the writer that attached it; and the store's number of this attachment. */
  epoch?: number;
  id: number;
}

/** What the table said of an address. */
export type AddressThen =
  | { known: true; entry: MacEntryThen }
  /** Shown by what became of the frame; learned in the frame's own batch, say, whose changes stand in the log behind its frames. */
  | { known: true; shownBehind: string }
  /** `flushed`: it had been in the table until then. "unknown": it was not in the table; "untold": the log cannot tell; "group": no table holds one; "no-table": no switch was there (imports). */
  | { known: false; why: "unknown" | "untold" | "group" | "no-table"; flushed?: MacFlushed };

export interface FrameStory {
  packet: PrintablePacket;
  capturedLength: number;
  facts: PacketFacts;
  ingress: TracedPort;
  /** The one port it went to; absent when it went nowhere or everywhere. */
  egress?: TracedPort;
  flooded: boolean;
  copiesReserved: number;
  copiesRefused: number;
  outcome: { name: string; sentence: string };
  /** Absent: it was not a rule that kept it (an import). */
  rule?: { name: string; filter: string; ruleSet: number };
  strict: boolean;
  source: AddressThen;
  destination: AddressThen;
  /** About the tables: what the log cannot know. */
  remarks: string[];
  communityId?: string;
  /** Of its flow, or where it has none between the same two addresses: nearest ones, in the store's order. */
  before: PrintablePacket[];
  after: PrintablePacket[];
}

export interface TraceOptions {
  /** Neighbours on each side (default 3). */
  neighbours?: number;
  signal?: AbortSignal;
}

/** The story of record `sequence` of a store. Throws STORE where there is no such frame, and says what became of it and which there are. */
export async function traceFrame(path: string, sequence: bigint, options: TraceOptions = {}): Promise<FrameStory> {
  if (sequence < 1n) throw new PasteError("USAGE", `${sequence} is no sequence: they begin with 1`);
  const reader = openStore(path);
  try {
    const found = await frameOf(reader, sequence);
    if (!found) throw await whyNot(path, sequence, await reader.info());
    const { batch, index } = found;
    const packet = packetOf(batch, index);
    const facts = packetFacts(packet.bytes);
    const tables = await macTablesAt(path, { sequence }, options.signal);
    const ingress = portOf(batch, batch.ingressId(index));
    const id = communityId(packet.bytes);
    const kept = ruleOf(batch, index);
    const egress = batch.egressId(index);
    const lookUp = (mac: string | undefined) => addressThen(tables, mac, ingress.name, facts);
    const outcome = outcomeOf(batch.outcome(index));
    const destination = lookUp(facts.destinationMac);
    const behind = outcome.name === "hairpin" ? ingress.name : egress !== 0 ? batch.names.port(egress) : undefined;
    const told = "entry" in destination && destination.entry.port === behind;
    return {
      packet,
      capturedLength: batch.capturedLength(index),
      facts,
      ingress,
      ...(egress !== 0 && { egress: portOf(batch, egress) }),
      flooded: batch.flooded(index),
      copiesReserved: batch.copiesReserved(index),
      copiesRefused: batch.copiesRefused(index),
      outcome,
      ...(kept && { rule: { name: kept.name, filter: kept.filter, ruleSet: kept.ruleSet } }),
      strict: batch.strict(index),
      source: lookUp(facts.sourceMac),
      destination: behind === undefined || told ? destination : { known: true, shownBehind: behind },
      remarks: switchOf(ingress.name) === "" ? [] : tables.remarks,
      ...(id !== undefined && { communityId: id }),
      ...(await neighbours(reader, sequence, id, facts, options.neighbours ?? 3)),
    };
  } finally {
    reader.close();
  }
}

async function frameOf(
  reader: StoreReader,
  sequence: bigint,
): Promise<{ batch: FrameBatch; index: number } | undefined> {
  for await (const batch of reader.frames({ fromSequence: sequence, toSequence: sequence }))
    for (let index = 0; index < batch.count; index++) if (batch.sequence(index) === sequence) return { batch, index };
  return undefined;
}

function portOf(batch: FrameBatch, id: number): TracedPort {
  const described: PortDescription | undefined = batch.names.ports.find((port) => port.id === id);
  if (!described) return { id, name: batch.names.port(id) };
  return { id, name: described.name, kind: portKindName(described.kind), epoch: described.epoch };
}

function ruleOf(batch: FrameBatch, index: number): RuleDescription | undefined {
  const id = batch.ruleId(index);
  if (id === 0) return undefined;
  return batch.names.rules.find((rule) => rule.id === id) ?? { id, name: batch.rule(index), filter: "", ruleSet: 0 };
}

function outcomeOf(name: string): { name: string; sentence: string } {
  if (name === "forwarded") return { name, sentence: "at least one port had room for a copy" };
  return { name, sentence: outcomes().drops.find((drop) => drop.name === name)?.sentence ?? "" };
}

/** A port's VLAN is not in the log: where the frame's own tag says nothing, the address may have been learned in any VLAN. */
function addressThen(
  tables: Pick<MacTableThen, "entries" | "complete" | "flushed">,
  mac: string | undefined,
  ingress: string,
  facts: PacketFacts,
): AddressThen {
  const group = mac !== undefined && (Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0;
  const home = switchOf(ingress);
  const fid = facts.vlans[0] ?? 0;
  const found = tables.entries.filter((entry) => entry.mac === mac && switchOf(entry.port) === home);
  const entry = found.find((each) => each.fid === fid) ?? (facts.vlans.length === 0 ? found[0] : undefined);
  if (entry) return { known: true, entry };
  if (home === "") return { known: false, why: "no-table" };
  const flushed = tables.flushed.find((each) => each.mac === mac && each.switch === home && each.fid === fid);
  if (flushed) return { known: false, why: "unknown", flushed };
  return { known: false, why: group ? "group" : tables.complete ? "unknown" : "untold" };
}

async function neighbours(
  reader: StoreReader,
  sequence: bigint,
  id: string | undefined,
  facts: PacketFacts,
  count: number,
): Promise<Pick<FrameStory, "before" | "after">> {
  const { sourceMac: a, destinationMac: b } = facts;
  const filter =
    id !== undefined
      ? `community-id ${id}`
      : a !== undefined && b !== undefined
        ? `ether host ${a} and ether host ${b}`
        : "";
  if (filter === "" || count === 0) return { before: [], after: [] };
  const before = await first(reader, { filter, toSequence: sequence - 1n, reverse: true }, sequence > 1n ? count : 0);
  const after = await first(reader, { filter, fromSequence: sequence + 1n }, count);
  return { before: before.toReversed(), after };
}

async function first(reader: StoreReader, options: FrameOptions, count: number): Promise<PrintablePacket[]> {
  const packets: PrintablePacket[] = [];
  if (count > 0)
    for await (const batch of reader.frames({ ...options, batchFrames: count })) {
      for (let i = 0; i < batch.count && packets.length < count; i++) packets.push(packetOf(batch, i));
      if (packets.length >= count) break;
    }
  return packets;
}

/** Why there is no such frame: which there are, and what happened to this one. */
async function whyNot(path: string, sequence: bigint, info: StoreInfo): Promise<PasteError> {
  const { firstSequence, durableSequence, nextSequence, oldestTimeNs, newestTimeNs, trimmedBefore } = info;
  const refuse = (what: string) => new PasteError("STORE", `${path}: ${what}`);
  if (firstSequence === 0n) return refuse("the store holds no record");
  const last = nextSequence > 0n ? nextSequence - 1n : durableSequence;
  const range = `it holds ${firstSequence} to ${last}, from ${eveTime(oldestTimeNs, false)} to ${eveTime(newestTimeNs, false)}`;
  if (sequence > last) return refuse(`record ${sequence} is not there yet: ${range}`);
  if (sequence < firstSequence)
    return refuse(
      `record ${sequence} is gone, ${sequence < trimmedBefore ? "trimmed or overwritten" : "overwritten"}: ${range}`,
    );
  const event = await eventOf(path, sequence);
  if (event) return refuse(`record ${sequence} is no frame but ${eventText(event)}: ${range}`);
  return refuse(
    `record ${sequence} is not there: it was overwritten, or lost in a crash, or damaged (\`paste-switch store verify\` says): ${range}`,
  );
}

async function eventOf(path: string, sequence: bigint): Promise<StoreEvent | undefined> {
  const reader = native(() => openNativeReader(path));
  try {
    native(() => reader.start({ fromSequence: sequence, toSequence: sequence, framesOnly: false }));
    for (;;) {
      const batch = await reader.next(64, 1 << 20);
      for (const event of decodeEvents(batch)) if (event.sequence === sequence) return event;
      if (!batch.more) return undefined;
    }
  } finally {
    reader.close();
  }
}

/** What an event is, in a few words. */
export function eventText(event: StoreEvent): string {
  switch (event.type) {
    case "port":
      return `port ${safeName(event.name)} being ${event.event}${event.event === "described" ? " once more" : ""}`;
    case "rule":
      return `the description of rule ${safeName(event.name)}`;
    case "rule-set":
      return `rule set ${event.version} being put to work`;
    case "mac":
      if (event.flushed) return `the MAC table being flushed${event.flushed.of === "port" ? " behind one port" : ""}`;
      return `a change of the MAC table (${event.changes
        .map(({ mac, event: how }) => `${mac} ${how}`)
        .slice(0, 3)
        .join(", ")})`;
    case "clock-step":
      return "a step of the clock";
    case "lost":
      return `a count of ${event.count} frames that could not be logged (${event.reason})`;
    case "boot":
      return `the start of a writer (${safeName(event.writer)})`;
  }
}
