import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../logger/errors.js";
import { packetJson } from "../../logger/print/packet-json.js";
import { PacketText } from "../../logger/print/packet-text.js";
import { type LineFormat, type QueryOptions, queryLines } from "../../logger/query.js";
import { QueryReading } from "../../logger/query-reading.js";
import { countFrames, countTop } from "../../logger/query-tally.js";
import { Random } from "../../logger/traffic/random.js";
import { ethernet, ipv4, ipv4Address, types } from "../support/awkward-packets.js";
import { ports, traffic } from "./query-frames.js";
import { ringStore, type StoredFrame, storedFrames, storeWith, testFolder } from "./store-tools.js";

const text: LineFormat = { as: "text", text: { utc: true } };

/** What a query writes, in one string. */
async function written(options: QueryOptions, format: LineFormat = text) {
  let output = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      output += chunk.toString();
      done();
    },
  });
  const report = await queryLines({ ...options, output: stream, format });
  return { output, report };
}

const printed = (frames: readonly StoredFrame[]) => {
  const printer = new PacketText({ utc: true });
  return frames.map((frame) => `${printer.text({ ...frame, bytes: frame.data })}\n`).join("");
};

test("lines are those of the frames that a reading gives, up to the limit", async (t) => {
  const path = await storeWith(t, traffic(1, 2000), { ports });
  for (const filter of ["", "udp", "host 10.0.0.1", "in-port en0 and tcp"]) {
    const frames = await storedFrames(path, { filter });
    const { output, report } = await written({ sources: [path], filter });
    t.is(output, printed(frames), filter);
    t.is(report.frames, frames.length);
    t.is(report.ended, "done");
    t.is(report.counters.corrupt, 0);
  }
  const frames = await storedFrames(path);
  for (const limit of [1, 63, 64, 65, 1000, frames.length, frames.length + 1]) {
    const { output, report } = await written({ sources: [path], limit });
    t.is(output, printed(frames.slice(0, limit)));
    t.is(report.frames, Math.min(limit, frames.length));
    t.is(report.ended, limit > frames.length ? "done" : "limit");
  }
});

test("newest first, TCP's numbers are as they are: what they would be relative to comes last", async (t) => {
  const path = await storeWith(t, traffic(8, 500), { ports });
  const frames = (await storedFrames(path, { filter: "tcp" })).toReversed();
  const printer = new PacketText({ utc: true, absoluteSequences: true });
  const { output } = await written({ sources: [path], filter: "tcp", reverse: true });
  t.is(output, frames.map((frame) => `${printer.text({ ...frame, bytes: frame.data })}\n`).join(""));
});

test("sequences, snaplen and several sources", async (t) => {
  const folder = testFolder(t);
  const path = await storeWith(t, traffic(2, 300), { ports, folder });
  const frames = await storedFrames(path);
  const [from, to] = [frames[10]!.sequence, frames[40]!.sequence];
  const part = await written({ sources: [path], fromSequence: from, toSequence: to });
  t.is(part.output, printed(frames.slice(10, 41)));
  const short = await written({ sources: [path], snaplen: 30 });
  t.is(short.output, printed(frames.map((frame) => ({ ...frame, data: frame.data.subarray(0, 30) }))));
  const twice = await written({ sources: [path, path], filter: "arp" });
  t.is(twice.report.frames, 2 * (await storedFrames(path, { filter: "arp" })).length);
});

test("any port, newest first: the last ones of a reading forwards, later fragments among them", async (t) => {
  const random = new Random(9);
  const addresses = [ipv4Address(random), ipv4Address(random)] as const;
  const fragments = [0x2000, 0x2001, 2].map((fragment, i) => {
    const packet = ipv4(random, 17, Buffer.from([0, 53, 0, 53, 0, 24, 0, 0]), {
      addresses,
      fragment,
      identification: 7,
    });
    const data = ethernet(random, types.ipv4, packet);
    return { data, wireLength: data.length, timeNs: 10n ** 18n + BigInt(i) };
  });
  const path = await storeWith(t, [...fragments, ...traffic(9, 1000)], { ports });
  const filter = "any portrange 1-65535";
  const forwards = await written({ sources: [path], filter }, { as: "jsonl" });
  const lines = forwards.output.trimEnd().split("\n");
  t.true(lines.some((line) => line.includes("ip_fragment")));
  for (const limit of [1, 100, lines.length + 1]) {
    const { output } = await written({ sources: [path], filter, limit, reverse: true }, { as: "jsonl" });
    t.deepEqual(output.trimEnd().split("\n"), lines.slice(-limit).toReversed(), `${limit}`);
  }
  for (const limit of [undefined, 65537])
    await t.throwsAsync(written({ sources: [path], filter, reverse: true, ...(limit && { limit }) }), {
      code: "USAGE",
      message: /^"any port" can be read forwards only/,
    });
});

test("captures: interfaces are ports, filters know times, the last packets come newest first", async (t) => {
  const frames = traffic(3, 200);
  const path = join(testFolder(t), "two.pcapng");
  const writer = new PcapngWriter();
  const described = ["left", "right"].map((name) => ({ name, linkType: 1, snaplen: 0 }));
  const batch = batchOf(frames.map((frame) => ({ ...frame, interface: (frame.interface ?? 0) % 2 })));
  writeFileSync(path, Buffer.concat([writer.header(described), writer.append(batch)]));
  const { output } = await written({ sources: [path] }, { as: "jsonl", utc: true });
  const lines = output
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  t.is(lines.length, frames.length);
  t.deepEqual([...new Set(lines.map((line) => line.in_iface))].toSorted(), ["left", "right"]);
  t.true(lines.every((line) => line.seq === undefined));
  const { rows } = await countTop({ sources: [path] }, "in-port");
  t.deepEqual(
    Object.fromEntries([...rows()].map(({ value, packets }) => [value, packets])),
    Object.fromEntries(["left", "right"].map((name) => [name, lines.filter((line) => line.in_iface === name).length])),
  );
  await t.throwsAsync(written({ sources: [path], reverse: true }), {
    code: "USAGE",
    message: /two\.pcapng can be read forwards only, .*: say how many with -c, 65536 at most/,
  });
  const last = await written({ sources: [path], reverse: true, limit: 50 }, { as: "jsonl", utc: true });
  t.deepEqual(last.output.trimEnd().split("\n"), output.trimEnd().split("\n").slice(-50).toReversed());
  await t.throwsAsync(written({ sources: [path], filter: "dropped" }), { code: "FILTER" });
});

test("JSON: an array, or an object a line, with every fact that the frame has", async (t) => {
  const path = await storeWith(t, traffic(4, 500), { ports });
  const frames = await storedFrames(path);
  const array = await written({ sources: [path] }, { as: "json", utc: true });
  const lines = await written({ sources: [path] }, { as: "jsonl", utc: true });
  const objects = JSON.parse(array.output);
  t.deepEqual(
    lines.output
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
    objects,
  );
  t.is(objects.length, frames.length);
  for (const [i, object] of objects.entries()) {
    const frame = frames[i]!;
    const expected = packetJson(
      {
        bytes: frame.data,
        timeNs: frame.timeNs,
        wireLength: frame.wireLength,
        sequence: frame.sequence,
        inPort: frame.ingress,
        outcome: "forwarded",
      },
      { utc: true },
    );
    t.deepEqual(object, JSON.parse(JSON.stringify(expected)));
  }
  t.is(
    (await written({ sources: [path], filter: "tcp port 1 and udp" }, { as: "json" })).output.replace(/\s/g, ""),
    "[]",
  );
});

test("a reader that goes away, and a signal, end a query without an error", async (t) => {
  const path = await storeWith(t, traffic(5, 3000), { ports });
  let chunks = 0;
  const gone = new Writable({
    write(_chunk, _encoding, done) {
      const error = Object.assign(new Error("gone"), { code: "EPIPE" });
      done(++chunks > 1 ? error : null);
    },
  });
  const closed = await queryLines({ sources: [path], output: gone, format: text });
  t.is(closed.ended, "closed");
  const controller = new AbortController();
  controller.abort();
  const { report } = await written({ sources: [path], signal: controller.signal });
  t.is(report.ended, "aborted");
  t.is(report.frames, 0);
});

test("what cannot be: no source, a bad limit, unknown names, no such field", async (t) => {
  const path = await storeWith(t, traffic(6, 50), { ports });
  await t.throwsAsync(written({ sources: [] }), { code: "USAGE" });
  await t.throwsAsync(written({ sources: [path], limit: 0 }), { code: "USAGE" });
  await t.throwsAsync(written({ sources: [path], fromSequence: 9n, toSequence: 8n }), { code: "USAGE" });
  await t.throwsAsync(written({ sources: [join(path, "nothing")] }), { instanceOf: PasteError });
  await t.throwsAsync(written({ sources: [path], filter: "in-port vale0:z" }), {
    code: "FILTER",
    message: /did you mean "vale0:a"/,
  });
  await t.throwsAsync(countTop({ sources: [path] }, "colour" as "src"), {
    code: "USAGE",
    message: /choose one of src/,
  });
  const { report } = await written({ sources: [path], filter: "in-port vale0:z or arp or ip" });
  t.is(report.warnings.length, 1);
  const evening = `after ${Math.floor(Date.now() / 1000) + 3600}`;
  const early = await written({ sources: [path], filter: evening });
  t.regex(early.report.warnings.join(), /^the filter selects nothing before 20\S+Z, which is still to come: /);
  t.deepEqual((await written({ sources: [path], filter: `${evening} or ip` })).report.warnings, []);
  t.deepEqual((await written({ sources: [path], filter: "after 1h ago and udp port 1" })).report.warnings, []);
});

test("a store that is overwritten under a slow reader: the query goes on, and says how much was overtaken", async (t) => {
  const { path, write, close } = await ringStore(t, 12);
  await write(4);
  let lines = 0;
  let behind = false;
  const slow = new Writable({
    async write(chunk: Buffer, _encoding, done) {
      lines += chunk.toString().split("\n").length - 1;
      if (!behind) await write(20);
      behind = true;
      done();
    },
  });
  const report = await queryLines({ sources: [path], output: slow, format: { as: "jsonl" } });
  await close();
  t.true(report.counters.overtaken > 0);
  t.is(report.ended, "done");
  t.is(report.frames, lines);
  t.true(report.frames > 64);
});

test("a damaged record is left out and counted", async (t) => {
  const frames = traffic(13, 200);
  const path = await storeWith(t, frames, { ports });
  const bytes = readFileSync(path);
  const at = bytes.indexOf(frames[100]!.data.subarray(0, 40));
  t.true(at > 0);
  bytes[at + 20]! ^= 1;
  writeFileSync(path, bytes);
  const { report } = await written({ sources: [path] });
  t.is(report.frames, frames.length - 1);
  t.is(report.counters.corrupt, 1);
  t.is((await countFrames({ sources: [path] })).counters.corrupt, 1);
});

test("names that would control a terminal are escaped, in text and in JSON", async (t) => {
  const evil = "en0\u001b]0;pwned\u0007\u202e\u009b2J";
  const path = join(testFolder(t), "evil.pcapng");
  const writer = new PcapngWriter();
  const [frame] = traffic(14, 10);
  const batch = batchOf([{ data: frame!.data, timeNs: 1n }]);
  writeFileSync(path, Buffer.concat([writer.header([{ name: evil, linkType: 1, snaplen: 0 }]), writer.append(batch)]));
  const asText = await written({ sources: [path] }, { as: "text", text: { linkHeader: true } });
  const asJson = await written({ sources: [path] }, { as: "jsonl" });
  for (const { output } of [asText, asJson]) t.regex(output, /^[\x20-\x7e\n\t]+$/);
  t.is(
    JSON.parse(asJson.output).in_iface,
    evil.replace(/\p{Cc}/gu, "."),
    "a capture's names lose their controls when it is read",
  );
});

test("a piece of the plan, and what was touched, are in the report", async (t) => {
  const path = await storeWith(t, traffic(15, 2000), { ports });
  const { report } = await written({ sources: [path], filter: "host 10.0.0.1" });
  t.regex(report.plan[0]!, /^index: /);
  t.true(report.counters.bytesScanned > 0 && report.counters.records > 0);
  const scanned = await written({ sources: [path], filter: "host 10.0.0.1", index: false });
  t.deepEqual(scanned.report.plan, ["index: not asked, as was wished"]);
  t.is(scanned.report.counters.runsRead, 0);
  t.is(scanned.output, (await written({ sources: [path], filter: "host 10.0.0.1" })).output);
});

test("the first packets come while most of the store has not been read", async (t) => {
  const path = await storeWith(t, traffic(16, 8000), { ports, blockBytes: 64 << 10 });
  const reading = await QueryReading.open({ sources: [path] });
  const pieces = reading.packets();
  const first = await pieces.next();
  t.true(!first.done && first.value.length > 0 && first.value.length <= 64);
  t.true(reading.report.frames <= 64);
  await pieces.return();
  t.true(reading.report.counters.records < 8000, `${reading.report.counters.records} records were read for it`);
});
