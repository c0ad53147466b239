// The thread that sends frames in time, as the addon gives it (native/addon/replay_binding.cc). logger/replay.ts uses it.
import type { CaptureBatch } from "../logger/capture/capture.js";
import { loadAddon } from "./load.js";

export type ReplayMode = "original" | "framesPerSecond" | "bitsPerSecond" | "top";

/** Exact numbers. Errors are how much later than its deadline a frame was handed over. */
export interface PacerReport {
  sentFrames: number;
  sentBytes: number;
  /** Left out: longer than its port takes, or without a byte. */
  tooLong: number;
  empty: number;
  /** Of the sent: frames that their source has not all of. */
  cut: number;
  /** Of the sent: frames that a device or the kernel refused (it is down, or too short a frame). */
  refused: number;
  /** Frames of which rewriting changed a byte, and those whose SCTP checksum could not be made anew. */
  rewritten: number;
  unmended: number;
  /** Frames sent more than 10 us behind their deadline, and those sent more than 1 ms behind it. */
  late: number;
  missed: number;
  /** Times that a transmit ring was full and the replay waited for the switch. */
  waits: number;
  /** From the first frame to the last, pauses included. */
  elapsedNs: number;
  pausedNs: number;
  /** The sending thread ran ahead of others (SCHED_FIFO). */
  realtime: boolean;
  /** How long `beginAtNs` was past when the first frame was there. */
  startLateNs: number;
  /** Wall clock: when the first frame was due, and when the last one was handed over; 0n: there was none. */
  beganNs: bigint;
  endedNs: bigint;
  errorP50Ns: number;
  errorP99Ns: number;
  errorP999Ns: number;
  errorMaxNs: number;
  /** Medians of the first second and of the last whole one; not there when the replay took less than two. */
  firstSecondP50Ns?: number;
  lastSecondP50Ns?: number;
  /** Ports whose ring the switch had not emptied within 2 s of the last frame. */
  unconfirmedPorts: number;
  /** Frames sent to each port, in the order of the ports. */
  portFrames: number[];
}

/** As native/core/replay/rewrite.h has it: see rewrite_options() of the binding. */
export interface NativeRewrite {
  macs: Uint8Array;
  nets: Uint8Array;
  ports: Uint16Array;
  vlan: number;
  vlanId: number;
}

/** push*() copies and returns the number of frames taken. Failures carry "CODE: message". */
export interface NativeReplay {
  /** Attaches the ports and starts the thread, which waits for frames. */
  open(socket: string, ports: readonly string[], slots: number): Promise<void>;
  /** Frames that came from port sourceIds[i] go to port number targets[i], those of other ports to `others`; -1 = nowhere. */
  pushStore(
    index: Uint32Array,
    bytes: ArrayBuffer,
    sourceIds: Uint32Array,
    targets: Int32Array,
    others: number,
    framesMax: number,
    sourceStart: boolean,
    keep: boolean,
  ): number;
  /** Frames of interface i go to port number targets[i], -1 = none. */
  pushCapture(
    batch: CaptureBatch,
    selected: Uint8Array | null,
    targets: Int32Array,
    framesMax: number,
    sourceStart: boolean,
    keep: boolean,
  ): number;
  /** Queues everything that was pushed with `keep`, once. */
  pushKept(framesMax: number): number;
  room(): boolean;
  waitRoom(): Promise<void>;
  end(): void;
  stop(): void;
  /** Time stands still for the frames that wait; step() sends the next one at once and pauses. */
  pause(): void;
  resume(): void;
  step(): void;
  sent(): number;
  /** The thread sends no more: it was stopped, or a port disappeared. */
  ended(): boolean;
  finish(): Promise<PacerReport>;
}

const modes: Record<ReplayMode, number> = { original: 0, framesPerSecond: 1, bitsPerSecond: 2, top: 3 };

export interface NativeReplayOptions {
  mode: ReplayMode;
  /** Of "original": 2 = twice as fast. */
  speed: number;
  /** Of the two rates. */
  rate: number;
  /** Wall clock: when the first frame is due; 0n = at once. */
  beginAtNs: bigint;
  /** Whether the sending thread asks to run ahead of others; left out: where there are deadlines, and cores enough. */
  realtime?: boolean;
  /** Text of the frames that mark begin and end; "" = none are sent. */
  marker: string;
  rewrite?: NativeRewrite;
}

export function createNativeReplay(options: NativeReplayOptions): NativeReplay {
  const addon = loadAddon("paste_switch") as unknown as { Replay: new (options: object) => NativeReplay };
  return new addon.Replay({ ...options, mode: modes[options.mode] });
}
