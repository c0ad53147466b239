// The native halves of the benchmarks (native/bench): the work that must not run in JavaScript. What is run, paired and printed
// is decided in test/bench.
import { asPasteError } from "./engine.js";
import { loadAddon } from "./load.js";
import type { PacerReport } from "./replay.js";

/** One configuration of the forwarding benchmark: a thread is generator, switch and sink of `ports` vale ports. */
export interface ForwardSide {
  /** 64 to 2048. Default 64. */
  frameBytes?: number;
  ports?: number;
  /** Per ring; ports * 2 * slots distinct packet buffers are in use. Default 512. */
  slots?: number;
  addresses?: number;
  /** Frames that each port sends before the switch looks. Default 30. */
  burst?: number;
  framesPerRound?: number;
  log?: "none" | "pack" | "mark";
  strict?: boolean;
  /** Index what is logged, as the daemon does. Default false. */
  index?: boolean;
  /** An existing store, for `log` other than none; no two sides may share one. */
  storePath?: string;
  seed?: number;
}

export interface ForwardResult {
  /** Generator, switch, log and sink together, one figure a round. */
  nsPerFrame: number[];
  sent: number;
  received: number;
  lost: number;
  /** Frames whose contents did not arrive as they were sent: every byte of every frame is read. */
  wrong: number;
  logged: number;
  notLogged: number;
  heldBackMs: number;
  buffers: number;
  mediumBytes: number;
}

/** One end of the benchmark across processes: run it in a process of its own. */
export interface EndOptions {
  socket: string;
  name: string;
  slots?: number;
  frameBytes?: number;
  /** Source: sends so long. Sink: ends so long after the first frame. */
  durationMs?: number;
  /** Sink: ends after so long without a frame. */
  idleMs?: number;
  framesMax?: number;
  /** Numbers of stations: 02:00:00:00:00:00 plus the number. */
  to?: number;
  from?: number;
  /** Source: 0 = as fast as the switch takes them. */
  framesPerSecond?: number;
  /** Never sleep. */
  busy?: boolean;
  /** Sink: sends one broadcast from `to` first, so that the switch knows the way. Default true. */
  announce?: boolean;
}

export interface EndResult {
  frames: number;
  bytes: number;
  wrong: number;
  /** Sink: numbers that never came. */
  lost: number;
  disordered: number;
  waits: number;
  /** CLOCK_MONOTONIC of the first and the last batch. */
  firstNs: bigint;
  lastNs: bigint;
}

/** A sender on an interface. Namespaces are names below /run/netns or paths; empty, the default, is this process's. */
export interface PacketSourceOptions {
  interface: string;
  netns?: string;
  /** Without the checksum of the wire; 60 to 9216. Default 64. */
  frameBytes?: number;
  /** 0 = until the time is over. */
  framesMax?: number;
  durationMs?: number;
  /** Numbers of stations: 02:00:00:00:00:00 plus the number. */
  to?: number;
  from?: number;
  /** Where the kernel counts what arrives. */
  sinkInterface?: string;
  sinkNetns?: string;
  /** So many frames may be under way to the sink; 0 (the default) = no limit. */
  window?: number;
}

export interface PacketSourceResult {
  frames: number;
  arrived: number;
  /** Until the last frame arrived; without a sink, was sent. */
  elapsedNs: number;
}

/** Frames from each of two devices to the other, without a switch between them: what the kernel's way costs alone. */
export interface RawForwarderOptions {
  kind: "xdp" | "tap";
  interfaces: readonly [string, string];
  /** Of the devices; empty = this process's. */
  namespaces: readonly [string, string];
}

/** Log blocks made in memory, indexed again and again on one thread, then asked. */
export interface IndexBenchOptions {
  /** Every frame is a flow of its own, of 64 bytes; else a mix of 60, 590 and 1514 bytes (IMIX). */
  newFlows?: boolean;
  /** Instead of IPv4, behind two tags. */
  ipv6?: boolean;
  flows?: number;
  segmentBytes?: number;
  /** Of the run. */
  bytesMax?: number;
  tunnels?: boolean;
  rounds?: number;
}

export interface IndexBenchResult {
  framesPerSecond: number[];
  frames: number;
  dataBytes: number;
  runBytes: number;
  /** Bits of the fields that did not fit. */
  omitted: number;
  /** Asking an open run for a host that is not there, and for one that is. */
  absentNs: number[];
  hostNs: number[];
  hostRecords: number;
}

/** A thread that looks at the clock until the next of `count` things is due, one every `gapNs`, and does nothing then. */
export interface SpinnerOptions {
  gapNs: number;
  count: number;
  /** Ahead of other programs (SCHED_FIFO); rejects (PRIVILEGE) where that is refused. */
  realtime?: boolean;
  /** Beside it another thread looks and yields, as the switch's forwarding thread does while frames come. */
  company?: boolean;
}

/** How late it noticed, as the report of a replay has it. */
export type SpinnerResult = Pick<
  PacerReport,
  "errorP50Ns" | "errorP99Ns" | "errorP999Ns" | "errorMaxNs" | "late" | "missed"
>;

interface BenchAddon {
  benchSpinner(options: SpinnerOptions): Promise<SpinnerResult>;
  benchIndex(options: IndexBenchOptions): Promise<IndexBenchResult>;
  benchRawForwarder(options: RawForwarderOptions, ready: () => void): Promise<void>;
  benchPacketSource(options: PacketSourceOptions): Promise<PacketSourceResult>;
  benchForward(sides: ForwardSide[], rounds: number): Promise<ForwardResult[]>;
  benchSource(options: EndOptions): Promise<EndResult>;
  benchSink(options: EndOptions): Promise<EndResult>;
}

const addon = () => loadAddon("paste_switch") as unknown as BenchAddon;

const coded = async <T>(promise: Promise<T>): Promise<T> => {
  try {
    return await promise;
  } catch (error) {
    throw asPasteError(error);
  }
};

/** Runs the sides' rounds in turn (A B A B ...) after a round of each that only warms up; one result for each side. */
export const benchForward = (sides: ForwardSide[], rounds: number): Promise<ForwardResult[]> =>
  coded(addon().benchForward(sides, rounds));
/** Makes an index run over blocks in memory, once to warm up and then once a round. */
export const benchIndex = (options: IndexBenchOptions): Promise<IndexBenchResult> => coded(addon().benchIndex(options));
/** Sends numbered frames to a port of a running daemon. */
export const benchSource = (options: EndOptions): Promise<EndResult> => coded(addon().benchSource(options));
/** Receives and checks them. */
export const benchSink = (options: EndOptions): Promise<EndResult> => coded(addon().benchSink(options));
/** Sends frames of one size, as fast as the kernel takes them, or as fast as they arrive. Needs CAP_NET_RAW. */
export const benchPacketSource = (options: PacketSourceOptions): Promise<PacketSourceResult> =>
  coded(addon().benchPacketSource(options));
/** Forwards until this process ends; `ready` is called once frames pass. Rejects when the devices cannot be opened. */
export const benchRawForwarder = (options: RawForwarderOptions, ready: () => void): Promise<void> =>
  coded(addon().benchRawForwarder(options, ready));
/** What this machine takes from anyone who keeps a schedule. */
export const benchSpinner = (options: SpinnerOptions): Promise<SpinnerResult> => coded(addon().benchSpinner(options));
