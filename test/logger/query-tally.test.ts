// --count, --flows and --top against models that look at one frame after the other, and against filters.
import { createHash } from "node:crypto";
import test from "ava";
import { packetFacts } from "../../logger/print/packet-facts.js";
import { countFlows, countFrames, countTop, type Flow, flowJson, topFields } from "../../logger/query-tally.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { communityId } from "../../native/query.js";
import { dissect } from "../support/native-index.js";
import { ports, traffic } from "./query-frames.js";
import { type StoredFrame, storedFrames, storeWith, type TestFrame } from "./store-tools.js";

interface ModelFlow {
  packets: [number, number];
  bytes: [number, number];
  flags: [number, number];
  first: bigint;
  last: bigint;
  source: string;
}

/** Its IP packet in a frame of its own: without tags, labels and session. */
function bare(data: Buffer): Buffer {
  const { offset, version } = dissect(data, false).layers[0]!;
  const type = Buffer.from(version === 6 ? "86dd" : "0800", "hex");
  return Buffer.concat([data.subarray(0, 12), type, data.subarray(offset)]);
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
    const facts = packetFacts(bare(data));
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
