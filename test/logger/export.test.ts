import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import type { CaptureFormat } from "../../logger/capture/capture.js";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../logger/errors.js";
import { exportFrames } from "../../logger/export.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { skip } from "../support/skip.js";
import { hasTool, runTool } from "../support/tools.js";
import { readAll } from "./capture/read-all.js";
import { framesIn } from "./export/exported.js";
import { firstDifference, storedFrames, storeWith, testFolder } from "./store-tools.js";

const formats: CaptureFormat[] = ["pcapng", "pcap", "nsecpcap"];

/** Frames as a format shows them: classic pcap has microseconds. */
const asIn = (format: CaptureFormat, timeNs: bigint) => (format === "pcap" ? (timeNs / 1000n) * 1000n : timeNs);

for (const format of formats)
  test(`${format}: a store's frames, bytes and times come out as they went in`, async (t) => {
    const frames = awkwardFrames(31, 2000, { giants: true, tiny: true }).map((frame, i) => ({
      ...frame,
      interface: i % 3,
    }));
    const path = await storeWith(t, frames, { ports: ["vale0:a", "vale0:b", "vale0:ü"], sizeBytes: 256 << 20 });
    const output = `${path}.${format}`;
    const report = await exportFrames({ sources: [path], output, format });
    t.is(report.frames, frames.length);
    t.is(report.bytes, statSync(output).size);
    t.is(report.ended, "done");
    const { frames: found, error, reader } = await readAll(output);
    t.is(error, null);
    t.is(
      firstDifference(
        found,
        frames.map((frame) => ({ ...frame, timeNs: asIn(format, frame.timeNs) })),
      ),
      -1,
    );
    if (format !== "pcapng") return;
    t.deepEqual(
      found.map((frame) => reader!.interfaces[frame.interface]!.name),
      frames.map((_, i) => ["vale0:a", "vale0:b", "vale0:ü"][i % 3]!),
    );
  });

test("pcapng without extras is byte for byte what the writer of logger/capture makes", async (t) => {
  const frames = awkwardFrames(32, 300);
  const folder = testFolder(t);
  const writer = new PcapngWriter({ application: "paste-switch" });
  const source = join(folder, "in.pcapng");
  const output = join(folder, "out.pcapng");
  writeFileSync(
    source,
    Buffer.concat([writer.header([{ name: "eth0", linkType: 1, snaplen: 0 }]), writer.append(batchOf(frames))]),
  );
  await exportFrames({ sources: [source], output });
  const expected = readFileSync(source);
  const found = readFileSync(output);
  t.true(found.subarray(0, expected.length).equals(expected), "up to the statistics");
  t.is(found.readUInt32LE(expected.length), 5, "which follow");
});

test("tshark shows packet ids, interfaces, direction, and the statistics count", async (t) => {
  if (!hasTool("tshark") || !hasTool("capinfos")) return skip(t, "tshark is not installed");
  const frames = awkwardFrames(33, 200).map((frame, i) => ({ ...frame, interface: i % 2 }));
  const path = await storeWith(t, frames, { ports: ["vale0:a", "vale0:b"] });
  const output = `${path}.pcapng`;
  await exportFrames({ sources: [path], output });
  const fields = [
    "frame.packet_id",
    "frame.interface_name",
    "frame.packet_flags_direction",
    "frame.time_epoch",
    "frame.len",
  ];
  const shown = runTool("tshark", ["-n", "-r", output, "-T", "fields", ...fields.flatMap((each) => ["-e", each])]);
  const lines = shown!.toString().trimEnd().split("\n");
  t.deepEqual(
    lines.map((line) => line.split("\t").map((each) => each.replace(/^0x0+(?=.)/, ""))),
    (await storedFrames(path)).map((frame) => [
      `${frame.sequence}`,
      frame.ingress,
      "1",
      `${frame.timeNs / 1_000_000_000n}.${`${frame.timeNs % 1_000_000_000n}`.padStart(9, "0")}`,
      `${frame.wireLength}`,
    ]),
  );
  const info = runTool("capinfos", ["-M", "-c", "-I", output])!.toString();
  t.regex(info, /Number of packets:\s+200/);
  t.is(info.match(/Number of stat entries = 1/g)?.length, 2);
  t.is(info.match(/Number of packets = 100/g)?.length, 2);
});

test("filter, limit, snaplen, and several sources one behind the other", async (t) => {
  const first = awkwardFrames(34, 400);
  const second = awkwardFrames(35, 300);
  const path = await storeWith(t, first);
  const capture = `${path}.in.pcapng`;
  await exportFrames({ sources: [await storeWith(t, second)], output: capture });
  const output = `${path}.out.pcapng`;
  const read = async (options: object) => {
    await exportFrames({ sources: [path, capture], output, order: "append", ...options });
    return (await readAll(output)).frames;
  };
  const both = [...first, ...second];
  t.is(firstDifference(await read({}), both), -1);
  t.is(firstDifference(await read({ limit: 450 }), both.slice(0, 450)), -1);
  t.is(firstDifference(await read({ limit: 10 }), both.slice(0, 10)), -1);
  const cut = (bytes: number) => both.map((frame) => ({ ...frame, data: frame.data.subarray(0, bytes) }));
  t.is(firstDifference(await read({ snaplen: 30 }), cut(30)), -1);
  const tcp = await read({ filter: "tcp" });
  t.true(tcp.length > 0 && tcp.length < both.length);
  t.is(tcp.length, (await read({ filter: "tcp", limit: 10_000 })).length);
});

test("an empty store gives a valid empty file in each format", async (t) => {
  const path = await storeWith(t, []);
  for (const format of formats) {
    const output = `${path}.${format}`;
    const report = await exportFrames({ sources: [path], output, format });
    t.is(report.frames, 0);
    if (hasTool("tcpdump")) t.is(runTool("tcpdump", ["-r", output])?.length, 0, format);
    t.true(statSync(output).size >= 24);
  }
});

test("nothing that is read from is overwritten, nor is any store", async (t) => {
  const path = await storeWith(t, awkwardFrames(1, 10));
  const other = await storeWith(t, []);
  const before = readFileSync(path);
  for (const output of [path, other]) {
    const error = await t.throwsAsync(exportFrames({ sources: [path], output }), { instanceOf: PasteError });
    t.is(error?.code, "USAGE");
  }
  t.true(readFileSync(path).equals(before));
});

const wrong: [string, object, string, RegExp][] = [
  ["no source", { sources: [] }, "USAGE", /name a store/],
  ["a source that is not there", { sources: ["/nonexistent/x"] }, "CAPTURE", /no such file/],
  ["a bad filter", { filter: "tcp and" }, "FILTER", /./],
  ["a limit of zero", { limit: 0 }, "USAGE", /limit/],
  ["a snaplen that is no integer", { snaplen: 1.5 }, "USAGE", /snaplen/],
  ["an output in no folder", { output: "/nonexistent/y.pcap" }, "USAGE", /folder/],
  ["an output that is a folder", { output: "/" }, "USAGE", /folder/],
];
for (const [what, options, code, message] of wrong)
  test(`refused: ${what}`, async (t) => {
    const path = await storeWith(t, []);
    const output = `${path}.out`;
    const error = await t.throwsAsync(async () => exportFrames({ sources: [path], output, ...options }), {
      instanceOf: PasteError,
    });
    t.is(error?.code, code as never);
    t.regex(error!.message, message);
    t.false(existsSync(output), "nothing was made");
  });

test("a range of sequences is refused where only captures are read, and one that is empty", async (t) => {
  const path = await storeWith(t, awkwardFrames(37, 10));
  const capture = `${path}.pcapng`;
  await exportFrames({ sources: [path], output: capture });
  const range = exportFrames({ sources: [capture], output: `${path}.out`, fromSequence: 3n });
  t.regex((await t.throwsAsync(range, { instanceOf: PasteError }))!.message, /pcapng: a capture has no sequences/);
  const empty = exportFrames({ sources: [path], output: `${path}.out`, fromSequence: 3n, toSequence: 2n });
  t.regex((await t.throwsAsync(empty, { instanceOf: PasteError }))!.message, /from sequence 3 to 2 there is nothing/);
  t.false(existsSync(`${path}.out`), "nothing was made");
});

test("a damaged capture: what is whole is written and finished, then the error says where", async (t) => {
  const path = await storeWith(t, awkwardFrames(36, 100));
  const capture = `${path}.pcap`;
  await exportFrames({ sources: [path], output: capture, format: "pcap" });
  const bytes = readFileSync(capture);
  writeFileSync(capture, bytes.subarray(0, bytes.length - 5));
  const output = `${path}.out.pcapng`;
  const error = await t.throwsAsync(exportFrames({ sources: [capture], output }), { instanceOf: PasteError });
  t.is(error?.code, "CAPTURE");
  const { frames, error: none } = await readAll(output);
  t.is(none, null);
  t.is(frames.length, 99);
});

test("a full disk: the error says how far it went, and the file is valid up to there", async (t) => {
  const path = await storeWith(t, awkwardFrames(37, 5000), { sizeBytes: 64 << 20 });
  if (process.getuid?.() !== 0) return skip(t, "needs root to mount a small tmpfs");
  const folder = testFolder(t);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status !== 0)
    return skip(t, "may not mount a tmpfs here");
  t.teardown(() => spawnSync("umount", ["-l", folder]));
  const output = join(folder, "out.pcapng");
  const error = await t.throwsAsync(exportFrames({ sources: [path], output }), { instanceOf: PasteError });
  t.is(error?.code, "RESOURCE");
  t.regex(error!.message, /stopped after [\d,]+ frames?, the file is (valid up to there|empty).*disk is full/);
  const kept = framesIn(error!);
  const found = existsSync(output) && statSync(output).size > 0 ? (await readAll(output)).frames.length : 0;
  t.is(found, kept);
});

test("backpressure is respected, a closed pipe is no error, an abort finishes the file", async (t) => {
  const frames = Array.from({ length: 12_000 }, (_, i) => ({
    data: Buffer.alloc(900, i),
    wireLength: 900,
    timeNs: 1n,
  }));
  const path = await storeWith(t, frames, { sizeBytes: 64 << 20 });
  let waiting = 0;
  const chunks: Buffer[] = [];
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _, done) {
      waiting++;
      if (waiting > 1) t.fail("a piece came before the one before it was taken");
      chunks.push(chunk);
      setTimeout(() => {
        waiting--;
        done();
      }, 5);
    },
  });
  const report = await exportFrames({ sources: [path], output: slow });
  t.is(report.frames, frames.length);
  const streamed = Buffer.concat(chunks);
  t.is((await readAll(streamed)).frames.length, frames.length);
  const whole = `${path}.whole.pcapng`;
  const { bytes } = await exportFrames({ sources: [path], output: whole });
  t.is(bytes, streamed.length);
  t.true(readFileSync(whole).equals(streamed), "a file, which the encoder writes itself, gets the same bytes");

  let taken = 0;
  const closed = new Writable({
    write(_chunk, _, done) {
      taken++;
      done(taken > 2 ? Object.assign(new Error("write EPIPE"), { code: "EPIPE" }) : null);
    },
  });
  t.is((await exportFrames({ sources: [path], output: closed })).ended, "closed");

  const abort = new AbortController();
  const output = `${path}.pcapng`;
  const ended = await exportFrames({
    sources: [path],
    output,
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  t.is(ended.ended, "aborted");
  t.true(ended.frames > 0 && ended.frames < frames.length);
  const read = await readAll(output);
  t.is(read.error, null);
  t.is(read.frames.length, ended.frames);
});
