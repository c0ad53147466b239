// Several files instead of one: named, cut and kept as tcpdump and dumpcap do it.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { PasteError } from "../../../logger/errors.js";
import { FileNames } from "../../../logger/export/file-names.js";
import { parseRing, parseSplit } from "../../../logger/export/split-words.js";
import { formatTimeName, hasTimeFormat } from "../../../logger/export/time-format.js";
import { verifyManifest } from "../../../logger/export/verify-manifest.js";
import { exportFrames } from "../../../logger/export.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { skip } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { readAll } from "../capture/read-all.js";
import { firstDifference, storeWith, type TestFrame, testFolder } from "../store-tools.js";

/** One frame of 200 bytes each 100 ms. */
function ticking(count: number): TestFrame[] {
  return Array.from({ length: count }, (_, i) => ({
    data: Buffer.alloc(200, i),
    wireLength: 200,
    timeNs: 1_700_000_000_000_000_000n + BigInt(i) * 100_000_000n,
  }));
}

async function framesOf(folder: string, names: readonly string[]): Promise<TestFrame[]> {
  const all: TestFrame[] = [];
  for (const name of names) {
    const { frames, error } = await readAll(join(folder, name));
    if (error) throw error;
    all.push(...frames);
  }
  return all;
}

for (const [what, words] of Object.entries({ "-C": ["-C", "1"], "-C -W": ["-C", "1", "-W", "12"] }))
  test(`${what}: the files that tcpdump makes of the same capture, byte for byte`, async (t) => {
    if (!hasTool("tcpdump")) return skip(t, "tcpdump is not installed");
    const path = await storeWith(t, awkwardFrames(51, 6000), { sizeBytes: 64 << 20 });
    const [ours, theirs] = [join(testFolder(t), "ours"), join(testFolder(t), "theirs")];
    mkdirSync(ours);
    mkdirSync(theirs);
    await exportFrames({ sources: [path], output: join(theirs, "../whole"), format: "pcap" });
    runTool("tcpdump", ["-Z", "root", "-r", join(theirs, "../whole"), "-w", join(theirs, "x.pcap"), ...words]);
    const report = await exportFrames({
      sources: [path],
      output: join(ours, "x.pcap"),
      format: "pcap",
      split: parseSplit({ fileSize: "1", fileCount: words[3], utc: true })!,
    });
    const names = readdirSync(theirs).sort();
    t.true(names.length > 2, `${names}`);
    t.deepEqual(readdirSync(ours).sort(), names);
    for (const name of names) {
      const theirFile = readFileSync(join(theirs, name));
      const ourFile = readFileSync(join(ours, name));
      // Both say how much of a frame was kept at most, each by its own limit.
      t.true(ourFile.subarray(24).equals(theirFile.subarray(24)), name);
    }
    t.deepEqual(
      report.files.map((file) => file.name).sort(),
      names.map((name) => join(ours, name)),
    );
  });

test("every file of a split pcapng is complete by itself: capinfos says so, and all frames are in them", async (t) => {
  const frames = awkwardFrames(52, 3000, { giants: true }).map((frame, i) => ({ ...frame, interface: i % 2 }));
  const path = await storeWith(t, frames, { sizeBytes: 64 << 20 });
  const folder = testFolder(t);
  const report = await exportFrames({
    sources: [path],
    output: join(folder, "x.pcapng"),
    split: { bytes: 200_000 },
  });
  const names = report.files.map((file) => file.name.slice(folder.length + 1));
  t.deepEqual(names.slice(0, 3), ["x.pcapng", "x.pcapng1", "x.pcapng2"]);
  t.is(firstDifference(await framesOf(folder, names), frames), -1);
  t.is(
    report.files.reduce((sum, file) => sum + file.frames, 0),
    frames.length,
  );
  t.is(
    report.files.reduce((sum, file) => sum + file.bytes, 0),
    report.bytes,
  );
  if (!hasTool("capinfos")) return;
  for (const name of names) t.regex(runTool("capinfos", ["-c", join(folder, name)])!.toString(), /Number of packets/);
});

test("a ring of tcpdump's keeps the newest files, one of dumpcap's too", async (t) => {
  const frames = ticking(1000);
  const path = await storeWith(t, frames);
  const folder = testFolder(t);
  const report = await exportFrames({
    sources: [path],
    output: join(folder, "x.pcap"),
    format: "nsecpcap",
    split: { bytes: 10_000, files: 3 },
  });
  t.deepEqual(readdirSync(folder).sort(), ["x.pcap0", "x.pcap1", "x.pcap2"]);
  const kept = await framesOf(
    folder,
    report.files.map((file) => file.name.slice(folder.length + 1)),
  );
  t.is(firstDifference(kept, frames.slice(frames.length - kept.length)), -1);
  t.is(report.removed.frames + kept.length, frames.length);
  t.is(report.frames, frames.length);

  const other = testFolder(t);
  const ring = await exportFrames({
    sources: [path],
    output: join(other, "y.pcapng"),
    split: parseRing(["packets:90", "files:4"], true),
  });
  t.deepEqual(readdirSync(other).sort(), [
    "y_00009_20231114221432.pcapng",
    "y_00010_20231114221441.pcapng",
    "y_00011_20231114221450.pcapng",
    "y_00012_20231114221459.pcapng",
  ]);
  t.deepEqual(ring.removed, { files: 8, frames: 720 });
});

test("an interrupt between two files begins none, for which a ring would give up another", async (t) => {
  const path = await storeWith(t, ticking(1000));
  for (const options of [{}, { manifest: {} }, { manifest: {}, compression: { method: "gzip" } }] as const) {
    const abort = new AbortController();
    const report = await exportFrames({
      sources: [path],
      output: join(testFolder(t), "x.pcapng"),
      split: { frames: 100, files: 3 },
      signal: abort.signal,
      ...options,
      onProgress: ({ frames }) => {
        if (frames >= 500) abort.abort();
      },
    });
    t.is(report.ended, "aborted");
    t.deepEqual(
      report.files.map(({ frames }) => frames),
      [100, 100, 100],
    );
    const manifest = report.manifest?.json;
    if (manifest) t.deepEqual((await verifyManifest({ manifest, sources: [path] })).problems, []);
  }
});

test("-G names files by the time of their first frame, and -W ends after so many", async (t) => {
  const frames = ticking(100);
  const path = await storeWith(t, frames);
  const folder = testFolder(t);
  const output = join(folder, "%H%M%S.pcapng");
  await exportFrames({ sources: [path], output, split: { seconds: 4, utc: true } });
  t.deepEqual(readdirSync(folder).sort(), ["221320.pcapng", "221324.pcapng", "221328.pcapng"]);
  t.is(firstDifference(await framesOf(folder, readdirSync(folder).sort()), frames), -1);

  const other = testFolder(t);
  const report = await exportFrames({
    sources: [path],
    output: join(other, "%S"),
    split: { seconds: 4, files: 2, utc: true },
  });
  t.is(report.ended, "files");
  t.deepEqual(readdirSync(other).sort(), ["20", "24"]);
  t.is(report.frames, 80);
});

test("-G with -C: the seconds count from the last file that they began, whatever the size begins since", async (t) => {
  const path = await storeWith(t, ticking(100));
  const folder = testFolder(t);
  // Each file is full after a second or so, of ten seconds.
  const report = await exportFrames({
    sources: [path],
    output: join(folder, "%S.pcap"),
    format: "pcap",
    split: { seconds: 4, bytes: 2500, utc: true },
  });
  const names = report.files.map(({ name }) => name.slice(folder.length + 1));
  t.deepEqual(names.slice(0, 6), ["20.pcap", "20.pcap1", "20.pcap2", "20.pcap3", "24.pcap", "24.pcap1"]);
  t.deepEqual(
    [20, 24, 28].map((second) =>
      report.files.filter((_, i) => names[i]!.startsWith(`${second}`)).reduce((sum, { frames }) => sum + frames, 0),
    ),
    [40, 40, 20],
  );
  // dumpcap's count from each file's begin.
  const other = testFolder(t);
  await exportFrames({
    sources: [path],
    output: join(other, "x.pcap"),
    format: "pcap",
    split: parseRing(["packets:30", "duration:4"], true),
  });
  t.is(readdirSync(other).length, 4);
});

test("the ring deletes and writes over nothing that this export did not write", async (t) => {
  const path = await storeWith(t, ticking(1000));
  const folder = testFolder(t);
  const output = join(folder, "x.pcap");
  writeFileSync(`${output}1`, "precious");
  const error = await t.throwsAsync(
    exportFrames({ sources: [path], output, format: "pcap", split: { bytes: 10_000, files: 3 } }),
    { instanceOf: PasteError },
  );
  t.regex(error!.message, /x\.pcap1: is there already, and this export did not write it/);
  t.is(readFileSync(`${output}1`, "utf8"), "precious");

  // dumpcap's: the file that the next one would have replaced is still there.
  const third = testFolder(t);
  const split = parseRing(["packets:100", "files:2"], true);
  const all = await exportFrames({ sources: [path], output: join(third, "z.pcap"), split: { ...split, files: 10 } });
  const names = all.files.map(({ name }) => name);
  for (const name of names) rmSync(name);
  writeFileSync(names[3]!, "precious");
  await t.throwsAsync(exportFrames({ sources: [path], output: join(third, "z.pcap"), split }), {
    message: /is there already, and this export did not write it/,
  });
  t.deepEqual(
    readdirSync(third)
      .map((name) => join(third, name))
      .sort(),
    names.slice(1, 4),
  );

  // Somebody puts another file in the place of one of the ring while it is under way.
  const other = testFolder(t);
  let put = false;
  const ring = exportFrames({
    sources: [path, path],
    output: join(other, "y.pcap"),
    format: "pcap",
    split: { frames: 100, files: 3, names: "tcpdump" },
    onProgress: ({ files }) => {
      if (put || files.length < 2) return;
      put = true;
      writeFileSync(join(other, "theirs"), "precious");
      renameSync(join(other, "theirs"), join(other, "y.pcap0"));
    },
  });
  const stopped = await t.throwsAsync(ring, { instanceOf: PasteError });
  t.regex(stopped!.message, /y\.pcap0: is not the file that this export wrote any more/);
  t.is(readFileSync(join(other, "y.pcap0"), "utf8"), "precious");
});

test("names", (t) => {
  const at = 1_700_000_000_123_456_789n;
  const list = (output: string, split: ConstructorParameters<typeof FileNames>[1], times: [bigint, boolean][]) => {
    const names = new FileNames(output, split);
    return times.map(([timeNs, byTime]) => names.next(timeNs, byTime));
  };
  const four: [bigint, boolean][] = [0n, 1n, 2n, 3n].map((i) => [at + i * 1_000_000_000n, false]);
  t.deepEqual(list("x.pcap.gz", { bytes: 1 }, four), ["x.pcap.gz", "x.pcap1.gz", "x.pcap2.gz", "x.pcap3.gz"]);
  t.deepEqual(list("x", { bytes: 1, files: 3 }, four), ["x0", "x1", "x2", "x0"]);
  t.deepEqual(list("x", { bytes: 1, files: 11 }, four), ["x00", "x01", "x02", "x03"]);
  t.deepEqual(list("x", { bytes: 1, files: 1 }, four), ["x", "x", "x", "x"]);
  const mixed: [bigint, boolean][] = four.map(([timeNs], i) => [timeNs, i === 2]);
  t.deepEqual(list("%S.p", { bytes: 1, seconds: 2, utc: true }, mixed), ["20.p", "20.p1", "22.p", "22.p1"]);
  t.deepEqual(list("%M.p", { bytes: 1, seconds: 2, utc: true }, mixed), ["13.p", "13.p1", "13.p2", "13.p3"]);
  t.is(
    list("d/a.b.pcapng.zst", { names: "dumpcap", frames: 1, utc: true }, four)[1],
    "d/a.b_00002_20231114221321.pcapng.zst",
  );
  t.is(
    formatTimeName("%Y-%m-%d %H:%M:%S %j %s %% %F %T %R %a %b %I%p %u %y", at, true),
    "2023-11-14 22:13:20 318 1700000000 % 2023-11-14 22:13:20 22:13 Tue Nov 10PM 2 23",
  );
  t.false(hasTimeFormat("100%%"));
  t.throws(() => hasTimeFormat("x%Q"), { message: /"%Q" is no time format/ });
});

const wrong: [string, () => unknown, RegExp][] = [
  ["-C 0", () => parseSplit({ fileSize: "0", utc: false }), /-C 0/],
  ["-C 1x", () => parseSplit({ fileSize: "1x", utc: false }), /-C 1x: give millions/],
  ["-G 1.5", () => parseSplit({ rotate: "1.5", utc: false }), /-G 1\.5: give seconds/],
  ["-b size:1", () => parseRing(["size:1"], false), /-b size:1: give filesize:KB/],
  ["-b files", () => parseRing(["files"], false), /-b files: give filesize:KB/],
];
for (const [what, call, message] of wrong)
  test(`refused: ${what}`, (t) => {
    t.throws(call, { instanceOf: PasteError, message });
  });

test("refused: files without a limit, standard output, a time that the name does not say, one name twice", async (t) => {
  const path = await storeWith(t, ticking(100));
  const refused = async (options: object, message: RegExp) => {
    const output = join(testFolder(t), "x.pcap");
    await t.throwsAsync(async () => exportFrames({ sources: [path], output, ...options }), {
      instanceOf: PasteError,
      message,
    });
  };
  await refused({ split: { files: 3 } }, /needs a size, a duration or a count/);
  await refused({ split: { bytes: 1000 }, output: "-" }, /standard output cannot be split/);
  await refused({ split: { seconds: 1 } }, /names no time/);
  await refused({ split: { seconds: 1 }, output: join(testFolder(t), "%H") }, /would be written a second time/);
});

test("a file of dumpcap's ring that cannot be removed stays; that is said once, and the export goes on", async (t) => {
  if (process.getuid?.() !== 0) return skip(t, "needs root to mount a file over itself");
  const frames = ticking(1000);
  const path = await storeWith(t, frames);
  const folder = testFolder(t);
  const held: string[] = [];
  let mounted = true;
  t.teardown(() => held.map((name) => spawnSync("umount", ["-l", name])));
  const report = await exportFrames({
    sources: [path],
    output: join(folder, "x.pcap"),
    format: "pcap",
    split: parseRing(["packets:100", "files:3"], true),
    onProgress: ({ files }) => {
      const name = files.at(-1)?.name; // nobody can unlink what something is mounted on
      if (!name || held.length >= 2 || held.includes(name)) return;
      held.push(name);
      mounted &&= spawnSync("mount", ["--bind", name, name]).status === 0;
    },
  });
  if (!mounted) return skip(t, "may not mount here");
  t.is(report.ended, "done");
  t.is(report.frames, frames.length);
  t.deepEqual(readdirSync(folder).length, 3 + held.length);
  t.is(report.warnings.length, 1);
  t.regex(report.warnings[0]!, /x_\S+\.pcap and 1 later file could not be removed from the ring \(EBUSY\): remove/);
});
