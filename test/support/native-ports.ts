// The hub over real ports, and the raw client, of the test addon (native/test/ports_binding.cc, hostile_client.cc).
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAddon } from "../../native/load.js";

export { until } from "./until.js";

export interface HubCounters {
  dropped: Record<string, number>;
  refused: Record<string, number>;
  receivedFrames: number;
  receivedBytes: number;
  deliveredCopies: number;
  deliveredBytes: number;
  intendedCopies: number;
  copiedFrames: number;
  zeroCopyFrames: number;
  kicksSent: number;
  kicksReceived: number;
  clientFaults: number;
}

export interface HubFrame {
  bytes: Buffer;
  padding: Buffer;
  wireLength: number;
  timeNs: number;
  framed: boolean;
  aligned: boolean;
  inStore: boolean;
}

/** One Port method per call; frames of a batch are named by first index and count, all of them by default. */
export interface Hub {
  listen(path: string, helloMs?: number, connectionsMax?: number, userBytesMax?: number, gid?: number): void;
  /** As a daemon that died: sockets and ports are gone at once. */
  stop(): void;
  /** A thread that floods every frame to every other port, until halt(). */
  run(): void;
  halt(): void;
  rounds(): number;
  hold(timeNs: number): void;
  dismiss(name: string): void;
  ports(): string[];
  local(name: string, slots: number, bufferBytes: number): void;
  pcap(name: string, spec: string, poolBlocks?: number, blockBytes?: number): void;
  poolUses(): number;

  receive(name: string, max?: number): number;
  frames(): HubFrame[];
  unreceive(name: string, count: number): void;
  release(name: string): void;
  reserve(name: string, from?: number, count?: number): number;
  deliver(name: string, from?: number, count?: number): number;
  cancel(name: string, from?: number, count?: number): void;
  notify(name: string): void;
  arm(name: string): boolean;
  disarm(name: string): void;
  rang(name: string): void;
  alive(name: string): boolean;
  state(name: string): string;
  counters(name: string): HubCounters;
  remove(name: string): void;

  clientSend(name: string, frames: readonly Uint8Array[]): number;
  clientReceive(name: string, max?: number, sizeBytes?: number): Buffer[];
  clientRoom(name: string): number;
  clientPending(name: string): number;
  clientArm(name: string, forRoom: boolean): boolean;
  /** 0 ready, 1 timeout, 2 reconnected, 3 gone. Blocks. */
  clientWait(name: string, forRoom: boolean, timeoutMs: number): number;
  layout(name: string): { bytes: number; txRing: number; rxRing: number; txSync: number; rxSync: number };
  peek(name: string, offset: number, bytes: number): Buffer;
  poke(name: string, offset: number, bytes: Uint8Array): void;
  mutate(name: string, seed: number, writes: number): void;
}

export type Offer = "sealed" | "unsealed" | "write-sealed" | "file" | "pipe";

/** A connection to ports.sock without the library; calls return 0 or an errno where nothing else is said. */
export interface RawClient {
  say(bytes: Uint8Array, offer?: Offer | number, offerBytes?: number): boolean;
  memoryFd(): number;
  kick(): void;
  /** Bytes taken out of the doorbell; negative when there are none. */
  kicks(): number;
  /** The next packet; null when the daemon hung up. Throws when it does neither for five seconds. Keeps the descriptors that come. */
  hear(): Buffer | null;
  truncate(bytes: number): number;
  addSeals(): number;
  punchHole(): number;
  mapWritable(): number;
  /** The one descriptor of the last answer is memory. */
  isMemory(): void;
  closeMemory(): void;
  fillDoorbell(): number;
  shutDoorbell(how: 0 | 1 | 2): void;
  closeDoorbell(): void;
  close(): void;
}

interface PortsAddon {
  makeHub(): Hub;
  connectRaw(path: string): RawClient | null;
}

const addon = () => loadAddon("paste_switch_test") as unknown as PortsAddon;
export const makeHub = (): Hub => addon().makeHub();
export const connectRaw = (path: string): RawClient | null => addon().connectRaw(path);

/** A 4-byte little-endian number, for poke(). */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** A netmap slot: buffer index, length, flags, and a pointer that nobody uses. */
export function slot(buffer: number, length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(buffer >>> 0, 0);
  bytes.writeUInt16LE(length, 4);
  bytes.writeUInt16LE(flags, 6);
  return bytes;
}

/** A frame that tells its number and length apart from all others. */
export function frame(number: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (number * 31 + i * 7 + (i >> 8) * 13 + 1) & 0xff;
  return bytes;
}

let sockets = 0;
/** A path for a socket, another one with each call. */
export const socketPath = () => join(tmpdir(), `paste-ports-${process.pid}-${sockets++}.sock`);

/** A hub of ports that listens on a socket of its own. */
export function listening(helloMs?: number, connectionsMax?: number): { hub: Hub; path: string } {
  const hub = makeHub();
  const path = socketPath();
  hub.listen(path, helloMs, connectionsMax);
  return { hub, path };
}
