// Stores of their own for tests, filled with what a test wants to find again.
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { blockKinds, constants, structs } from "../../logger/layout.js";
import { type FrameOptions, openStore, type StoreReader } from "../../logger/reader.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";

export interface TestFrame {
  readonly data: Buffer;
  readonly wireLength: number;
  readonly timeNs: bigint;
  readonly interface?: number;
}

/** A folder in `parent`, or in memory where there is some, gone when the test ends. */
export function testFolder(t: ExecutionContext, parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir()): string {
  const folder = mkdtempSync(join(parent, "paste-switch-reader-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store of 16 MiB (or `sizeBytes`) with these frames, whose interfaces are the named ports. */
export async function storeWith(
  t: ExecutionContext,
  frames: readonly TestFrame[],
  options: { ports?: readonly string[]; sizeBytes?: number; blockBytes?: number; folder?: string } = {},
): Promise<string> {
  const path = join(options.folder ?? testFolder(t), "test.store");
  const { sizeBytes = 16 << 20, blockBytes, ports = ["port-a", "port-b"] } = options;
  await createStore(path, { sizeBytes, ...(blockBytes && { blockBytes }) });
  await appendTo(path, frames, ports);
  return path;
}

export async function appendTo(path: string, frames: readonly TestFrame[], ports: readonly string[]): Promise<void> {
  const appender = await StoreAppender.open(path);
  for (const port of ports) appender.addInterface(port);
  for (let i = 0; i < frames.length; i += 500) await appender.append(batchOf(frames.slice(i, i + 500)));
  await appender.close();
}

/** A small store that goes round: `write` appends 4,000 frames so many times and makes them durable; `close` ends the writer. */
export async function ringStore(t: ExecutionContext, seed: number) {
  const path = join(testFolder(t), "ring.store");
  await createStore(path, { sizeBytes: 16 << 20, blockBytes: 64 << 10 });
  const appender = await StoreAppender.open(path);
  appender.addInterface("a");
  const { batch } = generateTraffic({ seed, frames: 4000 });
  const one = { ...batch, interfaces: new Uint16Array(batch.count) };
  const write = async (times: number) => {
    for (let i = 0; i < times; i++) await appender.append(one);
    await appender.flush();
  };
  return { path, write, close: () => appender.close() };
}

export interface StoredFrame extends TestFrame {
  readonly sequence: bigint;
  readonly ingress: string;
}

export async function storedFrames(store: string | StoreReader, options: FrameOptions = {}): Promise<StoredFrame[]> {
  const reader = typeof store === "string" ? openStore(store) : store;
  const frames: StoredFrame[] = [];
  for await (const batch of reader.frames(options))
    for (let i = 0; i < batch.count; i++)
      frames.push({
        sequence: batch.sequence(i),
        timeNs: batch.timeNs(i),
        ingress: batch.ingress(i),
        wireLength: batch.wireLength(i),
        data: Buffer.from(batch.bytes(i)),
      });
  return frames;
}

/** Index of the first frame that differs in bytes, length or time; -1 = the same frames. */
export function firstDifference(found: readonly TestFrame[], expected: readonly TestFrame[]): number {
  const length = Math.max(found.length, expected.length);
  for (let i = 0; i < length; i++) {
    const [a, b] = [found[i], expected[i]];
    if (!a || !b || a.timeNs !== b.timeNs || a.wireLength !== b.wireLength || !a.data.equals(b.data)) return i;
  }
  return -1;
}

/** What a merge gives: always the head with the lowest time, of equal ones that of the first source. */
export function mergedModel<Frame extends TestFrame>(sources: readonly Frame[][]): Frame[] {
  const at = sources.map(() => 0);
  const merged: Frame[] = [];
  for (;;) {
    let best = -1;
    for (const [i, frames] of sources.entries()) {
      if (at[i]! >= frames.length) continue;
      if (best < 0 || frames[at[i]!]!.timeNs < sources[best]![at[best]!]!.timeNs) best = i;
    }
    if (best < 0) return merged;
    merged.push(sources[best]![at[best]!++]!);
  }
}

/** After a driver was abandoned: its heartbeat tells readers for a while that the writer lives. */
export function stopHeartbeat(path: string): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(8), 0, 8, Number(constants.kLiveOffset) + structs.LivePage.fields.heartbeat_ns);
  closeSync(file);
}

/** Where the records of a closed store lie, each block's in order, and the serials that their checksums are seeded with. */
export function recordsOf(whole: Buffer): { offset: number; serial: number }[] {
  const { fields } = structs.DirectoryEntry;
  const records: { offset: number; serial: number }[] = [];
  const first = Number(whole.readBigUInt64LE(structs.Superblock.fields.blocks_offset));
  const blockBytes = whole.readUInt32LE(structs.Superblock.fields.block_bytes);
  for (let block = 0; block < whole.readUInt32LE(structs.Superblock.fields.block_count); block++) {
    const entry = Number(constants.kDirectoryOffset) + block * structs.DirectoryEntry.size;
    const word = whole.readBigUInt64LE(entry);
    if (Number(word & 3n) !== blockKinds.kLog) continue;
    const end = first + block * blockBytes + whole.readUInt32LE(entry + fields.end_bytes);
    for (let offset = first + block * blockBytes + 64; offset < end; offset += whole.readUInt16LE(offset) * 64)
      records.push({ offset, serial: Number(word >> 2n) });
  }
  return records;
}
