// The thread that sends frames in time, as the addon gives it (native/addon/replay_binding.cc). logger/replay.ts uses it.
import type { CaptureBatch } from "../logger/capture/capture.js";
import { loadAddon } from "./load.js";

export type ReplayMode = "original" | "framesPerSecond" | "bitsPerSecond" | "top";

/** Exact numbers. Errors are how much later than its deadline a frame was handed to the switch. */
export interface PacerReport {
  sentFrames: number;
  sentBytes: number;
  /** Left out: longer than any live port takes, or without a byte. */
  tooLong: number;
  empty: number;
  /** Frames sent more than 1 ms behind their deadline. */
  missed: number;
  /** Times that a transmit ring was full and the replay waited for the switch. */
  waits: number;
  /** From the first frame to the last. */
  elapsedNs: number;
  errorP50Ns: number;
  errorP99Ns: number;
  errorP999Ns: number;
  errorMaxNs: number;
  /** Ports whose ring the switch had not emptied within 2 s of the last frame. */
  unconfirmedPorts: number;
  /** Frames sent to each port, in the order of the ports. */
  portFrames: number[];
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
    loopStart: boolean,
    keep: boolean,
  ): number;
  /** Frames of interface i go to port number targets[i], -1 = none. */
  pushCapture(
    batch: CaptureBatch,
    selected: Uint8Array | null,
    targets: Int32Array,
    framesMax: number,
    loopStart: boolean,
    keep: boolean,
  ): number;
  /** Queues everything that was pushed with `keep`, once. */
  pushKept(framesMax: number): number;
  room(): boolean;
  waitRoom(): Promise<void>;
  end(): void;
  stop(): void;
  sent(): number;
  finish(): Promise<PacerReport>;
}

const modes: Record<ReplayMode, number> = { original: 0, framesPerSecond: 1, bitsPerSecond: 2, top: 3 };

/** `speed` counts for "original" (2 = twice as fast), `rate` for the two rates. */
export function createNativeReplay(mode: ReplayMode, speed: number, rate: number): NativeReplay {
  const addon = loadAddon("paste_switch") as unknown as {
    Replay: new (mode: number, speed: number, rate: number) => NativeReplay;
  };
  return new addon.Replay(modes[mode], speed, rate);
}
