// The engine as TypeScript sees it: switches, ports, rules and forwarding threads of one daemon (native/core/switch/engine.h). Every
// call takes effect at a quiescent point of the forwarding threads and returns then. Failures throw PasteError.
import { type ErrorCode, PasteError } from "../logger/errors.js";
import { loadAddon } from "./load.js";
import type { RecoveryReport, StoreCounters } from "./store.js";

export type WaitMode = "adaptive" | "block" | "busy";
export type Durability = "strict" | "relaxed";
export type PersistMode = "auto" | "pack" | "mark";
export type FramePlace = "auto" | "store" | "dram";
export type FullPolicy = "overwrite" | "stop" | "block";

export interface EngineOptions {
  threads: number;
  wait: WaitMode;
  durability: Durability;
  persist: PersistMode;
  /** Frames from this size on are marked in place with `persist: "auto"`; 0 = as measured: 1024 where a device's DMA fills the buffers, else none. */
  markBytesMin: number;
  macEntries: number;
  macEntriesPerPort: number;
  macAgeMs: number;
  /** Memory of each forwarding thread for frames that devices fill, in bytes; absent or 0: the default. */
  frameMemoryBytes?: number;
  /** Where it lies; auto (the default): in the store where that can be pinned. */
  framePlace?: FramePlace;
  /** Path of ports.sock; empty: no vale ports for other processes. */
  portsSocket: string;
  socketMode: number;
  /** Group whose members may connect; -1: nobody but the daemon's own user and root. */
  socketGid: number;
  /** Absent: no store, nothing can be logged. */
  store?: { path: string; full: FullPolicy; blockTimeoutMs: number; index?: boolean; indexTunnels?: boolean };
}

export interface RuleSpec {
  name: string;
  filter: string;
  /** struct bpf_insn, little-endian, 8 bytes each. */
  program: Uint8Array;
  inPorts: string[];
  outPorts: string[];
  snaplen: number;
  sample: number;
  skip: boolean;
  durability?: Durability;
}

/** Counters are exact integers below 2^53; names of drops, refusals and reasons are those of `outcomes()`. */
export interface PortCounters {
  receivedFrames: number;
  receivedBytes: number;
  forwardedFrames: number;
  dropped: Record<string, number>;
  intendedCopies: number;
  deliveredCopies: number;
  deliveredBytes: number;
  refused: Record<string, number>;
  copiedFrames: number;
  zeroCopyFrames: number;
  /** Of the delivered copies: sent from where they had been received. */
  inPlaceCopies: number;
  rejectedLearning: number;
  kicksSent: number;
  kicksReceived: number;
  clientFaults: number;
}

/** What the device or the kernel dropped before the port could see it: outside the exact sums. */
export interface DeviceCounters {
  /** No room in a chunk, no memory. */
  dropped: number;
  /** The switch was slower than the device. */
  ringFull: number;
  /** No free buffer was posted. */
  noBuffer: number;
  /** Refused by the kernel, either direction: a fault of this program. */
  invalidDescriptors: number;
}

export interface PortInfo {
  name: string;
  kind: "vale" | "pcap" | "netmap" | "xdp" | "tap";
  /** "up"; "down": its device is away, and is waited for; "waiting for its client"; others by kind. */
  state: string;
  /** How it really works, or why it is down; empty: nothing to tell. */
  detail: string;
  /** The interface behind it, "NETNS/IF" in another namespace; empty without one. */
  interface: string;
  /** "access 5", "trunk 10+20-30, native 5"; empty: transparent. */
  vlan: string;
  mirror: string[];
  /** Empty: no mirror. */
  mirrorDirection: string;
  id: number;
  thread: number;
  slots: number;
  frameBytesMax: number;
  clientPid: number;
  clientUid: number;
  counters: PortCounters;
  device: DeviceCounters;
}

export interface MacInfo {
  mac: string;
  fid: number;
  port: string;
  static: boolean;
  ageMs: number;
}

export interface EngineStats {
  ports: PortInfo[];
  /** The sum of every port that is gone. */
  detached: PortCounters;
  rules: { name: string; hits: number; logged: number; bytes: number }[];
  selected: number;
  logged: number;
  notLogged: Record<string, number>;
  batches: number;
  strictBatches: number;
  ticketsWaiting: number;
  ingressBlockedMs: number;
  macEntries: number;
  macLearned: number;
  macMoved: number;
  macAged: number;
  macRefused: number;
  ruleSet: number;
  /** Open live taps: the port, the ports by * and ?, or "any" that each looks at. */
  taps: string[];
  /** Absent without a store. */
  store?: StoreCounters;
}

export interface OutcomeText {
  name: string;
  sentence: string;
}

/** What a port is told when it is attached, whatever its kind (native/core/ports/port_options.h). */
export interface NativePortOptions {
  /** `vid`: VLAN of an access port; native VLAN of a trunk, 0 = untagged frames are refused. `allowed` absent: every VLAN. */
  vlan?: { policy: "transparent" | "access" | "trunk"; vid: number; allowed?: readonly number[] };
  /** Makes it a mirror port: names or globs of ports of its own switch, and which of their directions it gets copies of. */
  mirror?: { ports: readonly string[]; in: boolean; out: boolean };
}

/** What the addon exports for an engine; messages of failures carry their code in front, "CODE: message". */
export interface NativeEngine {
  start(): void;
  /** Whether ports are asked for frames, from the beginning true; what waits meanwhile waits in their rings. */
  setReceiving(receiving: boolean): void;
  /** `wait`: a device that is not there is no error; it is waited for, in state "down". */
  attach(name: string, spec: string, options?: NativePortOptions, wait?: boolean): void;
  detach(name: string): void;
  setRules(rules: RuleSpec[], text: string): void;
  macAdd(switchName: string, mac: string, fid: number, port: string): void;
  macRemove(switchName: string, mac: string, fid: number): void;
  macFlush(switchName: string, port: string): number;
  macList(switchName: string): MacInfo[];
  stats(): EngineStats;
  trim(sequence: bigint): number;
  /** Drains and closes the store clean; resolves when that is done, off the main thread. */
  drain(): Promise<void>;
  /** What opening the store found; null without a store. */
  recovery(): RecoveryReport | null;
  /** Medium and its promises; null without a store. */
  medium(): { name: string; survives: string; fileSystem: string; domain: string; marking: boolean } | null;
}

interface EngineAddon {
  /** Opens (and recovers) the store off the main thread, then makes the engine. */
  createEngine(options: EngineOptions): Promise<NativeEngine>;
  outcomes(): { drops: OutcomeText[]; refusals: OutcomeText[]; notLogged: OutcomeText[] };
}

const codePattern = /^([A-Z]+): ([\s\S]*)$/;

/** Turns an error of the addon ("CODE: message") into a PasteError; leaves others as they are. */
export function asPasteError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PasteError) return error;
  const match = codePattern.exec(error.message);
  if (!match) return error;
  return new PasteError(match[1] as ErrorCode, match[2] ?? "", { cause: error });
}

/** Calls the addon and throws what it throws as a PasteError. */
export function native<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asPasteError(error);
  }
}

const addon = () => loadAddon("paste_switch") as unknown as EngineAddon;

/** Opens the store if there is one (recovering it if need be) and makes an engine that is not started yet. */
export async function createEngine(options: EngineOptions): Promise<NativeEngine> {
  try {
    return await addon().createEngine(options);
  } catch (error) {
    throw asPasteError(error);
  }
}

/** Every reason for a drop, a refusal or a frame not logged: name and sentence, in the order of the counters. */
export function outcomes(): ReturnType<EngineAddon["outcomes"]> {
  return addon().outcomes();
}
