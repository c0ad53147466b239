// The log once more through the switch, as the addon gives it (native/addon/audit_binding.cc, native/core/replay/audit.h).
import type { NativePortOptions } from "./engine.js";
import { loadAddon } from "./load.js";

export interface NativeAuditOptions {
  macEntries: number;
  macEntriesPerPort: number;
  macAgeMs: number;
  /** Ports that are not here have no options. */
  ports: readonly { name: string; options: NativePortOptions }[];
}

/** Why frames were not judged, with their counts; audit.h says what each means. */
export type AuditDoubts = Record<
  "load" | "order" | "ageing" | "before" | "ports" | "cut" | "lost" | "imported" | "baseline",
  number
>;

export interface NativeAuditReport {
  frames: number;
  same: number;
  differ: number;
  notJudged: AuditDoubts;
}

export interface NativeFinding {
  sequence: bigint;
  timeNs: bigint;
  ingress: number;
  /** 0 = forwarded, else 1 + the reason. */
  outcome: number;
  flooded: boolean;
  egress: number;
  copies: number;
  /** Of a flood, where another configuration was asked about: the ports it went to. */
  ports: string;
  would: { outcome: number; flooded: boolean; copies: number; ports: string };
}

export interface NativeAudit {
  /** A batch read with `framesOnly: false`, from record `first` on; the place of the rule set it stopped at, or the number of records. */
  feed(index: Uint32Array, bytes: ArrayBuffer, first: number): number;
  /** What that rule set means: anything is logged, every frame is. */
  rules(any: boolean, every: boolean): void;
  missed(): void;
  finish(): void;
  report(): NativeAuditReport;
  /** Those since the last call, `findingsMax` at most. */
  findings(): NativeFinding[];
}

/** `other`: null to check what is recorded. */
export function createNativeAudit(
  recorded: NativeAuditOptions,
  other: NativeAuditOptions | null,
  findingsMax: number,
): NativeAudit {
  const addon = loadAddon("paste_switch") as unknown as {
    Audit: new (recorded: NativeAuditOptions, other: NativeAuditOptions | null, findingsMax: number) => NativeAudit;
  };
  return new addon.Audit(recorded, other, findingsMax);
}
