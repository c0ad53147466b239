// A live tap as the addon gives it (native/addon/live_tap_binding.cc): frames that pass a running switch, copied beside it. switch/tap.ts
// is the face for programs.
import type { CaptureBatch } from "../logger/capture/capture.js";
import { native } from "./engine.js";
import { loadAddon } from "./load.js";

/** Columns as of a capture (but for `interfaces`), in the order of the frames' times, and what the switch did with each. */
export interface TappedBatch extends Omit<CaptureBatch, "interfaces"> {
  /** Ids of ports. `egress` 0: none; `egressFlooded`: every port that takes frames. */
  readonly ingress: Uint32Array;
  readonly egress: Uint32Array;
  /** 0: forwarded; else 1 + number of the reason among `outcomes().drops`. */
  readonly outcomes: Uint8Array;
  /** 1: a copy that left by `egress`; 0: a frame that came in by `ingress`. */
  readonly left: Uint8Array;
}

export const egressFlooded = 0xffffffff;

export interface TapState {
  /** Frames that were written over before they were read. */
  missed: number;
  /** Frames that wait, or were written over since the last one was read. */
  unread: number;
  /** False: the daemon is gone. */
  stands: boolean;
}

export interface NativeLiveTap {
  /** What is there, about so much at most; null when there is nothing. */
  read(framesMax: number, bytesMax: number): TappedBatch | null;
  state(): TapState;
  /** Names of ports by id; null when there are no more than with that version. */
  names(version: number): { version: number; ports: Record<number, string> } | null;
  close(): void;
}

export interface LiveTapWish {
  /** Path of the daemon's ports.sock. */
  socket: string;
  /** A port, several by * and ?, or "any". */
  port: string;
  in: boolean;
  out: boolean;
  /** Frames that went nowhere, too. */
  dropped: boolean;
  snaplen: number;
  /** Memory for each forwarding thread, a power of two from 512 KiB on; all together 64 MiB at most. */
  ringBytes: number;
  /** A BPF program that the switch runs beside its own, at most `tapFilterMax` instructions; absent: every frame. */
  filter?: Uint8Array;
}

/** Longer programs are better run by who reads. */
export const tapFilterMax = 512;

interface LiveTapAddon {
  NativeLiveTap: new (
    socket: string,
    port: string,
    flags: number,
    snaplen: number,
    ringBytes: number,
    filter: Uint8Array | null,
  ) => NativeLiveTap;
}

/** Opens a tap; it goes with close(), or with the process. Throws PORT (no daemon, no such port), PRIVILEGE, RESOURCE or USAGE. */
export function openLiveTap(wish: LiveTapWish): NativeLiveTap {
  const { NativeLiveTap } = loadAddon("paste_switch") as unknown as LiveTapAddon;
  const flags = (wish.in ? 1 : 0) | (wish.out ? 2 : 0) | (wish.dropped ? 4 : 0);
  return native(
    () => new NativeLiveTap(wish.socket, wish.port, flags, wish.snaplen, wish.ringBytes, wish.filter ?? null),
  );
}
