// Several sources merged by time, and what pcapng says of each frame.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import zlib from "node:zlib";
import test from "ava";
import fc from "fast-check";
import { PasteError } from "../../../logger/errors.js";
import { exportFrames } from "../../../logger/export.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { crc32 } from "../../support/checksums.js";
import { skip } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { readAll } from "../capture/read-all.js";
import { firstDifference, mergedModel, storedFrames, storeWith, type TestFrame, testFolder } from "../store-tools.js";

const frameAt = (timeNs: bigint, tag: number): TestFrame => ({ data: Buffer.alloc(60, tag), wireLength: 60, timeNs });

test("stores and captures are merged by time, each in its own order, also where its times run backwards", async (t) => {
  const seed = Number(process.env.PASTE_SEED ?? Date.now() % 2 ** 31);
  t.log(`seed ${seed}`);
  const times = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(fc.array(times, { minLength: 2, maxLength: 3 }), fc.boolean(), async (lists, captures) => {
      const sources = lists.map((list, s) => list.map((time, i) => frameAt(BigInt(time), s * 60 + i)));
      const paths: string[] = [];
      for (const [s, frames] of sources.entries()) {
        const store = await storeWith(t, frames);
        paths.push(captures && s % 2 === 1 ? `${store}.pcapng` : store);
        if (captures && s % 2 === 1) await exportFrames({ sources: [store], output: paths[s]! });
      }
      const output = join(testFolder(t), "out.pcapng");
      await exportFrames({ sources: paths, output });
      const { frames } = await readAll(output);
      return firstDifference(frames, mergedModel(sources)) === -1;
    }),
    { seed, numRuns: 4 },
  );
  t.pass();
});

test("larger sources than any batch, merged: the same frames as mergecap gives", async (t) => {
  if (!hasTool("mergecap")) return skip(t, "mergecap is not installed");
  const sources = [61, 62, 63].map((seed) =>
    awkwardFrames(seed, 800).map((frame, i) => ({ ...frame, timeNs: 10n ** 18n + BigInt(i * 1000 + (seed % 7)) })),
  );
  const paths = [];
  for (const frames of sources) paths.push(await storeWith(t, frames, { sizeBytes: 64 << 20 }));
  const folder = testFolder(t);
  const captures = paths.map((_, i) => join(folder, `${i}.pcap`));
  for (const [i, path] of paths.entries())
    await exportFrames({ sources: [path], output: captures[i]!, format: "nsecpcap" });
  runTool("mergecap", ["-F", "nsecpcap", "-w", join(folder, "theirs"), ...captures]);
  await exportFrames({ sources: [paths[0]!, captures[1]!, paths[2]!], output: join(folder, "ours") });
  const theirs = (await readAll(join(folder, "theirs"))).frames;
  t.is(theirs.length, 2400);
  t.is(firstDifference((await readAll(join(folder, "ours"))).frames, theirs), -1);
});

test("ports of equal names stay apart by store, and each interface says where it comes from", async (t) => {
  const [a, b] = [await storeWith(t, [frameAt(1n, 1), frameAt(3n, 3)]), await storeWith(t, [frameAt(2n, 2)])];
  const output = join(testFolder(t), "out.pcapng");
  await exportFrames({ sources: [a, b], output });
  const { frames, reader } = await readAll(output);
  t.deepEqual(
    frames.map((frame) => frame.interface),
    [0, 1, 0],
  );
  t.deepEqual(
    reader!.interfaces.map((each) => each.name),
    ["port-a", "port-a"],
  );
  if (!hasTool("tshark")) return;
  const shown = runTool("tshark", ["-r", output, "-T", "fields", "-e", "frame.interface_description"])!.toString();
  t.deepEqual(shown.trimEnd().split("\n"), ["test.store", "test.store (2)", "test.store"]);
});

test("the hash of a frame of any length is its CRC-32", async (t) => {
  const datas = Array.from({ length: 700 }, (_, i) => randomBytes(i + 1));
  const path = await storeWith(
    t,
    datas.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i + 1) })),
  );
  const output = join(testFolder(t), "out.pcapng");
  await exportFrames({ sources: [path], output });
  t.deepEqual(
    packetOptions(readFileSync(output)).map((each) => each.get(3)!.readUInt32BE(1)),
    datas.map(crc32),
  );
});

test("pcapng holds flags, hash and comments; plain leaves the comments out", async (t) => {
  const everyone = Buffer.concat([Buffer.alloc(6, 255), Buffer.alloc(54, 1)]);
  const group = Buffer.concat([Buffer.from([1, 0, 94, 0, 0, 1]), Buffer.alloc(100, 2)]);
  const one = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 1]), Buffer.alloc(1000, 3)]);
  const datas = [everyone, group, one];
  const path = await storeWith(
    t,
    datas.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i + 1) })),
  );
  const output = join(testFolder(t), "out.pcapng");
  await exportFrames({ sources: [path], output });
  const options = packetOptions(readFileSync(output));
  t.deepEqual(
    options.map((each) => each.get(2)?.readUInt32LE() ?? 0),
    [0b1101, 0b1001, 0b0101], // inbound; broadcast, multicast, unicast
  );
  t.deepEqual(
    options.map((each) => each.get(3)!.subarray(0, 1).toString("hex") + each.get(3)!.subarray(1).toString("hex")),
    datas.map((data) => `02${crc32(data).toString(16).padStart(8, "0")}`),
  );
  t.deepEqual(
    options.map((each) => each.get(5)!.readBigUInt64LE()),
    (await storedFrames(path)).map((frame) => frame.sequence),
  );
  await exportFrames({ sources: [path], output, snaplen: 20 });
  t.deepEqual(
    packetOptions(readFileSync(output)).map((each) => each.get(3)),
    options.map((each) => each.get(3)),
    "the hash is of what the store kept",
  );
});

/** Options of each enhanced packet block, by code. */
function packetOptions(file: Buffer): Map<number, Buffer>[] {
  const all: Map<number, Buffer>[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    if (file.readUInt32LE(at) !== 6) continue;
    const options = new Map<number, Buffer>();
    const padded = (size: number) => (size + 3) & ~3;
    for (let o = at + 28 + padded(file.readUInt32LE(at + 20)); file.readUInt16LE(o) !== 0; ) {
      const length = file.readUInt16LE(o + 2);
      options.set(file.readUInt16LE(o), file.subarray(o + 4, o + 4 + length));
      o += 4 + padded(length);
    }
    all.push(options);
  }
  return all;
}

test("gzip: several members, each whole; by option and by name; other tools read it", async (t) => {
  const frames = awkwardFrames(71, 3000);
  const path = await storeWith(t, frames, { sizeBytes: 64 << 20 });
  const folder = testFolder(t);
  const plain = join(folder, "a.pcapng");
  await exportFrames({ sources: [path], output: plain });
  for (const [name, options] of [
    ["b.pcapng.gz", {}],
    ["c.pcapng", { compression: { method: "gzip", level: 1 } }],
  ] as const) {
    const output = join(folder, name);
    const report = await exportFrames({ sources: [path], output, ...options });
    const bytes = readFileSync(output);
    t.is(report.bytes, bytes.length);
    t.true(zlib.gunzipSync(bytes).equals(readFileSync(plain)));
    if (hasTool("capinfos")) t.regex(runTool("capinfos", ["-Mc", output])!.toString(), /Number of packets:\s+3000/);
  }
  const split = await exportFrames({
    sources: [path],
    output: join(folder, "d.pcap.gz"),
    format: "nsecpcap",
    split: { bytes: 200_000 },
  });
  t.true(split.files.length > 2 && split.files[1]!.name.endsWith("d.pcap1.gz"));
  let count = 0;
  for (const file of split.files) count += (await readAll(zlib.gunzipSync(readFileSync(file.name)))).frames.length;
  t.is(count, frames.length);
});

test("zstd where this Node has it, a clear error elsewhere; levels that are none", async (t) => {
  const path = await storeWith(t, awkwardFrames(72, 500));
  const output = join(testFolder(t), "x.pcapng.zst");
  const { zstdDecompressSync } = zlib as unknown as { zstdDecompressSync?: (bytes: Buffer) => Buffer };
  if (zstdDecompressSync) {
    await exportFrames({ sources: [path], output });
    t.is((await readAll(zstdDecompressSync(readFileSync(output)))).frames.length, 500);
  } else {
    const error = await t.throwsAsync(async () => exportFrames({ sources: [path], output }), {
      instanceOf: PasteError,
    });
    t.regex(error!.message, /zstd: Node v20\S* cannot \(22\.15 and later can\)/);
  }
  const level = { method: "gzip", level: 10 } as const;
  await t.throwsAsync(async () => exportFrames({ sources: [path], output, compression: level }), {
    message: /gzip has the levels 0 to 9, not 10/,
  });
});
