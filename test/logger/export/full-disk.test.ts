// A disk that fills up while an export is written in several files or packed: what was finished is whole, and the message says how far it went.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import { PasteError } from "../../../logger/errors.js";
import { exportFrames } from "../../../logger/export.js";
import { skip } from "../../support/skip.js";
import { readAll } from "../capture/read-all.js";
import { storeWith, testFolder } from "../store-tools.js";
import { framesIn } from "./exported.js";

/** A folder in which 3 MiB find room; null, and the test skipped, where none can be mounted. */
function smallDisk(t: ExecutionContext): string | null {
  if (process.getuid?.() !== 0) {
    skip(t, "needs root to mount a small tmpfs");
    return null;
  }
  const folder = testFolder(t);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]).status !== 0) {
    skip(t, "may not mount a tmpfs here");
    return null;
  }
  t.teardown(() => spawnSync("umount", ["-l", folder]));
  return folder;
}

/** 12 MB that nothing packs. */
function noise(): { data: Buffer; wireLength: number; timeNs: bigint }[] {
  let state = 12345;
  const bytes = Buffer.from(
    Uint32Array.from({ length: 3_000_000 }, () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0)).buffer,
  );
  return Array.from({ length: 12_000 }, (_, i) => ({
    data: bytes.subarray(i * 1000, (i + 1) * 1000),
    wireLength: 1000,
    timeNs: BigInt(i + 1),
  }));
}

test("several files: those before it are complete, the last one is valid as far as it goes", async (t) => {
  const folder = smallDisk(t);
  if (folder === null) return;
  const path = await storeWith(t, noise(), { sizeBytes: 64 << 20 });
  const output = join(folder, "x.pcap");
  const error = await t.throwsAsync(
    exportFrames({ sources: [path], output, format: "nsecpcap", split: { bytes: 1_200_000 } }),
    {
      instanceOf: PasteError,
    },
  );
  t.regex(
    error!.message,
    /x\.pcap2: stopped after [\d,]+ frames?, the file is (valid up to there|empty).*disk is full.*; the 2 files before it are complete$/,
  );
  const counts = [];
  for (const name of [output, `${output}1`, `${output}2`])
    counts.push(existsSync(name) && statSync(name).size > 0 ? (await readAll(name)).frames.length : 0);
  t.is(counts[0], counts[1]);
  t.is(counts[2], framesIn(error!));
});

test("packed: what is on the disk unpacks to whole records, as many as the message says", async (t) => {
  const folder = smallDisk(t);
  if (folder === null) return;
  const path = await storeWith(t, noise(), { sizeBytes: 64 << 20 });
  const output = join(folder, "x.pcapng.gz");
  const error = await t.throwsAsync(exportFrames({ sources: [path], output }), { instanceOf: PasteError });
  t.regex(error!.message, /stopped after [\d,]+ frames?, the file is (valid up to there|empty).*disk is full/);
  const { frames, error: none } = await readAll(gunzipSync(readFileSync(output)));
  t.is(none, null);
  t.true(frames.length > 0);
  t.is(frames.length, framesIn(error!));
});
