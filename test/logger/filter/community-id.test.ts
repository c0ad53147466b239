// `community-id "1:..."`: the standard's published vectors, and a model of it made of Node's SHA-1.
import { createHash } from "node:crypto";
import test from "ava";
import { PasteError } from "../../../logger/errors.js";
import { parseIpv6 } from "../../../logger/filter/addresses.js";
import { selectFrames } from "../../../logger/filter/bpf-program.js";
import { compileFilter } from "../../../logger/filter/compile.js";
import { openStore } from "../../../logger/reader.js";
import { storeWith } from "../store-tools.js";
import { batchOf, Dice } from "./frames.js";

interface Flow {
  source: string;
  destination: string;
  protocol: number;
  /** Of ICMP: type and code. */
  ports?: readonly [number, number];
}

const addressBytes = (address: string): Buffer =>
  Buffer.from(address.includes(":") ? parseIpv6(address)! : address.split(".").map(Number));

/** An Ethernet frame of the flow, with VLAN tags and, in IPv6, extension headers if wanted. */
function frameOf(flow: Flow, { tags = 0, extended = false, fragment = 0, labels = 0, session = false } = {}): Buffer {
  const [from, to] = [addressBytes(flow.source), addressBytes(flow.destination)];
  const icmp = flow.protocol === 1 || flow.protocol === 58;
  const transport = Buffer.alloc(24);
  const ports = flow.ports ?? [0, 0];
  if (icmp) transport.set(ports);
  else for (const [i, port] of ports.entries()) transport.writeUInt16BE(port, i * 2);
  const header = Buffer.alloc(from.length === 4 ? 20 : 40);
  const extensions: Buffer[] = [];
  if (from.length === 4) {
    header[0] = 0x45;
    header.writeUInt16BE(fragment, 6);
    header[9] = flow.protocol;
    header.set(from, 12);
    header.set(to, 16);
  } else {
    header[0] = 0x60;
    header[6] = flow.protocol;
    header.set(from, 8);
    header.set(to, 24);
    if (extended) {
      header[6] = 0;
      extensions.push(Buffer.from([44, 1, ...new Array(14).fill(0)])); // hop-by-hop, 16 bytes
      extensions.push(Buffer.from([flow.protocol, 0, fragment >> 5, (fragment << 3) & 0xff, 0, 0, 0, 1]));
    }
  }
  const tag = Buffer.alloc(tags * 4);
  for (let i = 0; i < tags; i++) tag.writeUInt32BE((i === 0 ? 0x88a80000 : 0x81000000) + 5 + i, i * 4);
  const six = from.length === 16;
  const stack = Buffer.alloc(labels * 4);
  for (let i = 0; i < labels; i++) stack.writeUInt32BE(((16 + i) << 12) | (i === labels - 1 ? 0x100 : 0) | 64, i * 4);
  const type = Buffer.from(session ? "8864" : labels > 0 ? "8847" : six ? "86dd" : "0800", "hex");
  const ppp = Buffer.from(session ? `1100000500ff${labels > 0 ? "0281" : six ? "0057" : "0021"}` : "", "hex");
  return Buffer.concat([Buffer.alloc(12, 2), tag, type, ppp, stack, header, ...extensions, transport]);
}

const selects = (id: string, frames: readonly Buffer[]): number[] => {
  const columns = batchOf(frames.map((data) => ({ data, wireLength: data.length })));
  const timed = { ...columns, timesNs: new BigInt64Array(frames.length) };
  return [...selectFrames(compileFilter(`community-id ${id}`, { record: "time" }).bytes, timed)];
};

// From the standard's own test captures.
const vectors: readonly (readonly [id: string, flow: Flow])[] = [
  [
    "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
    { source: "128.232.110.120", destination: "66.35.250.204", protocol: 6, ports: [34855, 80] },
  ],
  [
    "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
    { source: "192.168.1.52", destination: "8.8.8.8", protocol: 17, ports: [54585, 53] },
  ],
  [
    "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=",
    { source: "192.168.170.8", destination: "192.168.170.56", protocol: 132, ports: [7, 80] },
  ],
  [
    "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
    { source: "192.168.0.89", destination: "192.168.0.1", protocol: 1, ports: [8, 0] },
  ],
  [
    "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=",
    { source: "fe80::200:86ff:fe05:80da", destination: "fe80::260:97ff:fe07:69ea", protocol: 58, ports: [135, 0] },
  ],
];

for (const [id, flow] of vectors)
  test(`published: ${id}`, (t) => {
    const answered = { 8: 0, 135: 136 }[flow.ports![0]];
    const ports: readonly [number, number] =
      flow.protocol === 1 || flow.protocol === 58 ? [answered!, 0] : [flow.ports![1], flow.ports![0]];
    const back: Flow = { source: flow.destination, destination: flow.source, protocol: flow.protocol, ports };
    const other: Flow = { ...flow, ports: [flow.ports![0] + 1, flow.ports![1]] };
    t.deepEqual(selects(id, [frameOf(flow), frameOf(back), frameOf(other), frameOf(flow, { tags: 2 })]), [1, 1, 0, 1]);
  });

const pairs4 = [8, 0, 13, 14, 15, 16, 10, 9, 17, 18];
const pairs6 = [128, 129, 133, 134, 135, 136, 130, 131, 139, 140, 144, 145];

/** The standard, in the plainest way. */
function model({ source, destination, protocol, ports }: Flow): string {
  let [from, to] = [addressBytes(source), addressBytes(destination)];
  let [first, second] = ports ?? [0, 0];
  const pairs =
    protocol === 1 && from.length === 4 ? pairs4 : protocol === 58 && from.length === 16 ? pairs6 : undefined;
  const place = pairs?.indexOf(first) ?? -1;
  if (pairs && place >= 0) second = pairs[place ^ 1]!;
  const oneWay = pairs !== undefined && place < 0;
  const order = Buffer.compare(from, to);
  if (!oneWay && (order > 0 || (order === 0 && first > second))) [from, to, first, second] = [to, from, second, first];
  const hasPorts = pairs !== undefined || [6, 17, 132].includes(protocol);
  const tail = hasPorts ? [first >> 8, first & 255, second >> 8, second & 255] : [];
  const hashed = Buffer.concat([Buffer.alloc(2), from, to, Buffer.from([protocol, 0, ...tail])]);
  return `1:${createHash("sha1").update(hashed).digest("base64")}`;
}

const seed = Number(process.env.PASTE_SEED ?? Math.floor(Math.random() * 2 ** 31));

function randomFlow(dice: Dice): Flow {
  const six = dice.pick([false, true]);
  const address = () => (six ? `2001:db8::${dice.below(4)}` : `10.0.${dice.below(2)}.${dice.below(3)}`);
  const protocol = dice.pick([6, 17, 132, 1, 58, 47, 50]);
  const ports: [number, number] =
    protocol === 1 || protocol === 58
      ? [dice.pick([...(six ? pairs6 : pairs4), 3, 11, 1, 4, 255]), dice.below(3)]
      : [dice.below(65536), dice.pick([80, 443, dice.below(65536)])];
  return { source: address(), destination: address(), protocol, ports };
}

test("random flows have the model's id, also behind tags and extension headers", (t) => {
  t.log(`seed ${seed}`);
  const dice = new Dice(seed);
  const flows = Array.from({ length: 400 }, () => randomFlow(dice));
  const frames = flows.map((flow) => frameOf(flow, { tags: dice.below(5), extended: dice.pick([false, true]) }));
  const ids = flows.map(model);
  for (const id of ids)
    t.deepEqual(
      selects(`"${id}"`, frames),
      ids.map((each) => Number(each === id)),
      id,
    );
});

test("behind MPLS labels and in PPPoE sessions the id is that of the packet in there, by an index and without", async (t) => {
  const dice = new Dice(seed);
  t.log(`seed ${seed}`);
  const flows = Array.from({ length: 300 }, () => randomFlow(dice));
  const frames = flows.map((flow, i) => {
    const wrapped = { labels: dice.below(4), session: dice.pick([false, true]), tags: dice.below(3) };
    const data = frameOf(flow, { ...wrapped, extended: dice.pick([false, true]) });
    return { data, wireLength: data.length, timeNs: BigInt(i) };
  });
  const path = await storeWith(t, frames);
  const reader = openStore(path);
  t.teardown(() => reader.close());
  let indexed = 0;
  for (const flow of flows.slice(0, 60)) {
    const id = model(flow);
    const expected = flows.flatMap((each, i) => (model(each) === id ? [i] : []));
    for (const index of [true, false]) {
      const found: number[] = [];
      for await (const batch of reader.frames({ filter: `community-id ${id}`, index }))
        for (let i = 0; i < batch.count; i++) found.push(Number(batch.timeNs(i)));
      t.deepEqual(found, expected, `${id}, index ${index}`);
      indexed += reader.counters.recordsJumped;
    }
  }
  t.true(indexed > 0, "an index answered");
  const [, flow] = vectors[0]!;
  const deep = [1, 16, 17].map((labels) => frameOf(flow, { labels }));
  const ethernetInside = frameOf(flow, { labels: 1 });
  ethernetInside[18] = 0; // a control word, and Ethernet behind it
  const whole = frameOf(flow, { labels: 2, session: true });
  const cut = Array.from({ length: whole.length - 20 }, (_, length) => whole.subarray(0, length));
  t.deepEqual(selects(vectors[0]![0], [...deep, ethernetInside, whole, ...cut]), [1, 1, 0, 0, 1, ...cut.map(() => 0)]);
});

test("later fragments, cut frames, frames of other protocols and with five tags have none", (t) => {
  for (const flow of [vectors[0]![1], { ...vectors[4]![1], protocol: 17 }]) {
    const whole = frameOf(flow, { extended: true });
    const cut = Array.from({ length: whole.length - 20 }, (_, length) => whole.subarray(0, length));
    const frames = [whole, frameOf(flow, { fragment: 7, extended: true }), frameOf(flow, { tags: 5 }), ...cut];
    const other = Buffer.from(whole);
    other.writeUInt16BE(0x0806, 12);
    frames.push(other, Buffer.alloc(0));
    t.deepEqual(selects(model(flow), frames), [1, ...new Array(frames.length - 1).fill(0)]);
    // Nor is "none" an id of zeros.
    t.deepEqual(selects(`1:${"A".repeat(27)}=`, frames), new Array(frames.length).fill(0));
  }
});

test("over a store, mixed with other words", async (t) => {
  const dice = new Dice(seed);
  const flows = Array.from({ length: 500 }, () => randomFlow(dice));
  const frames = flows.map((flow, i) => {
    const data = frameOf(flow);
    return { data, wireLength: data.length, timeNs: BigInt(i), interface: i % 2 };
  });
  const reader = openStore(await storeWith(t, frames));
  const id = model(flows[250]!);
  const found: number[] = [];
  const filter = `community-id ${id} and in-port port-a and after 100ns`;
  for await (const batch of reader.frames({ filter }))
    for (let i = 0; i < batch.count; i++) found.push(Number(batch.timeNs(i)));
  const expected = flows.flatMap((flow, i) => (model(flow) === id && i % 2 === 0 && i >= 100 ? [i] : []));
  t.true(expected.length > 0);
  t.deepEqual(found, expected);
});

const form = "1: and 28 letters, such as 1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
test("what is no id, and where none is computed", (t) => {
  const message = (filter: string, record: "none" | "store") =>
    t.throws(() => compileFilter(filter, { record }), { instanceOf: PasteError, code: "FILTER" }).message;
  t.is(
    message("community-id", "store"),
    `filter: the filter ends too early at column 13: expected a Community ID: ${form}`,
  );
  for (const id of ["2:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:LQU9", "1:LQU9qZlK+B5F3KDmev6m5PMibr?="])
    t.is(
      message(`tcp and community-id ${id}`, "store"),
      `filter: "${id}" is no Community ID at column 22: it is ${form}`,
    );
  t.is(
    message(`community-id ${vectors[0]![0]}`, "none"),
    'filter: "community-id" is not for rules at column 1: it takes a hash for each frame: write flow A:p B:q tcp',
  );
});
