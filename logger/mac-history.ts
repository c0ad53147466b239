// The MAC tables of a store's switches as they were: the log's events played again, and what the log cannot know.
//
// A switch begins with empty tables when its writer opens the store (a boot record), and logs each change as long as a rule keeps
// anything. So from a boot record on the tables are known exactly, unless there was a time without rules; where the boot record was
// overwritten, only what changed since is known. An address that ages or is removed later without having been learned again was
// there before: that much can be read out of what came after.
import type { ReadCounters } from "../native/reader.js";
import { type EventOptions, type MacChange, type MacEvent, type StoreEvent, storeEvents } from "./events.js";
import { eveTime } from "./print/packet-json.js";
import { openStore } from "./reader.js";

export interface MacEntryThen {
  mac: string;
  /** The VLAN that it was learned in, 0 = none. */
  fid: number;
  /** "vale0:a"; its switch is what stands before the colon. */
  port: string;
  static: boolean;
  /** Of "later", nothing is known of when it came: that it was there follows from how it went. */
  how: "learned" | "moved" | "static" | "later";
  /** Time and record of that. */
  sinceNs: bigint;
  sequence: bigint;
  /** Whether it may have been gone by then: the switch was not there to say so. */
  mayHaveAged: boolean;
}

/** An address that a flush of its table made unknown, and that was not learned again. */
export interface MacFlushed {
  mac: string;
  fid: number;
  switch: string;
  timeNs: bigint;
  /** The flush's record. */
  sequence: bigint;
}

export interface MacTableThen {
  /** By switch, address and VLAN. */
  entries: MacEntryThen[];
  /** Everything that was in the tables is among `entries`. */
  complete: boolean;
  /** Why not, and what else is to be known: sentences. */
  remarks: string[];
  flushed: MacFlushed[];
  /** From when on the log tells of changes; absent where it holds nothing. */
  knownFromNs?: bigint;
  /** Whose ports the log names. */
  switches: string[];
}

/** A time: what had happened up to and including it. A record: what had happened before it. */
export type Moment = { timeNs: bigint } | { sequence: bigint };

/** The tables at a moment. Throws STORE where the path is no store. Reads the log's events up to then, and those after it where something is missing. */
export async function macTablesAt(path: string, moment: Moment, signal?: AbortSignal): Promise<MacTableThen> {
  const reader = openStore(path);
  const info = await reader.info();
  reader.close();
  // The store was made later, or nothing of it was overwritten, and all of it is later.
  const begin = info.firstSequence === 1n ? info.oldestTimeNs : info.createdNs;
  if ("timeNs" in moment && moment.timeNs < begin)
    return {
      entries: [],
      complete: true,
      remarks: ["the store begins later: no switch had written to it by then"],
      flushed: [],
      knownFromNs: info.oldestTimeNs,
      switches: [],
    };
  const history = new MacHistory();
  const before = (event: StoreEvent) =>
    "timeNs" in moment ? event.timeNs <= moment.timeNs : event.sequence < moment.sequence;
  const range = "timeNs" in moment ? { toNs: moment.timeNs + 1n } : { toSequence: moment.sequence - 1n };
  const options: EventOptions = { onNames: ({ ports }) => history.know(ports), ...(signal && { signal }) };
  let last = 0n;
  let missed = 0;
  const onCounters = ({ overtaken, corrupt }: ReadCounters) => {
    if (overtaken + corrupt > missed) history.missed();
    missed = overtaken + corrupt;
  };
  if (!("sequence" in moment && moment.sequence <= 1n))
    for await (const event of storeEvents(path, { ...options, ...range, onCounters })) {
      if (!before(event)) continue;
      history.apply(event);
      if (event.sequence > last) last = event.sequence;
    }
  if (!history.complete)
    for await (const event of storeEvents(path, { ...options, fromSequence: last + 1n })) {
      if (before(event)) continue;
      if (!history.lookBack(event)) break;
    }
  const over = "timeNs" in moment && !info.writerAlive && info.newestTimeNs < moment.timeNs;
  const oldestNs = info.firstSequence === 0n ? undefined : info.oldestTimeNs;
  const unseen = "timeNs" in moment && oldestNs !== undefined && moment.timeNs < oldestNs;
  const table = history.table(oldestNs, over ? info.newestTimeNs : undefined, unseen);
  if ("timeNs" in moment && info.writerAlive && moment.timeNs > BigInt(Date.now()) * 1_000_000n)
    table.remarks.push("that time is still to come: these are the tables as they are now");
  return table;
}

interface Known {
  change: MacChange;
  sinceNs: bigint;
  sequence: bigint;
}

// MacEvents::kMax and kMacTickMs (native/core/switch/mac_table.h): changes that a thread logs in a tick, which begins and ends with
// a clock that is coarser than the records'.
const changesPerTick = 256;
const tickNs = 110_000_000n;

const keyOf = ({ mac, fid }: MacChange, switchName: string) => `${switchName} ${mac} ${fid}`;

class MacHistory {
  readonly #entries = new Map<string, Known>();
  readonly #later = new Map<string, Known>();
  readonly #touchedLater = new Set<string>();
  readonly #flushed = new Map<string, MacFlushed>();
  /** The latest flush of each table or port: what was flushed, and when. */
  readonly #flushes = new Map<string, MacEvent>();
  readonly #ports = new Map<number, string>();
  readonly #attached = new Set<number>();
  #booted = false;
  /** Absent: the log no longer says whether there were rules. */
  #logging: boolean | undefined;
  /** Something may have changed while no rule kept anything. */
  #blind = false;
  /** More changed at a time than is logged. */
  #flooded = false;
  /** Records are missing. */
  #lost = false;
  /** Changes within the last tick. */
  #recent: { timeNs: bigint; count: number }[] = [];

  get complete(): boolean {
    return this.#booted && !this.#blind && !this.#flooded && !this.#lost;
  }

  /** Records that could not be read. */
  missed(): void {
    this.#lost = true;
  }

  /** Names of ports, by the store's numbers of their attachments. */
  know(ports: readonly { id: number; name: string }[]): void {
    for (const { id, name } of ports) this.#ports.set(id, name);
  }

  apply(event: StoreEvent): void {
    switch (event.type) {
      case "boot":
        this.#entries.clear();
        this.#flushed.clear();
        this.#flushes.clear();
        this.#attached.clear();
        this.#booted = true;
        this.#logging = false;
        this.#blind = this.#flooded = this.#lost = false;
        break;
      case "lost":
        this.#lost = true;
        break;
      case "rule-set":
        this.#logging = event.ruleCount > 0;
        this.#look();
        break;
      case "port":
        this.#ports.set(event.id, event.name);
        if (event.event === "attached") this.#attached.add(event.id);
        if (event.event === "detached") this.#detach(event.id);
        this.#look();
        break;
      case "mac":
        if (event.flushed) this.#flush(event, event.flushed);
        else this.#count(event);
        for (const change of event.changes) this.#change(change, event);
        break;
      default:
    }
  }

  /** An event after the moment; false when no later one can tell anything. */
  lookBack(event: StoreEvent): boolean {
    if (event.type === "boot") return false;
    if (event.type === "port") this.#ports.set(event.id, event.name);
    if (event.type !== "mac") return true;
    for (const change of event.changes) {
      const key = this.#key(change);
      if (this.#entries.has(key) || this.#touchedLater.has(key)) continue;
      this.#touchedLater.add(key);
      const went = change.event === "aged" || change.event === "removed";
      if (went) this.#later.set(key, { change, sinceNs: event.timeNs, sequence: event.sequence });
    }
    return true;
  }

  /** `endedNs`: the last record's time, where the switch had come to its end by the moment; `unseen`: the oldest record came after it. */
  table(oldestNs: bigint | undefined, endedNs: bigint | undefined, unseen: boolean): MacTableThen {
    const entries = [
      ...[...this.#entries.values()].map((known) => this.#entry(known, known.change.event, endedNs !== undefined)),
      ...[...this.#later.values()].map((known) => this.#entry(known, "later", endedNs !== undefined)),
    ];
    return {
      entries: entries.toSorted((a, b) => order(a, b)),
      complete: this.complete,
      remarks: this.#remarks(oldestNs, endedNs, unseen),
      flushed: [...this.#flushed.values()],
      ...(oldestNs !== undefined && { knownFromNs: oldestNs }),
      switches: [...new Set([...this.#ports.values()].map((port) => switchOf(port)))].filter(Boolean),
    };
  }

  #remarks(oldestNs: bigint | undefined, endedNs: bigint | undefined, unseen: boolean): string[] {
    const remarks: string[] = [];
    const since = oldestNs === undefined ? "" : ` of ${eveTime(oldestNs, false)}`;
    if (unseen)
      remarks.push(
        `what was logged up to that time was overwritten: only addresses that aged or were removed after the oldest record${since} are known`,
      );
    else if (!this.#booted)
      remarks.push(
        `the log does not reach back to the switch's start: addresses learned before its oldest record${since}, and not moved since, are missing`,
      );
    if (this.#flooded)
      remarks.push(
        `more addresses changed at a time than are logged (${changesPerTick} in 100 ms): some may be missing, or listed though they were forgotten`,
      );
    if (this.#lost)
      remarks.push(
        "records are missing in the log: addresses that were learned in them are, too, and what was forgotten may be listed",
      );
    if (this.#blind)
      remarks.push(
        "for some time no rule kept anything, and changes of the tables were not logged: addresses learned then are missing",
      );
    for (const [what, { timeNs, sequence }] of this.#flushes)
      remarks.push(`${what} flushed at ${eveTime(timeNs, false)} (record ${sequence})`);
    if (endedNs !== undefined)
      remarks.push("the log ends before that time: the switch had stopped by then, or nothing was kept");
    return remarks;
  }

  #entry({ change, sinceNs, sequence }: Known, how: MacChange["event"] | "later", mayHaveAged: boolean): MacEntryThen {
    return {
      mac: change.mac,
      fid: change.fid,
      port: this.#ports.get(change.portId) ?? `port ${change.portId}`,
      static: change.event === "static",
      how: how as MacEntryThen["how"],
      sinceNs,
      sequence,
      mayHaveAged: mayHaveAged && change.event !== "static",
    };
  }

  #look(): void {
    if (this.#logging === false && this.#attached.size > 0) this.#blind = true;
  }

  /** A budget that is used up may have left something out: nothing else tells. */
  #count({ timeNs, changes }: { timeNs: bigint; changes: readonly MacChange[] }): void {
    this.#recent = this.#recent.filter((each) => timeNs - each.timeNs <= tickNs);
    this.#recent.push({ timeNs, count: changes.length });
    if (this.#recent.reduce((sum, { count }) => sum + count, 0) >= changesPerTick) this.#flooded = true;
  }

  #key(change: MacChange): string {
    return keyOf(change, switchOf(this.#ports.get(change.portId) ?? ""));
  }

  #change(change: MacChange, { timeNs, sequence }: { timeNs: bigint; sequence: bigint }): void {
    const key = this.#key(change);
    // Ageing is logged by another thread than learning: its record may stand behind that of the address's next port.
    const gone = change.event === "aged" || change.event === "removed";
    if (gone && this.#entries.get(key)?.change.portId === change.portId) this.#entries.delete(key);
    if (gone) return;
    this.#entries.set(key, { change, sinceNs: timeNs, sequence });
    this.#flushed.delete(key);
  }

  /** What it removed is named in its record as far as there is room; the rest is what the table had. */
  #flush(event: MacEvent, { portId, of }: { portId: number; of: "port" | "switch" }): void {
    const port = this.#ports.get(portId) ?? "";
    const home = switchOf(port);
    const { timeNs, sequence } = event;
    this.#flushes.set(of === "port" ? `the addresses behind ${port} were` : `the table of ${home} was`, event);
    const forget = (change: MacChange) => {
      const { mac, fid } = change;
      this.#flushed.set(keyOf(change, home), { mac, fid, switch: home, timeNs, sequence });
    };
    for (const { change } of this.#entries.values()) {
      const here = of === "port" ? change.portId === portId : switchOf(this.#ports.get(change.portId) ?? "") === home;
      if (!here || change.event === "static") continue;
      forget(change);
      this.#entries.delete(this.#key(change));
    }
    for (const change of event.changes) forget(change);
  }

  /** Its entries die with a port, whether or not each of them was told. */
  #detach(id: number): void {
    this.#attached.delete(id);
    for (const [key, { change }] of this.#entries) if (change.portId === id) this.#entries.delete(key);
  }
}

/** "vale0" of "vale0:a". */
export function switchOf(port: string): string {
  const colon = port.indexOf(":");
  return colon < 0 ? "" : port.slice(0, colon);
}

function order(a: MacEntryThen, b: MacEntryThen): number {
  const [left, right] = [switchOf(a.port), switchOf(b.port)];
  if (left !== right) return left < right ? -1 : 1;
  if (a.mac !== b.mac) return a.mac < b.mac ? -1 : 1;
  return a.fid - b.fid;
}
