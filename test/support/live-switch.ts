// A real engine in this process with clients on its ports: what the tests of the switch run on.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { FrameBatch } from "../../logger/frame-batch.js";
import { StoreReader } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import {
  createEngine,
  type EngineOptions,
  type EngineStats,
  type FullPolicy,
  type NativeEngine,
  type PortCounters,
} from "../../native/engine.js";
import { openPort, type PortClient, type PortOptions } from "../../native/port-client.js";
import { engineDefaults } from "../bench/engine-options.js";
import { until } from "./until.js";

export { engineDefaults, rule } from "../bench/engine-options.js";
export { until } from "./until.js";

export interface LiveSwitch {
  engine: NativeEngine;
  folder: string;
  socket: string;
  open(name: string, options?: Partial<PortOptions>): PortClient;
  /** Path of the store; "" without one. */
  storePath: string;
  /** Every frame that is durable, in sequence order. */
  logged(): Promise<LoggedFrame[]>;
  /** The switch has taken and delivered everything that was sent before. */
  settled(): Promise<void>;
}

export interface StoreWanted {
  on: "memory" | "disk";
  sizeBytes?: number;
  blockBytes?: number;
  full?: FullPolicy;
  blockTimeoutMs?: number;
}

/** What may not change what is counted. */
export const threadsAndMedia = [
  [1, "memory"],
  [2, "memory"],
  [1, "disk"],
  [2, "disk"],
] as const;

/** Where files lie in memory, or undefined. */
const memoryFolder = existsSync("/dev/shm") ? "/dev/shm" : undefined;

/** Starts an engine in a folder of its own, with a store if one is wanted; all of it goes when the test ends. */
export async function liveSwitch(
  t: ExecutionContext,
  options: Partial<EngineOptions> = {},
  wanted?: StoreWanted,
): Promise<LiveSwitch> {
  const parent = wanted?.on === "memory" ? (memoryFolder ?? tmpdir()) : tmpdir();
  const folder = mkdtempSync(join(parent, "paste-switch-test-"));
  const socket = join(folder, "ports.sock");
  const storePath = wanted ? join(folder, "store") : "";
  const store = wanted && {
    path: storePath,
    full: wanted.full ?? "overwrite",
    blockTimeoutMs: wanted.blockTimeoutMs ?? 1000,
  };
  if (wanted)
    await createStore(storePath, {
      sizeBytes: wanted.sizeBytes ?? 16 << 20,
      ...(wanted.blockBytes ? { blockBytes: wanted.blockBytes } : {}),
    });
  const engine = await createEngine({
    ...engineDefaults,
    portsSocket: socket,
    ...(store ? { store } : {}),
    ...options,
  });
  engine.start();
  const clients: PortClient[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    await engine.drain();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    engine,
    folder,
    socket,
    storePath,
    async logged() {
      const reader = new StoreReader(storePath);
      const frames: LoggedFrame[] = [];
      for await (const batch of reader.frames())
        for (let i = 0; i < batch.count; i++) frames.push(loggedFrame(batch, i));
      reader.close();
      return frames;
    },
    open(name, more = {}) {
      const client = openPort({ socket, name, reconnectMs: 0, ...more });
      clients.push(client);
      return client;
    },
    async settled() {
      await until(() => clients.every((client) => client.closed || client.sentAll), "every frame taken");
      await until(() => allCounted(engine.stats()), "every frame accounted for");
    },
  };
}

/** An Ethernet frame: addresses are small numbers (0 = broadcast), the payload says who it is. */
export function frame(to: number, from: number, text = "", bytes = 60): Buffer {
  const data = Buffer.alloc(Math.max(bytes, 14 + text.length));
  data.writeUIntBE(to === 0 ? 0xffffffffffff : 0x020000000000 + to, 0, 6);
  data.writeUIntBE(0x020000000000 + from, 6, 6);
  data.writeUInt16BE(0x88b5, 12);
  data.write(text, 14, "latin1");
  return data;
}

export const textOf = (data: Buffer): string => data.toString("latin1", 14).replace(/\0+$/, "");

export const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Nothing is on its way: received is counted when a batch begins, forwarded and dropped when it ends. */
export const allCounted = ({ ports }: Pick<EngineStats, "ports">): boolean =>
  ports.every(({ counters: c }) => c.receivedFrames === c.forwardedFrames + total(c.dropped));

/** The three sums of the contract, over ports that are there and ports that are gone. */
export function sumsHold(t: ExecutionContext, stats: Omit<EngineStats, "rules">): void {
  const all: [string, PortCounters][] = [...stats.ports.map((p) => [p.name, p.counters] as [string, PortCounters])];
  all.push(["ports that are gone", stats.detached]);
  for (const [name, c] of all) {
    t.is(c.receivedFrames, c.forwardedFrames + total(c.dropped), `${name}: received = forwarded + dropped`);
    t.is(c.intendedCopies, c.deliveredCopies + total(c.refused), `${name}: intended = delivered + refused`);
  }
  t.is(stats.selected, stats.logged + total(stats.notLogged), "selected = logged + not logged");
}

export interface LoggedFrame {
  text: string;
  length: number;
  wireLength: number;
  ingress: string;
  egress: string;
  rule: string;
  strict: boolean;
  outcome: string;
  reserved: number;
  refused: number;
  flowHash: number;
  vlanTci: number | undefined;
  timeNs: bigint;
}

function loggedFrame(batch: FrameBatch, i: number): LoggedFrame {
  const bytes = Buffer.from(batch.bytes(i));
  return {
    text: textOf(bytes),
    length: bytes.length,
    wireLength: batch.wireLength(i),
    ingress: batch.ingress(i),
    egress: batch.egress(i),
    rule: batch.rule(i),
    strict: batch.strict(i),
    outcome: batch.outcome(i),
    reserved: batch.copiesReserved(i),
    refused: batch.copiesRefused(i),
    flowHash: batch.flowHash(i),
    vlanTci: batch.vlanTci(i),
    timeNs: batch.timeNs(i),
  };
}
