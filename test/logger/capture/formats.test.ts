import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "ava";
import { openCaptureBytes } from "../../../logger/capture/open-capture.js";
import { packageRoot } from "../../support/skip.js";
import { RawBlocks } from "./raw-blocks.js";
import { readAll } from "./read-all.js";

const raw = new RawBlocks();
const big = new RawBlocks(false);
const frame = (fill: number, length = 60): Buffer => Buffer.alloc(length, fill);

test("pcapng: sections of either byte order number their interfaces anew", async (t) => {
  const name = (blocks: RawBlocks, text: string) => blocks.option(2, Buffer.from(text));
  const { frames, error, reader } = await readAll(
    Buffer.concat([
      raw.section(),
      raw.interface({ options: [name(raw, "eth0")] }),
      raw.interface({ snaplen: 96, options: [name(raw, "eth1\0hidden")] }),
      raw.packet(frame(1), { id: 1 }),
      big.section({ version: [1, 2] }),
      big.interface({ options: [name(big, "eth\u001b[2J")] }),
      big.packet(frame(2), { id: 0 }),
      raw.section(),
      raw.interface({ options: [raw.option(3, Buffer.from("described"))] }),
      raw.packet(frame(3), { id: 0, wire: 1500 }),
    ]),
  );
  t.is(error, null);
  t.deepEqual(
    frames.map((each) => [each.data[0], each.interface, each.wireLength]),
    [
      [1, 1, 60],
      [2, 2, 60],
      [3, 3, 1500],
    ],
  );
  t.deepEqual(
    reader!.interfaces.map((each) => each.name),
    ["eth0", "eth1", "eth.[2J", "described"],
  );
  t.is(reader!.interfaces[1]!.snaplen, 96);
});

test("pcapng: every block that carries frames is read, every other one is skipped", async (t) => {
  const { frames, error, reader } = await readAll(
    Buffer.concat([
      raw.section(),
      raw.interface({ snaplen: 50 }),
      raw.block(4, Buffer.alloc(8)),
      raw.simplePacket(frame(1, 50), 60),
      raw.obsoletePacket(frame(2, 40), { units: 5n }),
      raw.block(0x0bad, Buffer.alloc(100)),
      raw.block(0x80001234, Buffer.alloc(0)),
      raw.block(10, Buffer.alloc(2_000_000)),
      raw.packet(frame(3, 33), { units: 7n }),
      raw.block(5, Buffer.alloc(12)),
    ]),
  );
  t.is(error, null);
  t.deepEqual(
    frames.map((each) => [each.data[0], each.data.length, each.wireLength, each.timeNs]),
    [
      [1, 50, 60, 0n],
      [2, 40, 40, 5000n],
      [3, 33, 33, 7000n],
    ],
  );
  t.deepEqual(reader!.warnings, ["a frame in a simple packet block has no time and is given 1970"]);
});

const second = 1_000_000_000n;
const times: readonly {
  title: string;
  resolution?: number;
  offset?: bigint;
  units: bigint;
  ns: bigint;
  warned?: boolean;
}[] = [
  { title: "microseconds by default", units: 1_700_000_000_123_456n, ns: 1_700_000_000_123_456_000n },
  { title: "nanoseconds", resolution: 9, units: 1_700_000_000_123_456_789n, ns: 1_700_000_000_123_456_789n },
  { title: "hundreds of nanoseconds", resolution: 7, units: 17_000_000_001_234_567n, ns: 1_700_000_000_123_456_700n },
  { title: "milliseconds", resolution: 3, units: 1_700_000_000_123n, ns: 1_700_000_000_123_000_000n },
  { title: "seconds", resolution: 0, units: 1_700_000_000n, ns: 1_700_000_000n * second },
  { title: "picoseconds", resolution: 12, units: 1_700_000_000_999n, ns: 1_700_000_000n, warned: true },
  { title: "2^-10 seconds", resolution: 0x8a, units: 1536n, ns: 1_500_000_000n, warned: true },
  { title: "2^-32 seconds", resolution: 0xa0, units: (7n << 32n) + (1n << 31n), ns: 7_500_000_000n, warned: true },
  { title: "an offset", resolution: 9, offset: 1_700_000_000n, units: 5n, ns: 1_700_000_000n * second + 5n },
  { title: "an offset before 1970", offset: -10n, units: 1n, ns: -10n * second + 1000n },
  { title: "nanoseconds that overflow", resolution: 9, units: 2n ** 63n, ns: 2n ** 63n - 1n, warned: true },
  { title: "microseconds that overflow", units: 2n ** 64n - 1n, ns: 2n ** 63n - 1n, warned: true },
  { title: "the last microsecond that does not", units: 9_223_372_036_854_775n, ns: 9_223_372_036_854_775_000n },
  { title: "10^-127 seconds", resolution: 127, units: 2n ** 64n - 1n, ns: 0n, warned: true },
];
for (const { title, resolution, offset, units, ns, warned } of times)
  for (const blocks of [raw, big])
    test(`pcapng times: ${title}, ${blocks.little ? "little" : "big"} endian`, async (t) => {
      const options = [];
      if (resolution !== undefined) options.push(blocks.option(9, Buffer.from([resolution])));
      if (offset !== undefined) options.push(blocks.option(14, blocks.u64(offset)));
      const bytes = Buffer.concat([
        blocks.section(),
        blocks.interface({ options }),
        blocks.packet(frame(1), { units }),
      ]);
      const { frames, error, reader } = await readAll(bytes);
      t.is(error, null);
      t.is(frames[0]!.timeNs, ns);
      t.is(reader!.warnings.length, warned ? 1 : 0);
    });

test("pcapng: damaged options of an interface are not used, and said", async (t) => {
  for (const option of [
    raw.option(2, Buffer.from("abcd"), 400),
    raw.option(9, Buffer.from([9, 9])),
    raw.option(14, Buffer.from([1])),
  ]) {
    const { frames, error, reader } = await readAll(
      Buffer.concat([raw.section(), raw.interface({ options: [option] }), raw.packet(frame(1), { units: 3n })]),
    );
    t.is(error, null);
    t.is(frames[0]!.timeNs, 3000n);
    t.regex(reader!.warnings.join(), /option of an interface description is damaged/);
  }
});

test("pcapng: a frame that claims to be shorter on the wire than what was captured is kept whole", async (t) => {
  const { frames, error, reader } = await readAll(
    Buffer.concat([raw.section(), raw.interface({ snaplen: 50 }), raw.packet(frame(1), { wire: 59 })]),
  );
  t.is(error, null);
  t.deepEqual([frames[0]!.data.length, frames[0]!.wireLength], [60, 60]);
  t.regex(reader!.warnings.join("; "), /snapshot length of 50.*shorter on the wire/);
});

test("classic pcap: times up to 2106, of both resolutions", async (t) => {
  for (const [magic, ns] of [
    [0xa1b2c3d4, 999_999_000n],
    [0xa1b23c4d, 999_999n],
  ] as const)
    for (const seconds of [0, 1, 1_700_000_000, 2 ** 31, 2 ** 32 - 1]) {
      const { frames } = await readAll(
        Buffer.concat([raw.pcapHeader(1, { magic }), raw.record(frame(1), { seconds, fraction: 999_999 })]),
      );
      t.is(frames[0]!.timeNs, BigInt(seconds) * second + ns);
    }
});

test("classic pcap: before version 2.4 the lengths stood the other way round", async (t) => {
  for (const minor of [0, 2, 3, 4]) {
    const swapped = minor < 4;
    const record = (fill: number) =>
      raw.record(frame(fill, 60), swapped ? { captured: 1500, wire: 60 } : { captured: 60, wire: 1500 });
    const bytes = Buffer.concat([raw.pcapHeader(1, { version: [2, minor] }), record(1), record(2)]);
    const { frames, error } = await readAll(bytes, {}, 50);
    t.is(error, null);
    t.deepEqual(
      frames.map((each) => [each.data[0], each.data.length, each.wireLength]),
      [
        [1, 60, 1500],
        [2, 60, 1500],
      ],
    );
  }
});

test("classic pcap: a frame check sequence is kept and noted", async (t) => {
  const { reader } = await readAll(Buffer.concat([raw.pcapHeader(0x24000001), raw.record(frame(1, 64))]));
  t.deepEqual(reader!.notes, ["each frame ends with a frame check sequence of 4 bytes, which is kept"]);
});

test("frames of a live source are delivered before it ends", async (t) => {
  for (const beginning of [
    [raw.pcapHeader(), raw.record(frame(1)), raw.record(frame(2)).subarray(0, 20)],
    [raw.section(), raw.interface(), raw.packet(frame(1)), raw.packet(frame(2)).subarray(0, 20)],
  ]) {
    let seen = () => {};
    const firstBatch = new Promise<void>((resolve) => {
      seen = resolve;
    });
    async function* source() {
      yield Buffer.concat(beginning);
      await firstBatch;
    }
    const reader = await openCaptureBytes(source(), "live", { allowTruncated: true });
    let count = 0;
    for await (const batch of reader) {
      count += batch.count;
      seen();
    }
    t.is(count, 1);
  }
});

test("a reader is read once, and closes its source when the loop is left", async (t) => {
  let closed = false;
  function* source() {
    try {
      for (;;) yield Buffer.concat([raw.record(frame(1))]);
    } finally {
      closed = true;
    }
  }
  function* withHeader() {
    yield raw.pcapHeader();
    yield* source();
  }
  const reader = await openCaptureBytes(withHeader(), "endless");
  for await (const batch of reader) if (batch.count > 0) break;
  t.true(closed);
  await t.throwsAsync(reader[Symbol.asyncIterator]().next(), { code: "USAGE" });
});

test("a batch stays as it was delivered while the next ones are read", async (t) => {
  const count = 5000;
  const bytes = Buffer.concat([
    raw.pcapHeader(),
    ...Array.from({ length: count }, (_, i) => raw.record(frame(i % 256, 500))),
  ]);
  const { frames } = await readAll(bytes, {}, 10_000);
  t.is(frames.length, count);
  t.is(
    frames.findIndex((each, i) => !each.data.equals(frame(i % 256, 500))),
    -1,
  );
});

test("standard input is read as `-`, and nothing deprecated is used", (t) => {
  const script = `
    const { openCapture } = await import(${JSON.stringify(join(packageRoot, "dist/logger/capture/open-capture.js"))});
    let frames = 0;
    const reader = await openCapture("-");
    for await (const batch of reader) frames += batch.count;
    console.log(reader.name, reader.format, frames);`;
  const input = Buffer.concat([raw.pcapHeader(), ...Array.from({ length: 30_000 }, () => raw.record(frame(1)))]);
  const args = ["--throw-deprecation", "--pending-deprecation", "--input-type=module", "-e", script];
  const result = spawnSync(process.execPath, args, { input, encoding: "utf8" });
  t.is(result.stderr, "");
  t.is(result.stdout, "standard input pcap 30000\n");
});

// Copying that grows with the square of the input would take minutes here; a slow machine still takes seconds.
const many = 300_000;
for (const [format, bytes] of [
  ["pcap", [raw.pcapHeader(), raw.record(frame(1))]],
  ["pcapng", [raw.section(), raw.interface(), raw.packet(frame(1))]],
] as const)
  test.serial(`${format}: ${many} small frames are read, each counted`, async (t) => {
    const one = bytes.at(-1)!;
    const chunk = Buffer.concat(Array.from({ length: 1000 }, () => one));
    function* source() {
      yield Buffer.concat(bytes.slice(0, -1));
      for (let i = 0; i < many / 1000; i++) yield chunk;
    }
    const begin = performance.now();
    let count = 0;
    for await (const batch of await openCaptureBytes(source(), "many")) count += batch.count;
    const ms = performance.now() - begin;
    t.log(`${Math.round((ms * 1e6) / many)} ns per frame`);
    t.is(count, many);
  });
