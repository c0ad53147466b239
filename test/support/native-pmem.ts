// The test addon's door to checksums, clock, domains and regions (native/test/pmem_binding.cc).
import { loadAddon } from "../../native/load.js";

export interface TestRegion {
  sizeBytes: number;
  medium: string;
  survives: string;
  fileSystem: string;
  domain(): string;
  intact(): boolean;
  head(extentBytes: number): void;
  storeHead(offset: number, bytes: Uint8Array, flush: boolean): void;
  storeStaged(offset: number, sizeBytes: number, at: number, bytes: Uint8Array, release: boolean): void;
  publish(offset: number, sizeBytes: number): void;
  populate(offset: number, sizeBytes: number): boolean;
  sync(): void;
  read(offset: number, sizeBytes: number): Buffer;
  close(): void;
}

export interface TestClock {
  now(): bigint;
  hold(timeNs: bigint): void;
  calibrate(): { stepped: boolean; from: bigint; to: bigint };
  backwards(calibrations: number): number;
}

export interface PmemAddon {
  packetHashVariants(): { name: string; compute(bytes: Uint8Array): number }[];
  crc32cVariants(): { name: string; compute(seed: number, bytes: Uint8Array): number }[];
  streamVariants(bytes: Uint8Array, offsetLines: number): { name: string; streamed: Buffer; stored: Buffer }[];
  createClock(): TestClock;
  createRegion(path: string, options: { sizeBytes: number; sparse?: boolean }): void;
  openRegion(path: string, access: "read" | "write"): TestRegion;
  syncTo(path: string): string[];
  flushFromThreads(path: string, threads: number, rounds: number): number;
}

export const pmem = loadAddon("paste_switch_test") as unknown as PmemAddon;
