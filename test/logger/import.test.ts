import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../logger/errors.js";
import { exportFrames } from "../../logger/export.js";
import { importCaptures } from "../../logger/import.js";
import { createStore } from "../../logger/store.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { packageRoot, skip, skipPart } from "../support/skip.js";
import { hasTool, runTool } from "../support/tools.js";
import { readAll } from "./capture/read-all.js";
import { firstDifference, storedFrames, testFolder } from "./store-tools.js";

const captures = resolve(packageRoot, "..", "shared", "captures");

async function emptyStore(folder: string, sizeBytes = 32 << 20): Promise<string> {
  const path = join(folder, "import.store");
  await createStore(path, { sizeBytes });
  return path;
}

for (const seed of [41, 42, 43, 44])
  test(`import then export gives the same capture: awkward frames, seed ${seed}`, async (t) => {
    const folder = testFolder(t);
    const frames = awkwardFrames(seed, 800, { giants: true, tiny: true }).map((frame, i) => ({
      ...frame,
      interface: i % 2,
    }));
    const writer = new PcapngWriter();
    const names = ["eth0", "eth1"].map((name) => ({ name, linkType: 1, snaplen: 0 }));
    const capture = join(folder, "in.pcapng");
    writeFileSync(capture, Buffer.concat([writer.header(names), writer.append(batchOf(frames))]));
    const store = await emptyStore(folder, 256 << 20);
    const report = await importCaptures({ captures: [capture], store });
    t.is(report.frames, frames.length);
    t.is(report.skipped + report.refused + report.shortened, 0);
    const output = join(folder, "out.pcapng");
    await exportFrames({ sources: [store], output });
    const { frames: found, reader, error } = await readAll(output);
    t.is(error, null);
    t.is(firstDifference(found, frames), -1);
    t.deepEqual(
      found.map((frame) => reader!.interfaces[frame.interface]!.name),
      frames.map((_, i) => `eth${i % 2}`),
    );
  });

test("several captures into one store, a filter, a limit; a nameless interface is called like its file", async (t) => {
  const folder = testFolder(t);
  const first = awkwardFrames(51, 200);
  const second = awkwardFrames(52, 300);
  for (const [name, frames] of Object.entries({ first, second })) {
    const writer = new PcapWriter({ nanoseconds: true });
    writeFileSync(join(folder, `${name}.pcap`), Buffer.concat([writer.header(), writer.append(batchOf(frames))]));
  }
  const paths = ["first", "second"].map((name) => join(folder, `${name}.pcap`));
  const store = await emptyStore(folder);
  const report = await importCaptures({ captures: paths, store, limit: 450 });
  t.deepEqual(
    report.captures.map(({ path, frames }) => [basename(path), frames]),
    [
      ["first.pcap", 200],
      ["second.pcap", 250],
    ],
  );
  t.is(report.skipped, 0, "what lies behind the limit was not looked at");
  const found = await storedFrames(store);
  t.is(firstDifference(found, [...first, ...second.slice(0, 250)]), -1);
  t.is(found[0]!.ingress, "first");
  t.is(found[449]!.ingress, "second");
  const filtered = await importCaptures({ captures: paths, store, filter: "udp" });
  t.true(filtered.frames > 0 && filtered.frames + filtered.skipped === 500);
  t.is((await storedFrames(store)).length, 450 + filtered.frames, "behind what was there");
});

test("a damaged capture keeps what is whole, the report names the damage, and the next capture is imported", async (t) => {
  const folder = testFolder(t);
  const frames = awkwardFrames(53, 120);
  const writer = new PcapngWriter();
  const whole = Buffer.concat([
    writer.header([{ name: "eth0", linkType: 1, snaplen: 0 }]),
    writer.append(batchOf(frames)),
  ]);
  const [damaged, good] = [join(folder, "damaged.pcapng"), join(folder, "good.pcapng")];
  writeFileSync(damaged, whole.subarray(0, whole.length - 3));
  writeFileSync(good, whole);
  const store = await emptyStore(folder);
  const report = await importCaptures({ captures: [damaged, join(folder, "absent.pcap"), good], store });
  t.is(report.frames, 119 + 120);
  t.true(report.captures[0]!.problem instanceof PasteError);
  t.regex(report.captures[0]!.problem!.message, /damaged\.pcapng.*truncated/);
  t.regex(report.captures[1]!.problem!.message, /no such file/);
  t.is(report.captures[2]!.problem, undefined);
  t.is(firstDifference(await storedFrames(store), [...frames.slice(0, 119), ...frames]), -1);
});

test("an abort keeps what was imported; wrong options are refused", async (t) => {
  const folder = testFolder(t);
  const writer = new PcapngWriter();
  const capture = join(folder, "in.pcapng");
  const frames = Array.from({ length: 5000 }, (_, i) => ({ data: Buffer.alloc(1000, i), timeNs: BigInt(i) }));
  writeFileSync(
    capture,
    Buffer.concat([writer.header([{ name: "eth0", linkType: 1, snaplen: 0 }]), writer.append(batchOf(frames))]),
  );
  const store = await emptyStore(folder);
  const abort = new AbortController();
  const report = await importCaptures({
    captures: [capture],
    store,
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  t.true(report.aborted && report.frames > 0 && report.frames < 5000);
  t.is((await storedFrames(store)).length, report.frames);
  for (const [options, code] of [
    [{ captures: [] }, "USAGE"],
    [{ limit: -1 }, "USAGE"],
    [{ filter: "((" }, "FILTER"],
    [{ store: join(folder, "none") }, "STORE"],
  ] as const) {
    const error = await t.throwsAsync(importCaptures({ captures: [capture], store, ...options }), {
      instanceOf: PasteError,
    });
    t.is(error?.code, code);
  }
});

test("a capture without Ethernet headers is imported, filtered, exported and sanitized with those that it is given", async (t) => {
  const folder = testFolder(t);
  const packet = Buffer.from("4500001c000100004011000000000000000000000035003500080000", "hex");
  const frames = [1, 2, 3].map((host) => ({ data: Buffer.from(packet).fill(10, 12, 13).fill(host, 15, 16) }));
  const writer = new PcapWriter({ linkType: 101 });
  const capture = join(folder, "raw.pcap");
  writeFileSync(capture, Buffer.concat([writer.header(), writer.append(batchOf(frames))]));
  const synthesizeEthernet = true;
  const given = (await readAll(capture, { synthesizeEthernet })).frames;
  t.deepEqual(
    given.map(({ data }) => data.subarray(14)),
    frames.map(({ data }) => data),
  );

  const store = await emptyStore(folder);
  const report = await importCaptures({ captures: [capture], store, synthesizeEthernet });
  t.deepEqual([report.frames, report.skipped, report.captures[0]!.warnings], [3, 0, []]);
  t.is(firstDifference(await storedFrames(store), given), -1);

  const output = join(folder, "out.pcapng");
  const filter = "ip src host 10.0.0.2";
  await exportFrames({ sources: [capture], output, filter, synthesizeEthernet });
  const out = await readAll(output);
  t.is(out.reader!.interfaces[0]!.linkType, 1);
  t.deepEqual(
    out.frames.map(({ data }) => data),
    [given[1]!.data],
  );
  t.is((await exportFrames({ sources: [capture], output, sanitize: {}, synthesizeEthernet })).frames, 3);
  for (const refused of [
    exportFrames({ sources: [capture], output }),
    exportFrames({ sources: [capture], output, filter }),
  ])
    await t.throwsAsync(refused, { message: /link type RAW \(101\).*--synth-ethernet/ });
});

const files = existsSync(captures)
  ? readdirSync(captures, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.endsWith(".md"))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  : [];

for (let quarter = 0; quarter < 4; quarter++)
  test(`real captures: import then export gives identical frames and times (${quarter + 1} of 4)`, async (t) => {
    if (files.length === 0) return skip(t, "no real captures beside the project (../shared/captures)");
    t.timeout(240_000);
    const folder = testFolder(t);
    const store = join(folder, "all.store");
    await createStore(store, { sizeBytes: 512 << 20 });
    let fromSequence = 1n;
    let checked = 0;
    for (const file of files.filter((_, i) => i % 4 === quarter)) {
      const name = file.slice(captures.length + 1);
      const { frames, error, reader } = await readAll(file);
      const strange = reader?.interfaces.find((each) => each.linkType !== 1);
      if (error || strange) {
        skipPart(t, `${name}: ${strange ? `link type ${strange.linkType}, not Ethernet` : (error as Error).message}`);
        continue;
      }
      const report = await importCaptures({ captures: [file], store });
      t.is(report.captures[0]!.problem, undefined, name);
      t.is(report.frames, frames.length, name);
      const output = join(folder, "out.pcapng");
      const exported = await exportFrames({ sources: [store], output, fromSequence });
      t.is(exported.frames, frames.length, name);
      const found = await readAll(output);
      const wrong = firstDifference(found.frames, frames);
      t.is(wrong, -1, `${name}: frame ${wrong + 1}`);
      if (hasTool("capinfos") && frames.length > 0) {
        const said = runTool("capinfos", ["-M", "-c", "-T", "-r", output])?.toString().trim().split("\t").at(-1);
        t.is(said, `${frames.length}`, `${name}: capinfos`);
      }
      if (hasTool("tcpdump")) {
        const again = runTool("tcpdump", ["-r", output, "-w", "-", "--time-stamp-precision=nano"]);
        const shown = (await readAll(again ?? Buffer.alloc(0))).frames;
        t.is(firstDifference(shown, frames), -1, `${name}: as tcpdump reads the export`);
      }
      const stored = await storedFrames(store, { fromSequence });
      fromSequence = (stored.at(-1)?.sequence ?? fromSequence - 1n) + 1n;
      checked++;
    }
    t.true(checked > 0);
    t.log(`${checked} captures`);
  });

test("a store that an import made stays when it worked, or a frame came into it, and not when it failed before", async (t) => {
  const folder = testFolder(t);
  const writer = new PcapWriter({ nanoseconds: true });
  const whole = Buffer.concat([writer.header(), writer.append(batchOf(awkwardFrames(61, 20)))]);
  const good = join(folder, "good.pcap");
  const cut = join(folder, "cut.pcap");
  const text = join(folder, "text.pcap");
  writeFileSync(good, whole);
  writeFileSync(cut, whole.subarray(0, whole.length - 1));
  writeFileSync(text, "this is no capture, but it is long enough to look like one");
  const none = join(folder, "none.pcap");
  const sizeBytes = 16 << 20;
  for (const [captures, made, filter] of [
    [[good], true],
    [[cut], true],
    [[none, good], true],
    [[good], true, "ip proto 253 and ip proto 254"],
    [[none], false],
    [[text, none], false],
  ] as const) {
    const store = join(folder, "made.store");
    const report = await importCaptures({ captures, store, sizeBytes, ...(filter && { filter }) });
    t.is(report.made, made, `${captures}`);
    t.is(existsSync(store), made, `${captures}`);
    rmSync(store, { force: true });
  }
  const store = join(folder, "wrong.store");
  const wrong = importCaptures({ captures: [good], store, sizeBytes, filter: "prt 4" });
  await t.throwsAsync(wrong, { instanceOf: PasteError, code: "FILTER" });
  t.false(existsSync(store));
  // One that was there is somebody's.
  const there = await emptyStore(folder);
  t.false((await importCaptures({ captures: [none], store: there, sizeBytes })).made);
  t.true(existsSync(there));
});
