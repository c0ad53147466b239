// Making and opening stores: every refusal has its own sentence, and leaves everything as it was.
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import test, { type ExecutionContext } from "ava";
import { structs } from "../../logger/layout.js";
import { createStore, recoverStore, StoreAppender, trimStore } from "../../logger/store.js";
import { pmem } from "../support/native-pmem.js";
import { openDriver, scanStore, storeFolder } from "../support/native-store.js";

const MiB = 1 << 20;

const crc32c = (bytes: Uint8Array) => pmem.crc32cVariants()[0]!.compute(0, bytes);

/** Overwrites bytes of a file in place. */
function patch(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

/** Changes both superblocks and makes their checksums right again, so that what is behind the checksum is checked. */
function reshape(path: string, change: (superblock: DataView) => void): void {
  const { size, fields } = structs.Superblock;
  for (const at of [0, 4096]) {
    const bytes = readFileSync(path).subarray(at, at + size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, size);
    change(view);
    view.setUint32(fields.crc, crc32c(bytes.subarray(0, fields.crc)), true);
    patch(path, at, bytes);
  }
}

async function newStore(t: ExecutionContext, sizeBytes = 16 * MiB): Promise<string> {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes });
  return path;
}

const field = structs.Superblock.fields;
const refusals: [title: string, damage: (path: string) => void, message: RegExp][] = [
  [
    "foreign bytes",
    (p) =>
      [0, 4096].forEach((at) => {
        patch(p, at, Buffer.from("\x7fELF\x02\x01\x01\x00"));
      }),
    /no paste-switch store/,
  ],
  ["an empty file", (p) => writeFileSync(p, ""), /no paste-switch store|empty|0 bytes/],
  ["zeros", (p) => writeFileSync(p, Buffer.alloc(16 * MiB)), /no paste-switch store yet .*wait if one is made there/],
  ["a newer version", (p) => reshape(p, (s) => s.setUint32(field.version, 2, true)), /format 2.*reads format 1.*newer/],
  [
    "damage in both superblocks",
    (p) =>
      [1000, 5096].forEach((at) => {
        patch(p, at, Buffer.of(1));
      }),
    /damaged \(checksum\)/,
  ],
  [
    "a truncated file",
    (p) => {
      const f = openSync(p, "r+");
      ftruncateSync(f, 8 * MiB);
      closeSync(f);
    },
    /truncated.*16777216.*8388608/,
  ],
  [
    "an appended file",
    (p) => {
      const f = openSync(p, "r+");
      ftruncateSync(f, 17 * MiB);
      closeSync(f);
    },
    /longer/,
  ],
  ["blocks of an odd size", (p) => reshape(p, (s) => s.setUint32(field.block_bytes, 65535, true)), /impossible.*65535/],
  ["more blocks than bytes", (p) => reshape(p, (s) => s.setUint32(field.block_count, 2 ** 31, true)), /impossible/],
  [
    "blocks behind the file",
    (p) => reshape(p, (s) => s.setUint32(field.block_count, 256, true)),
    /impossible.*behind the file/,
  ],
  ["too few blocks", (p) => reshape(p, (s) => s.setUint32(field.block_count, 7, true)), /impossible.*7 blocks/],
  [
    "a wrong first block",
    (p) => reshape(p, (s) => s.setBigUint64(field.blocks_offset, 131072n, true)),
    /impossible.*131072/,
  ],
  ["no lanes", (p) => reshape(p, (s) => s.setUint32(field.lane_count, 0, true)), /impossible.*0 lanes/],
  ["too many lanes", (p) => reshape(p, (s) => s.setUint32(field.lane_count, 17, true)), /impossible.*17 lanes/],
  ["no segment", (p) => reshape(p, (s) => s.setUint32(field.segment_blocks, 0, true)), /impossible.*segments/],
  ["an unknown checksum", (p) => reshape(p, (s) => s.setUint32(field.checksum_id, 9, true)), /unknown checksum 9/],
];

for (const [title, damage, message] of refusals)
  test(`refused, and left as it is: ${title}`, async (t) => {
    const path = await newStore(t);
    damage(path);
    const before = readFileSync(path);
    await t.throwsAsync(StoreAppender.open(path), { name: "PasteError", code: "STORE", message });
    await t.throwsAsync(recoverStore(path), { code: "STORE", message });
    await t.throwsAsync(recoverStore(path, { dryRun: true }), { code: "STORE", message });
    await t.throwsAsync(trimStore(path, 1n), { code: "STORE", message });
    t.true(readFileSync(path).equals(before));
  });

test("one damaged superblock costs nothing", async (t) => {
  for (const at of [0, 4096]) {
    const path = await newStore(t);
    patch(path, at + 100, Buffer.from([0xff, 0xff]));
    const appender = await StoreAppender.open(path);
    t.true(appender.recovery.wasClean);
    await appender.close();
  }
});

test("sizes: refused with the least one, chosen block sizes by size", async (t) => {
  const folder = storeFolder(t);
  const path = join(folder, "a.store");
  await t.throwsAsync(createStore(path, { sizeBytes: 16 * MiB - 1 }), {
    code: "USAGE",
    message: /at least 16777216 bytes/,
  });
  await t.throwsAsync(createStore(path, { sizeBytes: 8 * MiB, blockBytes: MiB }), {
    code: "USAGE",
    message: /at least 9437184/,
  });
  await t.throwsAsync(createStore(path, { sizeBytes: 64 * MiB, blockBytes: 100000 }), {
    code: "USAGE",
    message: /power of two/,
  });
  await t.throwsAsync(createStore(path, { sizeBytes: -1 }), { code: "USAGE", message: /sizeBytes/ });
  await t.throwsAsync(createStore("", { sizeBytes: 16 * MiB }), { code: "USAGE", message: /path/ });
  t.false(existsSync(path));
  for (const [sizeBytes, blockBytes] of [
    [16 * MiB, 65536],
    [64 * MiB, 262144],
    [2 ** 36, 1048576],
  ] as const) {
    const sized = join(folder, `${sizeBytes}.store`);
    await createStore(sized, { sizeBytes, sparse: true });
    const store = scanStore(sized);
    t.is(store.blockBytes, blockBytes);
    t.true(store.blocksOffset + store.blockCount * blockBytes <= sizeBytes);
    t.true(store.blocksOffset + (store.blockCount + 1) * blockBytes > sizeBytes - blockBytes);
    t.is(statSync(sized).size, sizeBytes);
  }
});

test("the least store works: eight blocks", async (t) => {
  const path = join(storeFolder(t), "a.store");
  await createStore(path, { sizeBytes: 9 * 65536, blockBytes: 65536 });
  const store = openDriver(path);
  t.deepEqual(store.write(0, [{ bytes: Buffer.from("one frame"), timeNs: 5n }], true).sequences, [1n]);
  store.close();
  t.is(scanStore(path).blocks.length, 1);
});

test("a store is never overwritten, and another writer is refused by name", async (t) => {
  const path = await newStore(t);
  await t.throwsAsync(createStore(path, { sizeBytes: 16 * MiB }), { code: "STORE", message: /exists/ });
  const first = await StoreAppender.open(path);
  for (const call of [() => StoreAppender.open(path), () => recoverStore(path), () => trimStore(path, 1n)])
    await t.throwsAsync(call, { code: "STORE", message: new RegExp(`process ${process.pid}`) });
  await first.close();
  await t.throwsAsync(first.flush(), { code: "USAGE" });
  await (await StoreAppender.open(path)).close();
});

test("a store that was closed can be opened at once, also while another thread starts processes", async (t) => {
  const path = await newStore(t);
  const starts = `
    const { spawnSync } = require("node:child_process");
    const { parentPort } = require("node:worker_threads");
    parentPort.postMessage("begun");
    for (;;) spawnSync("true");
  `;
  const worker = new Worker(starts, { eval: true });
  t.teardown(() => worker.terminate());
  await once(worker, "message");
  for (let i = 0; i < 300; i++) await (await StoreAppender.open(path, { index: false })).close();
  t.pass();
});

test("opening a sparse store of 64 GiB touches its directory and unsealed blocks only", async (t) => {
  const path = join(storeFolder(t), "large.store");
  await createStore(path, { sizeBytes: 2 ** 36, sparse: true });
  const crashed = openDriver(path);
  crashed.write(0, [{ bytes: Buffer.alloc(100), timeNs: 1n }], true);
  crashed.abandon();
  const store = openDriver(path);
  t.is(store.framesKept, 1);
  store.abandon();
  const touchedBytes = statSync(path).blocks * 512;
  t.true(touchedBytes < 256 << 20, `${touchedBytes} bytes of the file have been touched`);
});

test("ids, serials and epochs are never given twice, crash or not", async (t) => {
  const path = await newStore(t);
  const ids = new Set<number>();
  const serials = new Set<bigint>();
  for (let epoch = 1; epoch <= 6; epoch += 1) {
    const store = openDriver(path);
    t.is(store.epoch, epoch);
    for (let i = 0; i < 1500; i += 1) {
      const id = store.takeId();
      t.false(ids.has(id) || id === 0);
      ids.add(id);
    }
    store.write(0, [{ bytes: Buffer.from([epoch]), timeNs: 1n }], true);
    if (epoch % 2 === 0) store.close();
    else store.abandon();
    for (const block of scanStore(path).blocks.filter((each) => each.epoch === epoch)) {
      t.false(serials.has(block.serial));
      serials.add(block.serial);
    }
  }
});

test("a reader of the file sees the directory that the layout describes", async (t) => {
  const path = await newStore(t);
  const store = openDriver(path);
  store.write(0, [{ bytes: Buffer.from("x"), timeNs: 9n }], true);
  store.close();
  const file = openSync(path, "r");
  const entry = Buffer.alloc(structs.DirectoryEntry.size);
  readSync(file, entry, 0, entry.length, 16384);
  closeSync(file);
  t.is(entry.readBigUInt64LE(structs.DirectoryEntry.fields.word), (1n << 2n) | 1n);
  t.is(entry.readBigUInt64LE(structs.DirectoryEntry.fields.first_sequence), 1n);
  t.is(entry.readUInt32LE(structs.DirectoryEntry.fields.frame_count), 1);
});
