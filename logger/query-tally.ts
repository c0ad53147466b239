// What a query's frames are together: how many (--count), which flows (--flows), who most (--top). Frames are added up natively.
import { native, outcomes } from "../native/engine.js";
import {
  createTally,
  type FlowRow,
  type FlowTotals,
  type NativeTally,
  type RowOrder,
  rowOrders,
  type TallySum,
  type TopRow,
  type TopTotals,
} from "../native/query.js";
import { PasteError } from "./errors.js";
import type { KnownNames } from "./filter/filter-check.js";
import { ipv4Text, ipv6Text, macText } from "./print/octets.js";
import { eveTcpFlags, eveTime, flowId, protocolName } from "./print/packet-json.js";
import { type QueryOptions, QueryReading, type QueryReport } from "./query-reading.js";

export { type RowOrder, rowOrders } from "../native/query.js";

/** What --top can count. */
export const topFields = [
  "src",
  "dst",
  "host",
  "src-port",
  "dst-port",
  "port",
  "proto",
  "vlan",
  "ethertype",
  "src-mac",
  "dst-mac",
  "mac",
  "in-port",
  "out-port",
  "rule",
  "outcome",
  "icmp-type",
] as const;
export type TopField = (typeof topFields)[number];

export interface TallyOptions extends Omit<QueryOptions, "limit" | "reverse"> {
  /** Rows kept in memory at most (default 1 Mi): frames of further ones are counted as left out. */
  rowsMax?: number;
  /** Called after each piece. */
  onProgress?: (frames: number) => void;
}

export interface TallyReport extends QueryReport {
  /** What was counted. */
  what: "count" | "flows" | TopField;
  /** Every frame that the filter took. */
  all: TallySum;
  /** Of them: those that have no such thing (no flow, no port), and those of rows for which there was no room. */
  without: TallySum;
  leftOut: TallySum;
  /** Rows there are. */
  rows: number;
}

/** One conversation. Its source is where its frame with the lowest time came from. */
export interface Flow extends FlowTotals {
  sourceIp: string;
  destinationIp: string;
  sourcePort?: number;
  destinationPort?: number;
  icmpType?: number;
  protocol: number;
}

export interface TopEntry extends TopTotals {
  value: string;
}

const rowsMaxDefault = 1 << 20;
const rowsMaxMost = 1 << 26;
/** Frames between two looks at the signal. */
const pieceFrames = 1 << 18;
const pageRows = 1000;

/** Counts frames and bytes. */
export async function countFrames(options: TallyOptions): Promise<TallyReport> {
  const run = await TallyRun.open(options, "count");
  await run.all();
  return run.finish();
}

/** The flows among the frames; `rows()` gives them in order, `report` is complete at once. */
export async function countFlows(
  options: TallyOptions,
  order: RowOrder = "first",
): Promise<{ report: TallyReport; rows: () => Generator<Flow, void, void> }> {
  const run = await TallyRun.open(options, "flows");
  await run.all();
  return {
    report: run.finish(),
    rows: function* () {
      for (const row of pages<FlowRow>(run.tally, order)) yield flowOf(row);
    },
  };
}

/** The values of a field and how much each has. */
export async function countTop(
  options: TallyOptions,
  field: TopField,
  order: RowOrder = "packets",
): Promise<{ report: TallyReport; rows: () => Iterable<TopEntry> }> {
  if (!topFields.includes(field))
    throw new PasteError("USAGE", `"${field}" cannot be counted: choose one of ${topFields.join(", ")}`);
  const run = await TallyRun.open(options, field);
  if (!named.has(field)) {
    await run.all();
    return {
      report: run.finish(),
      rows: function* () {
        for (const row of pages<TopRow>(run.tally, order)) yield { ...sumsOf(row), value: valueText(field, row) };
      },
    };
  }
  const merged = await namedRows(run, field);
  const report = run.finish();
  report.rows = merged.length;
  return { report, rows: () => merged.toSorted(comparisons[order]) };
}

/** Fields whose values are ids, which mean something else in each source. */
const named = new Set<TopField>(["in-port", "out-port", "rule"]);
const flooded = 0xffffffff;

async function namedRows(run: TallyRun, field: TopField): Promise<TopEntry[]> {
  const merged = new Map<string, TopEntry>();
  await run.each((tally, names) => {
    const known = new Map((field === "rule" ? names.rules : names.ports).map((each) => [each.id, each.name]));
    for (const row of pages<TopRow>(tally, "first")) {
      const id = numberOf(row.value);
      const value = id === flooded && field === "out-port" ? "*" : (known.get(id) ?? `${field} ${id}`);
      const entry = merged.get(value);
      if (entry) addTo(entry, row);
      else merged.set(value, { ...sumsOf(row), value });
    }
  });
  return [...merged.values()];
}

const comparisons: Record<RowOrder, (a: TopEntry, b: TopEntry) => number> = {
  first: (a, b) => Number(a.firstNs - b.firstNs),
  last: (a, b) => Number(a.lastNs - b.lastNs),
  packets: (a, b) => b.packets - a.packets,
  bytes: (a, b) => b.bytes - a.bytes,
};

function sumsOf({ packets, bytes, firstNs, lastNs }: TopRow): TopTotals {
  return { packets, bytes, firstNs, lastNs };
}

function addTo(entry: TopEntry, row: TopRow): void {
  entry.packets += row.packets;
  entry.bytes += row.bytes;
  if (row.firstNs < entry.firstNs) entry.firstNs = row.firstNs;
  if (row.lastNs > entry.lastNs) entry.lastNs = row.lastNs;
}

interface IdNames extends KnownNames {
  readonly ports: readonly { readonly id: number; readonly name: string }[];
  readonly rules: readonly { readonly id: number; readonly name: string }[];
}

class TallyRun {
  readonly #reading: QueryReading;
  readonly #options: TallyOptions;
  readonly #what: TallyReport["what"];
  tally: NativeTally;
  readonly #sums = { all: noSum(), without: noSum(), leftOut: noSum(), rows: 0 };

  private constructor(reading: QueryReading, options: TallyOptions, what: TallyReport["what"]) {
    this.#reading = reading;
    this.#options = options;
    this.#what = what;
    this.tally = this.#create();
  }

  static async open(options: TallyOptions, what: TallyReport["what"]): Promise<TallyRun> {
    const { rowsMax } = options;
    if (rowsMax !== undefined && !(Number.isInteger(rowsMax) && rowsMax > 0 && rowsMax <= rowsMaxMost))
      throw new PasteError("USAGE", `rowsMax must be an integer from 1 to ${rowsMaxMost}, it is ${rowsMax}`);
    return new TallyRun(await QueryReading.open(options), options, what);
  }

  /** All sources into one tally. */
  async all(): Promise<void> {
    for (const source of this.#reading.sources()) {
      if (this.#reading.aborted()) break;
      await this.#add(source);
    }
    this.#take();
  }

  /** A tally for each source, which `use` is given with the source's names. */
  async each(use: (tally: NativeTally, names: IdNames) => void): Promise<void> {
    for (const source of this.#reading.sources()) {
      if (this.#reading.aborted()) break;
      this.tally = this.#create();
      const names = await this.#add(source);
      this.#take();
      use(this.tally, names);
    }
  }

  finish(): TallyReport {
    this.#reading.report.frames = this.#sums.all.packets;
    this.#reading.finish();
    return { ...this.#reading.report, ...this.#sums, what: this.#what };
  }

  #create(): NativeTally {
    return native(() => createTally(this.#what, this.#options.rowsMax ?? rowsMaxDefault));
  }

  #take(): void {
    const sums = this.tally.sums();
    for (const name of ["all", "without", "leftOut"] as const) {
      this.#sums[name].packets += sums[name].packets;
      this.#sums[name].bytes += sums[name].bytes;
    }
    this.#sums.rows += sums.rows;
  }

  async #add({ path, kind }: { path: string; kind: "store" | "capture" }): Promise<IdNames> {
    return kind === "store" ? this.#addStore(path) : this.#addCapture(path);
  }

  #addStore(path: string): Promise<IdNames> {
    return this.#reading.store(path, async (reader) => {
      while (!this.#reading.aborted()) {
        const more = await this.tally.addStore(reader, pieceFrames);
        this.#options.onProgress?.(this.#sums.all.packets + this.tally.sums().all.packets);
        if (!more) break;
      }
      return reader.names();
    });
  }

  async #addCapture(path: string): Promise<IdNames> {
    let ports: { id: number; name: string }[] = [];
    for await (const { batch, selected, capture } of this.#reading.capture(path)) {
      ports = capture.interfaces.map(({ name }, i) => ({ id: i + 1, name: name || "(no name)" }));
      native(() =>
        this.tally.addCapture(
          batch,
          selected,
          Uint32Array.from(ports, ({ id }) => id),
        ),
      );
      this.#options.onProgress?.(this.#sums.all.packets + this.tally.sums().all.packets);
      if (this.#reading.aborted()) break;
    }
    return { ports, rules: [] };
  }
}

function noSum(): TallySum {
  return { packets: 0, bytes: 0 };
}

function* pages<Row>(tally: NativeTally, order: RowOrder): Generator<Row, void, void> {
  tally.sort(rowOrders.indexOf(order));
  for (let from = 0; ; from += pageRows) {
    const page = tally.rows(from, pageRows) as Row[];
    yield* page;
    if (page.length < pageRows) return;
  }
}

const ipv4TupleBytes = 16;
const icmpProtocols = new Set([1, 58]);

function flowOf(row: FlowRow): Flow {
  const { tuple, swapped } = row;
  const addressBytes = tuple.length <= ipv4TupleBytes ? 4 : 16;
  const text = addressBytes === 4 ? ipv4Text : ipv6Text;
  const ends = [text(tuple, 2), text(tuple, 2 + addressBytes)];
  const protocol = tuple[2 + 2 * addressBytes]!;
  const portsAt = 4 + 2 * addressBytes;
  const ports = [0, 2].map((at) => (tuple[portsAt + at]! << 8) | tuple[portsAt + at + 1]!);
  const [from, to] = swapped ? [1, 0] : [0, 1];
  const { tuple: _, swapped: __, ...facts } = row;
  const flow: Flow = { sourceIp: ends[from]!, destinationIp: ends[to]!, protocol, ...facts };
  if (tuple.length === portsAt) return flow;
  if (icmpProtocols.has(protocol)) flow.icmpType = ports[from]!;
  else Object.assign(flow, { sourcePort: ports[from], destinationPort: ports[to] });
  return flow;
}

/** With EVE's names for flows. */
export function flowJson(flow: Flow, { utc = false } = {}): object {
  return {
    event_type: "flow",
    flow_id: flowId(flow.communityId),
    community_id: flow.communityId,
    src_ip: flow.sourceIp,
    ...(flow.sourcePort !== undefined && { src_port: flow.sourcePort }),
    dest_ip: flow.destinationIp,
    ...(flow.destinationPort !== undefined && { dest_port: flow.destinationPort }),
    proto: protocolName(flow.protocol),
    ...(flow.icmpType !== undefined && { icmp_type: flow.icmpType }),
    flow: {
      pkts_toserver: flow.packets,
      pkts_toclient: flow.packetsBack,
      bytes_toserver: flow.bytes,
      bytes_toclient: flow.bytesBack,
      start: eveTime(flow.firstNs, utc),
      end: eveTime(flow.lastNs, utc),
    },
    ...((flow.tcpFlags | flow.tcpFlagsBack) !== 0 && {
      tcp: {
        ...eveTcpFlags(flow.tcpFlags | flow.tcpFlagsBack),
        tcp_flags_ts: eveTcpFlags(flow.tcpFlags).tcp_flags,
        tcp_flags_tc: eveTcpFlags(flow.tcpFlagsBack).tcp_flags,
      },
    }),
    ...(flow.firstSequence > 0n && { seq: Number(flow.firstSequence) }),
  };
}

export function topJson(field: TopField, entry: TopEntry, { utc = false } = {}): object {
  const { value, packets, bytes, firstNs, lastNs } = entry;
  return { [field]: value, packets, bytes, start: eveTime(firstNs, utc), end: eveTime(lastNs, utc) };
}

function numberOf(value: Uint8Array): number {
  return ((value[12]! << 24) | (value[13]! << 16) | (value[14]! << 8) | value[15]!) >>> 0;
}

const etherTypeKind = 1;
const etherTypeNames = new Map<number, string>([
  [0x0800, "IPv4"],
  [0x0806, "ARP"],
  [0x8035, "RARP"],
  [0x86dd, "IPv6"],
  [0x8100, "802.1Q"],
  [0x88a8, "802.1ad"],
  [0x88cc, "LLDP"],
  [0x8847, "MPLS"],
  [0x8864, "PPPoE"],
]);

function etherTypeText(type: number): string {
  return etherTypeNames.get(type) ?? `0x${type.toString(16).padStart(4, "0")}`;
}

function valueText(field: TopField, { value, kind }: TopRow): string {
  const number = numberOf(value);
  switch (field) {
    case "src":
    case "dst":
    case "host":
      return mappedIpv4(value) ? ipv4Text(value, 12) : ipv6Text(value, 0);
    case "src-mac":
    case "dst-mac":
    case "mac":
      return macText(value, 10);
    case "proto":
      return kind === etherTypeKind ? etherTypeText(number) : protocolName(number);
    case "ethertype":
      return etherTypeText(number);
    case "outcome":
      return number === 0 ? "forwarded" : (outcomes().drops[number - 1]?.name ?? `reason ${number - 1}`);
    case "icmp-type":
      return `${number >> 8 === 6 ? "ICMP6" : "ICMP"} ${number & 0xff}`;
    default:
      return String(number);
  }
}

/** An IPv6 packet may really carry such an address; nothing tells them apart here, and nothing else looks like one. */
function mappedIpv4(value: Uint8Array): boolean {
  return value.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}
