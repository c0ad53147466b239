// Queries over stores and captures: lines, JSON and counts against small models of them, and everything that ends one early.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapngWriter } from "../../logger/capture/pcapng-writer.js";
import { PasteError } from "../../logger/errors.js";
import { packetFacts } from "../../logger/print/packet-facts.js";
import { packetJson } from "../../logger/print/packet-json.js";
import { PacketText } from "../../logger/print/packet-text.js";
import { type LineFormat, type QueryOptions, queryLines } from "../../logger/query.js";
import { QueryReading } from "../../logger/query-reading.js";
import { countFlows, countFrames, countTop, type Flow, flowJson, topFields } from "../../logger/query-tally.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { communityId } from "../../native/query.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { type StoredFrame, storedFrames, storeWith, type TestFrame, testFolder } from "./store-tools.js";

const ports = ["vale0:a", "vale0:b", "en0", "tap"];

function traffic(seed: number, count: number): TestFrame[] {
  const { batch } = generateTraffic({ seed, frames: count });
  const frames = Array.from({ length: count }, (_, i) => ({
    data: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
    wireLength: batch.wireLengths[i]!,
    timeNs: batch.timesNs[i]!,
    interface: batch.interfaces[i]! % ports.length,
  }));
  return [...frames, ...awkwardFrames(seed, count / 10).map((frame, i) => ({ ...frame, interface: i % ports.length }))];
}

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

test("captures: interfaces are ports, filters know times, nothing runs backwards", async (t) => {
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
    message: /--reverse is for stores/,
  });
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
});

interface ModelFlow {
  packets: [number, number];
  bytes: [number, number];
  flags: [number, number];
  first: bigint;
  last: bigint;
  source: string;
}

/** The flows of frames, worked out a frame at a time. */
function modelFlows(frames: readonly TestFrame[]): { flows: Map<string, ModelFlow>; without: number } {
  const flows = new Map<string, ModelFlow>();
  let without = 0;
  for (const { data, wireLength, timeNs } of frames) {
    const id = communityId(data);
    if (id === undefined) {
      without++;
      continue;
    }
    const facts = packetFacts(data);
    const source = `${facts.sourceIp} ${facts.sourcePort ?? ""}`;
    const empty = (): ModelFlow => ({
      packets: [0, 0],
      bytes: [0, 0],
      flags: [0, 0],
      first: timeNs,
      last: timeNs,
      source,
    });
    const flow = flows.get(id) ?? empty();
    flows.set(id, flow);
    const way = flow.source === source ? 0 : 1;
    flow.packets[way]++;
    flow.bytes[way] += wireLength;
    flow.flags[way] |= facts.tcpFlags ?? 0;
    if (timeNs < flow.first) flow.first = timeNs;
    if (timeNs > flow.last) flow.last = timeNs;
  }
  return { flows, without };
}

test("flows are those of a model: packets, bytes, flags and times both ways", async (t) => {
  const path = await storeWith(t, traffic(7, 4000), { ports });
  const frames = await storedFrames(path);
  const { report, rows } = await countFlows({ sources: [path] });
  const model = modelFlows(frames);
  const flows = [...rows()];
  t.is(flows.length, model.flows.size);
  t.is(report.rows, flows.length);
  t.is(report.without.packets, model.without);
  t.is(report.all.packets, frames.length);
  for (const flow of flows) {
    const expected = model.flows.get(flow.communityId);
    t.truthy(expected);
    const { packets, bytes, flags, first, last, source } = expected!;
    t.deepEqual(
      [
        flow.packets,
        flow.packetsBack,
        flow.bytes,
        flow.bytesBack,
        flow.tcpFlags,
        flow.tcpFlagsBack,
        flow.firstNs,
        flow.lastNs,
      ],
      [packets[0], packets[1], bytes[0], bytes[1], flags[0], flags[1], first, last],
      flow.communityId,
    );
    t.is(`${flow.sourceIp} ${flow.sourcePort ?? ""}`, source);
    t.is(JSON.parse(JSON.stringify(flowJson(flow))).community_id, flow.communityId);
  }
  t.deepEqual(
    flows.map(({ firstNs }) => firstNs),
    flows.map(({ firstNs }) => firstNs).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
  );
});

test("flows in other orders, and beyond the bound: counted as left out, never lost", async (t) => {
  const path = await storeWith(t, traffic(8, 2000), { ports });
  const all = await countFlows({ sources: [path] }, "bytes");
  const bytes = (flow: Flow) => flow.bytes + flow.bytesBack;
  const rows = [...all.rows()];
  t.true(rows.every((flow, i) => i === 0 || bytes(flow) <= bytes(rows[i - 1]!)));
  const bounded = await countFlows({ sources: [path], rowsMax: 10 }, "packets");
  t.is(bounded.report.rows, 10);
  const counted = [...bounded.rows()].reduce((sum, flow) => sum + flow.packets + flow.packetsBack, 0);
  t.true(bounded.report.leftOut.packets > 0);
  t.is(counted + bounded.report.leftOut.packets + bounded.report.without.packets, bounded.report.all.packets);
});

function modelValues(field: string, frame: StoredFrame): string[] {
  const facts = packetFacts(frame.data);
  const pick = (...values: (string | number | undefined)[]) =>
    values.filter((value) => value !== undefined).map(String);
  switch (field) {
    case "src-mac":
      return pick(facts.sourceMac);
    case "dst-mac":
      return pick(facts.destinationMac);
    case "mac":
      return pick(facts.sourceMac, facts.destinationMac);
    case "in-port":
      return pick(frame.ingress);
    default:
      return pick(facts.vlans[0]);
  }
}

for (const field of ["src-mac", "dst-mac", "mac", "in-port"] as const)
  test(`--top ${field} is that of a model`, async (t) => {
    const path = await storeWith(t, traffic(9, 1500), { ports });
    const expected = new Map<string, number>();
    for (const frame of await storedFrames(path))
      for (const value of new Set(modelValues(field, frame))) expected.set(value, (expected.get(value) ?? 0) + 1);
    const { rows } = await countTop({ sources: [path] }, field);
    t.deepEqual(
      Object.fromEntries([...rows()].map(({ value, packets }) => [value, packets])),
      Object.fromEntries(expected),
    );
  });

const twice = (filter: string) => `${filter} or (vlan and ${filter})`;

/** Of generated traffic, whose frames are what they say: filters count the same. */
const filters: [
  field: "src" | "dst" | "host" | "port" | "src-port" | "dst-port" | "vlan",
  filter: (value: string) => string,
][] = [
  ["src", (value) => twice(`src host ${value}`)],
  ["host", (value) => twice(`host ${value}`)],
  ["port", (value) => twice(`port ${value}`)],
  ["vlan", (value) => `vlan ${value}`],
];

for (const [field, filter] of filters)
  test(`--top ${field} counts what a filter counts`, async (t) => {
    const { batch } = generateTraffic({ seed: 10, frames: 1500 });
    const frames = Array.from({ length: batch.count }, (_, i) => ({
      data: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
      wireLength: batch.wireLengths[i]!,
      timeNs: batch.timesNs[i]!,
    }));
    const path = await storeWith(t, frames, { ports: ["a"] });
    const { rows } = await countTop({ sources: [path] }, field);
    const entries = [...rows()];
    t.true(entries.length > 1);
    for (const { value, packets, bytes } of entries.slice(0, 8)) {
      const { all } = await countFrames({ sources: [path], filter: filter(value) });
      t.deepEqual(all, { packets, bytes }, `${field} ${value}`);
    }
  });

test("every field of --top counts something, and what has none is told", async (t) => {
  const path = await storeWith(t, traffic(11, 600), { ports });
  for (const field of topFields) {
    const { report, rows } = await countTop({ sources: [path] }, field);
    t.is(report.all.packets, 660);
    const entries = [...rows()];
    if (field === "out-port" || field === "rule") t.is(report.without.packets, 660);
    else t.true(entries.length > 0 && entries.every(({ value, packets }) => value !== "" && packets > 0), field);
  }
});

test("Community IDs in text are those of the standard's published vector", (t) => {
  // 128.232.110.120:34855 -> 66.35.250.204:80 over TCP (the specification's baseline).
  const frame = Buffer.alloc(54);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame[23] = 6;
  frame.set([128, 232, 110, 120, 66, 35, 250, 204], 26);
  frame.writeUInt16BE(34855, 34);
  frame.writeUInt16BE(80, 36);
  const digest = createHash("sha1").update(Buffer.from("000042 23facc 80e86e7806000050 8827".replace(/ /g, ""), "hex"));
  t.is(communityId(frame), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
  t.is(communityId(frame), `1:${digest.digest("base64")}`);
  t.is(communityId(frame.subarray(0, 35)), undefined);
});

test("a store that is overwritten under a slow reader: the query goes on, and says how much was overtaken", async (t) => {
  const path = join(testFolder(t), "ring.store");
  await createStore(path, { sizeBytes: 16 << 20, blockBytes: 64 << 10 });
  const appender = await StoreAppender.open(path);
  appender.addInterface("a");
  const { batch } = generateTraffic({ seed: 12, frames: 4000 });
  const more = { ...batch, interfaces: new Uint16Array(batch.count) };
  const write = async (times: number) => {
    for (let i = 0; i < times; i++) await appender.append(more);
    await appender.flush();
  };
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
  await appender.close();
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
