import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import type { CaptureFormat } from "../../../logger/capture/capture.js";
import { batchOf } from "../../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../../logger/capture/pcap-writer.js";
import { PcapngWriter } from "../../../logger/capture/pcapng-writer.js";
import { awkwardFrames } from "../../support/awkward-traffic.js";
import { skip } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { type ReadFrame, readAll } from "./read-all.js";

interface Frame {
  readonly data: Uint8Array;
  readonly wireLength: number;
  readonly timeNs: bigint;
  readonly interface: number;
}

const interfaces = [
  { name: "vale0:a", linkType: 1, snaplen: 0 },
  { name: "vale0:b", linkType: 1, snaplen: 262144 },
  { name: "", linkType: 1, snaplen: 0 },
];

function encode(frames: readonly Frame[], format: CaptureFormat, bigEndian: boolean): Buffer {
  if (format === "pcapng") {
    const writer = new PcapngWriter({ bigEndian });
    return Buffer.concat([writer.header(interfaces), writer.append(batchOf(frames))]);
  }
  const writer = new PcapWriter({ bigEndian, nanoseconds: format === "nsecpcap" });
  return Buffer.concat([writer.header(), writer.append(batchOf(frames))]);
}

/** What a format can hold of a frame: classic pcap has one interface, and microseconds only unless asked for more. */
function held(frame: Frame, format: CaptureFormat): ReadFrame {
  return {
    data: Buffer.from(frame.data),
    wireLength: frame.wireLength,
    timeNs: format === "pcap" ? frame.timeNs - (frame.timeNs % 1000n) : frame.timeNs,
    interface: format === "pcapng" ? frame.interface : 0,
  };
}

const frameOf = (timeMax: bigint): fc.Arbitrary<Frame> =>
  fc
    .record({
      data: fc.uint8Array({ maxLength: 200 }),
      lost: fc.nat({ max: 100000 }),
      timeNs: fc.bigInt({ min: 0n, max: timeMax }),
      interface: fc.nat({ max: 2 }),
    })
    .map(({ lost, ...frame }) => ({ ...frame, wireLength: frame.data.length + lost }));

const formats: readonly (readonly [CaptureFormat, bigint])[] = [
  ["pcap", 2n ** 32n * 1_000_000_000n - 1n],
  ["nsecpcap", 2n ** 32n * 1_000_000_000n - 1n],
  ["pcapng", 2n ** 63n - 1n],
];

for (const [format, timeMax] of formats)
  for (const bigEndian of [false, true]) {
    const order = bigEndian ? "big endian" : "little endian";
    test(`${format}, ${order}: what was written is what is read, however it arrives`, async (t) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(frameOf(timeMax), { maxLength: 40 }),
          fc.integer({ min: 1, max: 400 }),
          async (frames, chunk) => {
            const { frames: read, error, reader } = await readAll(encode(frames, format, bigEndian), {}, chunk);
            t.is(error, null);
            t.deepEqual(
              read,
              frames.map((frame) => held(frame, format)),
            );
            t.is(reader!.format, format);
            t.deepEqual(reader!.warnings, []);
          },
        ),
        { numRuns: 60 },
      );
    });

    test(`${format}, ${order}: awkward frames survive, giants among them`, async (t) => {
      const seed = 11;
      const frames = awkwardFrames(seed, 3000, { giants: true, tiny: true }).map((frame) => ({
        ...frame,
        interface: 1,
      }));
      const { frames: read, error } = await readAll(encode(frames, format, bigEndian));
      t.is(error, null);
      t.is(read.length, frames.length, `seed ${seed}`);
      const wrong = frames.findIndex((frame, i) => {
        const expected = held(frame, format);
        const got = read[i]!;
        const same = expected.timeNs === got.timeNs && expected.wireLength === got.wireLength;
        return !same || expected.interface !== got.interface || !expected.data.equals(got.data);
      });
      t.is(wrong, -1, `seed ${seed}, frame ${wrong} (${frames[wrong]?.kind})`);
    });

    test(`${format}, ${order}: tcpdump reads the same`, async (t) => {
      if (!hasTool("tcpdump")) return skip(t, "tcpdump is not installed");
      const frames = awkwardFrames(12, 400).map((frame) => ({ ...frame, interface: 0 }));
      const args = ["-r", "-", "-w", "-", "--time-stamp-precision=nano"];
      const output = runTool("tcpdump", args, encode(frames, format, bigEndian));
      t.truthy(output, "tcpdump ends with an error");
      const { frames: read } = await readAll(output!);
      t.deepEqual(
        read,
        frames.map((frame) => ({ ...held(frame, format), interface: 0 })),
      );
    });
  }

test("pcapng: tshark sees interfaces, directions, packet ids, queues, drop counts and statistics", (t) => {
  if (!hasTool("tshark") || !hasTool("capinfos")) return skip(t, "tshark or capinfos is not installed");
  const frames = awkwardFrames(13, 3, { cuts: false }).map((frame, i) => ({ ...frame, interface: i }));
  const writer = new PcapngWriter({ application: "paste-switch test" });
  const extras = {
    flags: Uint32Array.of(1, 2, 1),
    dropCounts: BigUint64Array.of(0n, 7n, 2n ** 40n),
    packetIds: BigUint64Array.of(1n, 2n, 2n ** 60n),
    queues: Uint32Array.of(0, 3, 9),
  };
  const file = temporaryFile(
    t,
    Buffer.concat([
      writer.header(interfaces),
      writer.append(batchOf(frames), extras),
      ...interfaces.map((_, i) =>
        writer.statistics(i, { timeNs: 1_700_000_000_000_000_000n, received: BigInt(i), dropped: 5n }),
      ),
    ]),
  );
  const fields = [
    "frame.interface_name",
    "frame.packet_flags_direction",
    "frame.drop_count",
    "frame.packet_id",
    "frame.interface_queue",
  ];
  const args = ["-r", file, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
  const rows = runTool("tshark", args)!
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  t.deepEqual(
    rows.map((row) => row.slice(2)),
    [
      ["0", "1", "0"],
      ["7", "2", "3"],
      ["1099511627776", "1152921504606846976", "9"],
    ],
  );
  t.deepEqual(rows.map((row) => row[0]).slice(0, 2), ["vale0:a", "vale0:b"]);
  t.deepEqual(
    rows.map((row) => Number(row[1])),
    [1, 2, 1],
  );
  const info = runTool("capinfos", [file])!.toString();
  t.regex(info, /Number of packets: +3\n/);
  t.regex(info, /Capture application: +paste-switch test\n/);
});

test("times that a format cannot hold are refused, not bent", (t) => {
  const at = (timeNs: bigint) => batchOf([{ data: Buffer.alloc(60), timeNs }]);
  t.throws(() => new PcapWriter().append(at(2n ** 32n * 1_000_000_000n)), { message: /cannot be written as pcap/ });
  t.throws(() => new PcapWriter().append(at(-1n)), { message: /cannot be written as pcap/ });
  const writer = new PcapngWriter();
  writer.header(interfaces);
  t.throws(() => writer.append(at(-1n)), { message: /before 1970/ });
  t.throws(() => new PcapngWriter().append(at(0n)), { message: /interface 0, but 0 were described/ });
});

function temporaryFile(t: { teardown(end: () => void): void }, bytes: Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-capture-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "capture"), bytes);
  return join(folder, "capture");
}
