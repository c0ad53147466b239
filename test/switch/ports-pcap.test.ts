// A capture file as a port: frames left where they were read, timing, loops, and files that lie.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { packageRoot } from "../../native/load.js";
import { frame, type Hub, type HubFrame, makeHub, until } from "../support/native-ports.js";
import { skip } from "../support/skip.js";

const folder = mkdtempSync(join(tmpdir(), "paste-pcap-"));
test.after.always(() => rmSync(folder, { recursive: true }));
let files = 0;
function file(...parts: Uint8Array[]): string {
  const path = join(folder, `${files++}.pcap`);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

interface Format {
  big?: boolean;
  nano?: boolean;
}
function numbers(big: boolean, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries())
    big ? bytes.writeUInt32BE(value, 4 * i) : bytes.writeUInt32LE(value, 4 * i);
  return bytes;
}
function header({ big = false, nano = false }: Format = {}, linkType = 1, version = 2): Buffer {
  const bytes = numbers(big, nano ? 0xa1b23c4d : 0xa1b2c3d4, 0, 0, 0, 65535, linkType);
  big ? bytes.writeUInt16BE(version, 4) : bytes.writeUInt16LE(version, 4);
  return bytes;
}
function record(bytes: Buffer, timeMs = 0, { big = false, nano = false }: Format = {}, wire = bytes.length): Buffer {
  const fraction = (timeMs % 1000) * (nano ? 1_000_000 : 1000);
  return Buffer.concat([numbers(big, Math.floor(timeMs / 1000), fraction, bytes.length, wire), bytes]);
}

/** A pcapng block, padded, with both lengths. */
function block(big: boolean, type: number, body: Buffer): Buffer {
  const size = 12 + Math.ceil(body.length / 4) * 4;
  const padding = Buffer.alloc(size - 12 - body.length);
  return Buffer.concat([numbers(big, type, size), body, padding, numbers(big, size)]);
}
const section = (big: boolean) =>
  block(
    big,
    0x0a0d0d0a,
    Buffer.concat([
      numbers(big, 0x1a2b3c4d),
      big ? Buffer.from([0, 1, 0, 0]) : Buffer.from([1, 0, 0, 0]),
      Buffer.alloc(8, 0xff),
    ]),
  );
const iface = (big: boolean, linkType = 1, snap = 0) =>
  block(
    big,
    1,
    Buffer.concat([big ? Buffer.from([0, linkType, 0, 0]) : Buffer.from([linkType, 0, 0, 0]), numbers(big, snap)]),
  );
const enhanced = (big: boolean, bytes: Buffer, timeUs = 0, captured = bytes.length, number = 0) =>
  block(big, 6, Buffer.concat([numbers(big, number, 0, timeUs, captured, captured), bytes]));
const simple = (big: boolean, bytes: Buffer) => block(big, 3, Buffer.concat([numbers(big, bytes.length), bytes]));

/** Everything the port gives, released batch by batch. */
async function drain(hub: Hub, batch = 256): Promise<HubFrame[]> {
  const frames: HubFrame[] = [];
  await until(() => {
    while (hub.receive("vale0:p", batch) > 0) {
      frames.push(...hub.frames());
      hub.release("vale0:p");
    }
    return !hub.alive("vale0:p");
  }, "the end of the file");
  return frames;
}
function port(spec: string, poolBlocks?: number, blockBytes?: number): Hub {
  const hub = makeHub();
  hub.pcap("vale0:p", spec, poolBlocks, blockBytes);
  return hub;
}
const contents = (frames: HubFrame[]) => frames.map((received) => received.bytes);
const some = [frame(0, 60), frame(1, 1514), frame(2, 14), frame(3, 9216), frame(4, 777)];

for (const big of [false, true])
  for (const nano of [false, true])
    test(`pcap, ${big ? "big" : "little"}-endian, ${nano ? "nano" : "micro"}seconds`, async (t) => {
      const path = file(
        header({ big, nano }),
        ...some.map((bytes) => record(bytes, 0, { big, nano }, bytes.length + 5)),
      );
      const hub = port(`pcap:${path},speed=max`);
      const frames = await drain(hub);
      t.deepEqual(contents(frames), some);
      t.true(frames.every((received, i) => received.wireLength === some[i]!.length + 5 && !received.framed));
      t.is(hub.state("vale0:p"), "end of file");
      t.is(hub.counters("vale0:p").zeroCopyFrames, 5);
    });

for (const big of [false, true])
  test(`pcapng, ${big ? "big" : "little"}-endian: enhanced and simple blocks, others passed over`, async (t) => {
    const path = file(
      section(big),
      iface(big),
      block(big, 0x0bad, Buffer.alloc(100)),
      ...some.slice(0, 3).map((bytes) => enhanced(big, bytes)),
      ...some.slice(3).map((bytes) => simple(big, bytes)),
    );
    t.deepEqual(contents(await drain(port(`pcap:${path},speed=max`))), some);
  });

for (const blockBytes of [65536, 262144])
  test(`frames are left in store blocks of ${blockBytes} bytes, borders and all, and every use is given back`, async (t) => {
    const sent = [...Array(3000).keys()].map((i) => frame(i, 60 + ((i * 37) % 1455)));
    const path = file(header(), ...sent.map((bytes) => record(bytes)));
    const hub = port(`pcap:${path},speed=max`, 8, blockBytes);
    const frames = await drain(hub);
    t.deepEqual(contents(frames), sent);
    t.true(frames.every((received) => received.inStore));
    hub.remove("vale0:p");
    t.is(hub.poolUses(), 0);
  });

test("a block stays in use until its last frame is released", async (t) => {
  const path = file(header(), record(frame(0, 60)), record(frame(1, 60)));
  const hub = port(`pcap:${path},speed=max`, 4, 65536);
  await until(() => hub.receive("vale0:p") === 2, "two frames");
  const batch = hub.frames();
  t.is(batch.length, 2);
  hub.arm("vale0:p");
  t.true(hub.alive("vale0:p"));
  t.true(hub.poolUses() >= 2);
  hub.release("vale0:p");
  await until(() => {
    hub.arm("vale0:p");
    return !hub.alive("vale0:p");
  }, "the end");
  hub.remove("vale0:p");
  t.is(hub.poolUses(), 0);
});

test("without a free store block the port reads into memory of its own", async (t) => {
  const path = file(header(), ...some.map((bytes) => record(bytes)));
  const hub = port(`pcap:${path},speed=max`, 0, 65536);
  const frames = await drain(hub);
  t.deepEqual(contents(frames), some);
  t.true(frames.every((received) => !received.inStore));
});

test("frames that are taken back come again", async (t) => {
  const path = file(header(), record(frame(0, 13)), ...some.map((bytes) => record(bytes)), record(frame(9, 9217)));
  const hub = port(`pcap:${path},speed=max`, 4, 65536);
  await until(() => hub.receive("vale0:p") === 5, "five frames");
  hub.unreceive("vale0:p", 3);
  hub.release("vale0:p");
  t.deepEqual(contents(await drain(hub)), some.slice(2));
  const counters = hub.counters("vale0:p");
  t.is(counters.receivedFrames, 7);
  t.deepEqual([counters.dropped.runt, counters.dropped.oversize, counters.zeroCopyFrames], [1, 1, 5]);
  hub.remove("vale0:p");
  t.is(hub.poolUses(), 0);
});

test("a frame that no chunk can hold is counted as oversize, and reading goes on", async (t) => {
  const path = file(header(), record(frame(0, 60)), record(Buffer.alloc(200_000)), record(frame(1, 61)));
  const hub = port(`pcap:${path},speed=max`, 8, 65536);
  t.deepEqual(contents(await drain(hub)), [frame(0, 60), frame(1, 61)]);
  t.is(hub.counters("vale0:p").dropped.oversize, 1);
});

test("loops: the file N times", async (t) => {
  const path = file(header(), ...some.map((bytes) => record(bytes)));
  t.deepEqual(contents(await drain(port(`pcap:${path},speed=max,loop=3`))), [...some, ...some, ...some]);
});

test("an empty capture loops for ever in no time: it ends", async (t) => {
  t.deepEqual(await drain(port(`pcap:${file(header())},loop=0`)), []);
});

test("own timing on the clock: nothing before its time, times that run backwards do not wait", async (t) => {
  const second = 1_000_000_000;
  const start = 1_700_000_000 * second;
  const times = [5000, 5100, 5050, 6000];
  const path = file(header(), ...times.map((time, i) => record(frame(i, 60 + i), time)));
  const hub = makeHub();
  hub.hold(start);
  hub.pcap("vale0:p", `pcap:${path},speed=2`);
  await until(() => hub.receive("vale0:p") === 1, "the first frame");
  hub.release("vale0:p");
  t.is(hub.receive("vale0:p"), 0);
  hub.hold(start + 0.049 * second);
  t.is(hub.receive("vale0:p"), 0);
  t.false(hub.arm("vale0:p"));
  hub.hold(start + 0.0501 * second);
  t.true(hub.arm("vale0:p"));
  t.is(hub.receive("vale0:p"), 2);
  hub.release("vale0:p");
  hub.hold(start + 0.5 * second);
  t.is(hub.receive("vale0:p"), 1);
});

const good = record(frame(0, 60));
const liars: [string, string, number, RegExp][] = [
  [
    "a record header cut off",
    file(header(), good, Buffer.alloc(15)),
    1,
    /record at byte 100: the file ends in the middle/,
  ],
  [
    "a record cut off",
    file(header(), good, good.subarray(0, 70)),
    1,
    /record at byte 100: the file ends in the middle/,
  ],
  ["a record of 4 GiB", file(header(), good, numbers(false, 0, 0, 0xffffffff, 60)), 1, /claims 4294967295 bytes/],
  ["a record of 262145 bytes", file(header(), good, numbers(false, 0, 0, 262145, 60)), 1, /claims 262145 bytes/],
  [
    "a record longer than the file and any chunk",
    file(header(), good, numbers(false, 0, 0, 262144, 60)),
    1,
    /ends in the middle/,
  ],
  ["a pcapng block of 8 bytes", file(section(false), numbers(false, 6, 8, 8)), 0, /a block of 8 bytes/],
  ["a pcapng block of 2 GiB", file(section(false), numbers(false, 6, 0x80000000, 8)), 0, /a block of 2147483648 bytes/],
  ["two lengths that differ", file(section(false), numbers(false, 0x0bad, 16, 0, 20)), 0, /two lengths differ/],
  [
    "a packet longer than its block",
    file(section(false), iface(false), enhanced(false, frame(0, 60), 0, 64)),
    0,
    /claims 64 bytes/,
  ],
  [
    "a packet without interface",
    file(section(false), enhanced(false, frame(0, 60))),
    0,
    /interface 0, which is not described/,
  ],
  [
    "an interface that is no Ethernet",
    file(section(false), iface(false, 113), enhanced(false, frame(0, 60))),
    0,
    /link type 113 is not Ethernet/,
  ],
  [
    "a pcapng file cut off",
    file(section(false), iface(false), enhanced(false, frame(0, 60)).subarray(0, 50)),
    0,
    /ends in the middle/,
  ],
];
for (const [name, path, before, pattern] of liars)
  test(`${name}: what came before is forwarded, then the port ends with the reason`, async (t) => {
    const hub = port(`pcap:${path},speed=max`, 4, 65536);
    t.is((await drain(hub)).length, before);
    t.regex(hub.state("vale0:p"), /^error: capture .*record at byte/);
    t.regex(hub.state("vale0:p"), pattern);
    hub.remove("vale0:p");
    t.is(hub.poolUses(), 0);
  });

test("a file that shrinks while it is read ends the port", async (t) => {
  const path = file(header(), ...[...Array(20000).keys()].map((i) => record(frame(i, 1000))));
  const hub = port(`pcap:${path},speed=max`, 2, 65536);
  await until(() => hub.receive("vale0:p") > 0, "frames");
  hub.release("vale0:p");
  writeFileSync(path, header());
  const rest = await drain(hub);
  t.true(rest.length < 20000);
  t.not(hub.state("vale0:p"), "up");
});

for (const [spec, pattern] of [
  [`pcap:${folder}/none`, /^CAPTURE: capture .*none: No such file/],
  [`pcap:${folder}`, /^CAPTURE: .*no regular file/],
  ["pcap:/dev/zero", /^CAPTURE: .*no regular file/],
  ["pcap:", /^USAGE: .*file's name is missing/],
  ["tap:x", /^USAGE: .*pcap:FILE is meant/],
  ["pcap:x,speed=0", /^USAGE: .*speed is a number above 0/],
  ["pcap:x,speed=fast", /^USAGE: .*speed is a number above 0/],
  ["pcap:x,speed=-1", /^USAGE: .*speed is a number above 0/],
  ["pcap:x,loop=-1", /^USAGE: .*loop is a whole number/],
  [`pcap:${file()}`, /^CAPTURE: .*the file is empty/],
  [`pcap:${file(Buffer.alloc(5))}`, /^CAPTURE: .*too short/],
  [`pcap:${file(Buffer.alloc(64))}`, /^CAPTURE: .*neither pcap nor pcapng/],
  [`pcap:${file(header().subarray(0, 20))}`, /^CAPTURE: .*header is cut off/],
  [`pcap:${file(header({}, 113))}`, /^CAPTURE: .*link type 113 is not Ethernet/],
  [`pcap:${file(header({}, 1, 3))}`, /^CAPTURE: .*pcap version 3 is unknown/],
] as const)
  test(`refused when it is attached: ${spec.replace(folder, "")} ${pattern}`, (t) => {
    t.throws(() => port(spec), { message: pattern });
  });

test("a file's name may hold commas", async (t) => {
  const path = join(folder, "a,b=c,speedy.pcap");
  writeFileSync(path, Buffer.concat([header(), good]));
  t.is((await drain(port(`pcap:${path},speed=max`))).length, 1);
});

test("a port that is removed while its reader waits, and one that never was asked", (t) => {
  const path = file(header(), ...[...Array(5000).keys()].map((i) => record(frame(i, 1000))));
  const hub = port(`pcap:${path}`, 4, 65536);
  hub.receive("vale0:p");
  hub.release("vale0:p");
  hub.remove("vale0:p");
  t.is(hub.poolUses(), 0);
  port(`pcap:${path}`).remove("vale0:p");
});

test("real captures: as many frames and bytes as capinfos counts", async (t) => {
  const captures = join(packageRoot(), "..", "shared", "captures");
  if (!existsSync(captures)) return skip(t, "no ../shared/captures here");
  const paths = readdirSync(captures, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.pcap(ng)?$/.test(name))
    .map((name) => join(captures, name));
  let counted: Map<string, string>;
  try {
    const lines = execFileSync("capinfos", ["-T", "-r", "-M", "-c", "-d", ...paths], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    counted = new Map(
      lines
        .trim()
        .split("\n")
        .map((line) => [line.split("\t")[0]!, line.split("\t").slice(1).join(" ")]),
    );
  } catch {
    return skip(t, "capinfos is not installed");
  }
  for (const path of paths) {
    const hub = port(`pcap:${path},speed=max`);
    await drain(hub);
    const { receivedFrames, receivedBytes } = hub.counters("vale0:p");
    t.is(hub.state("vale0:p"), "end of file", path);
    // Captured bytes are at most what capinfos calls the data size, which counts bytes on the wire.
    const [frames, bytes] = (counted.get(path) ?? "").split(" ").map(Number) as [number, number];
    t.is(receivedFrames, frames, path);
    t.true(receivedBytes <= bytes, path);
  }
});
