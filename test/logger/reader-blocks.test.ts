// Blocks whose words lie: in the directory, in their own headers, in the lengths of their records.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { blockKinds, constants, recordTypes, structs } from "../../logger/layout.js";
import { openStore } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import { crc32c } from "../support/checksums.js";
import { openDriver } from "../support/native-store.js";
import { recordsOf, stopHeartbeat, storedFrames, storeWith, testFolder } from "./store-tools.js";

/** Its number, and where its directory entry begins. */
function firstLogBlock(bytes: Buffer): { block: number; at: number } {
  for (let block = 0; ; block++) {
    const at = Number(constants.kDirectoryOffset) + block * structs.DirectoryEntry.size;
    if ((bytes.readUInt32LE(at) & 3) === blockKinds.kLog) return { block, at };
  }
}

test("a block that the directory knows by a damaged word is told, though none of its records can be read", async (t) => {
  const path = await storeWith(t, [{ data: Buffer.alloc(100, 7), wireLength: 100, timeNs: 1n }]);
  const bytes = readFileSync(path);
  bytes[firstLogBlock(bytes).at + 1]! ^= 1; // a bit of the serial
  writeFileSync(path, bytes);
  const reader = openStore(path);
  t.is((await storedFrames(reader)).length, 0);
  t.is(reader.counters.corrupt, 1);
});

test("a block whose header is damaged is told; its records are read unless a dead writer left them", async (t) => {
  for (const end of ["close", "abandon"] as const) {
    const path = join(testFolder(t), "header.store");
    await createStore(path, { sizeBytes: 16 << 20 });
    const driver = openDriver(path, { index: 0 });
    driver.write(
      0,
      [1, 2, 3].map((i) => ({ bytes: Buffer.alloc(100, i), timeNs: BigInt(i) })),
      true,
    );
    driver.round();
    driver[end]();
    if (end === "abandon") stopHeartbeat(path);
    t.is((await storedFrames(path)).length, 3, end);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf("PBLK")]! ^= 1;
    writeFileSync(path, bytes);
    const reader = openStore(path);
    t.is((await storedFrames(reader)).length, end === "close" ? 3 : 0, end);
    t.is(reader.counters.corrupt, 1, end);
  }
});

test("what a dead writer left counts up to the first record that is not whole, also where payloads are not checked", async (t) => {
  const path = join(testFolder(t), "torn.store");
  await createStore(path, { sizeBytes: 16 << 20 });
  const driver = openDriver(path, { index: 0 });
  const frames = Array.from({ length: 20 }, (_, i) => ({ bytes: Buffer.alloc(100, i + 1), timeNs: BigInt(i) }));
  driver.write(0, frames, true);
  driver.round();
  driver.abandon();
  stopHeartbeat(path);
  t.is((await storedFrames(path, { verifyPayload: false })).length, 20);
  const bytes = readFileSync(path);
  bytes[bytes.indexOf(frames[12]!.bytes) + 50]! ^= 1;
  writeFileSync(path, bytes);
  t.is((await storedFrames(path, { verifyPayload: false })).length, 12);
});

test("a record that says it is longer than its block has room for is damaged, whatever its checksum says", async (t) => {
  const frames = Array.from({ length: 20 }, (_, i) => ({ data: Buffer.alloc(100, i), wireLength: 100, timeNs: 1n }));
  const path = await storeWith(t, frames);
  const bytes = readFileSync(path);
  const { offset, serial } = recordsOf(bytes).at(-1)!;
  const header = bytes.subarray(offset, offset + structs.RecordHeader.size);
  const { lines, type, payload_length, header_crc } = structs.RecordHeader.fields;
  t.is(header[type], recordTypes.kFrame);
  header.writeUInt16LE(header.readUInt16LE(lines) + 1, lines);
  header.writeUInt32LE(header.readUInt32LE(payload_length) + 64, payload_length);
  header.writeUInt32LE(0, header_crc);
  header.writeUInt32LE(crc32c(header, serial), header_crc);
  writeFileSync(path, bytes);
  const reader = openStore(path);
  t.is((await storedFrames(reader, { verifyPayload: false })).length, 19);
  t.is(reader.counters.corrupt, 1);
});

test("a directory entry that no writer leaves is damage, not a block without records", async (t) => {
  const frames = Array.from({ length: 20 }, (_, i) => ({ data: Buffer.alloc(100, i), wireLength: 100, timeNs: 1n }));
  const path = await storeWith(t, frames);
  const bytes = readFileSync(path);
  const { block, at } = firstLogBlock(bytes);
  const word = bytes.readBigUInt64LE(at);
  const ofKind = (kind: number) => (word & ~3n) | BigInt(kind);
  for (const damaged of [
    ofKind(blockKinds.kFree),
    ofKind(blockKinds.kBuffers),
    ofKind(blockKinds.kIndex),
    BigInt(blockKinds.kLog),
  ]) {
    bytes.writeBigUInt64LE(damaged, at);
    writeFileSync(path, bytes);
    const reader = openStore(path);
    t.is((await storedFrames(reader)).length, 0);
    t.is(reader.counters.corrupt, 1, `${damaged}`);
    const { problems, counters } = await reader.verify();
    const what =
      "its directory entry makes no sense: what the block holds is not read until `store recover` restores it";
    t.deepEqual(problems, [{ block, offset: 0, what }]);
    t.is(counters.corrupt, 1);
    reader.close();
  }
});
