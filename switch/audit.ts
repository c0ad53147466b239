// The log once more through the switch: did it do with each frame what it says (audit), and what would another configuration have
// done (what-if)? The frames go through the real forwarding code, in this process, without a port.
import { PasteError } from "../logger/errors.js";
import { decodeEvents, type RuleSetEvent } from "../logger/events.js";
import { type AuditDoubts, createNativeAudit, type NativeAuditOptions, type NativeFinding } from "../native/audit.js";
import { asPasteError, native, outcomes, type PortInfo } from "../native/engine.js";
import { openNativeReader, type ReadCounters } from "../native/reader.js";
import { type DaemonConfig, defaultConfig, loadConfig } from "./config.js";
import { filterCompiler } from "./filter-compiler.js";
import { buildPortOptions } from "./port-options.js";
import type { PortSpec } from "./port-spec.js";
import type { RuleText } from "./rules.js";
import { nativeOptions } from "./switch.js";

export type AuditPort = Pick<PortSpec, "name" | "options">;
export interface AuditConfig extends Pick<DaemonConfig, "switch"> {
  ports: readonly AuditPort[];
}

export interface AuditOptions {
  /** A store; it may be written meanwhile. */
  source: string;
  /** What the switch was configured with. */
  recorded: AuditConfig;
  /** What-if: the configuration that is tried on what was logged. */
  other?: AuditConfig;
  /** Findings to give at most; default 1000. All are counted. */
  limit?: number;
  /** Ends early, with what was found. */
  signal?: AbortSignal;
  onProgress?: (frames: number) => void;
}

/** Where a frame went, in words: "vale0:b", "flooded to vale0:b vale0:c", "flooded, 2 copies", "dropped: hairpin". */
export interface AuditFinding {
  sequence: bigint;
  timeNs: bigint;
  ingress: string;
  was: string;
  would: string;
}

export interface AuditReport {
  frames: number;
  /** As recorded; or, of another configuration: as it was. */
  same: number;
  differ: number;
  notJudged: AuditDoubts;
  findings: AuditFinding[];
  counters: ReadCounters;
  aborted: boolean;
}

/** What each doubt means, for people. */
export const doubtTexts: Record<keyof AuditDoubts, string> = {
  load: "refused where they should go, by a full ring, or a port that was down or went",
  order: "the address was learned or moved within a second, and the log does not say which came first",
  ageing: "the address was about to grow old, or had just done so",
  before: "the address was learned before the log begins, or while nothing was logged",
  ports: "ports were there before the log begins and were not described yet, or came or went just then",
  cut: "too few bytes were kept to tell addresses and VLAN",
  lost: "records or changes of the table are missing in the log",
  imported: "they never went through a switch",
  baseline: "with the recorded configuration, too, the log is not reproduced: see `paste-switch audit`",
};

const batchRecords = 8192;
const batchBytes = 1 << 20;

/** Throws STORE for what is no store or cannot be read, RESOURCE for more ports at a time than can be followed. */
export async function auditStore(options: AuditOptions): Promise<AuditReport> {
  const { source, recorded, other, limit = 1000, signal } = options;
  const audit = native(() => createNativeAudit(shadow(recorded), other ? shadow(other) : null, limit));
  const reader = native(() => openNativeReader(source));
  const findings: AuditFinding[] = [];
  try {
    native(() => reader.start({ framesOnly: false }));
    for (let more = true; more && !signal?.aborted; ) {
      const missedBefore = missed(reader.counters());
      const batch = await reader.next(batchRecords, batchBytes);
      more = batch.more;
      if (missed(reader.counters()) !== missedBefore) audit.missed();
      const ruleSets = [...decodeEvents(batch)].filter((event): event is RuleSetEvent => event.type === "rule-set");
      for (let at = 0; at < batch.count; at++) {
        at = native(() => audit.feed(batch.index, batch.bytes, at));
        const rules = at < batch.count ? ruleSets.shift() : undefined;
        if (rules) audit.rules(rules.ruleCount > 0, keepsEveryFrame(rules.text));
      }
      take(audit.findings());
      options.onProgress?.(audit.report().frames);
    }
    audit.finish();
    take(audit.findings());
    return { ...audit.report(), findings, counters: reader.counters(), aborted: signal?.aborted ?? false };
  } catch (error) {
    throw asPasteError(error);
  } finally {
    reader.close();
  }

  function take(found: readonly NativeFinding[]): void {
    if (found.length === 0 || findings.length >= limit) return;
    const names = new Map(reader.names().ports.map(({ id, name }) => [id, name]));
    const name = (id: number) => names.get(id) ?? `port ${id}`;
    for (const each of found.slice(0, limit - findings.length)) {
      const { sequence, timeNs, egress } = each;
      const was = fate({ ...each, ports: each.ports || (egress === 0 ? "" : name(egress)) });
      findings.push({ sequence, timeNs, ingress: name(each.ingress), was, would: fate(each.would) });
    }
  }
}

/** The configuration of a file, or of a switch without one; `ports` replace the file's of the same name. Throws USAGE. */
export async function auditConfig(file?: string, ports: readonly AuditPort[] = []): Promise<AuditConfig> {
  const twice = ports.find(({ name }, i) => ports.findIndex((port) => port.name === name) !== i);
  if (twice) throw new PasteError("USAGE", `port ${twice.name} is named twice: give all of its options at once`);
  const config = file === undefined ? defaultConfig() : loadConfig(file, await filterCompiler());
  const rest = config.ports.filter(({ name }) => !ports.some((port) => port.name === name));
  return { switch: config.switch, ports: [...rest, ...ports] };
}

/** The ports of a running daemon with the options that they have now: its file does not know those that were added since. */
export function portsAtWork(
  ports: readonly Pick<PortInfo, "name" | "vlan" | "mirror" | "mirrorDirection">[],
): AuditPort[] {
  return ports.map(({ name, vlan, mirror, mirrorDirection }) => {
    const pairs = vlan === "" ? [] : vlan.split(", ").map((option) => option.split(" ") as [string, string]);
    if (mirror.length > 0) pairs.push(["mirror", mirror.join("+")], ["mirror-direction", mirrorDirection]);
    return { name, options: buildPortOptions(name, pairs) };
  });
}

function missed({ overtaken, corrupt }: ReadCounters): number {
  return overtaken + corrupt;
}

function fate({ outcome, flooded, copies, ports }: NativeFinding["would"]): string {
  if (outcome !== 0) return `dropped: ${outcomes().drops[outcome - 1]?.name ?? `reason ${outcome - 1}`}`;
  if (!flooded) return ports;
  return ports ? `flooded to ${ports}` : `flooded, ${copies} ${copies === 1 ? "copy" : "copies"}`;
}

function shadow({ ports, switch: { macEntries, macEntriesPerPort, macAgeMs } }: AuditConfig): NativeAuditOptions {
  return {
    macEntries,
    macEntriesPerPort,
    macAgeMs,
    ports: ports.map(({ name, options }) => ({ name, options: nativeOptions(options) })),
  };
}

/** Whether a rule set, as the log has it, lets no frame pass without a record. */
export function keepsEveryFrame(text: string): boolean {
  let rules: Partial<RuleText>[];
  try {
    rules = JSON.parse(text) as Partial<RuleText>[];
  } catch {
    return false;
  }
  for (const { filter = "", inPorts = [], outPorts = [], sample = 1, skip = false } of rules) {
    if (skip || sample > 1) return false;
    if (filter.trim() === "" && inPorts.length === 0 && outPorts.length === 0) return true;
  }
  return false;
}
