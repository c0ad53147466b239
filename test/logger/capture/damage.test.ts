import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import type { CaptureOptions } from "../../../logger/capture/capture.js";
import { PasteError } from "../../../logger/errors.js";
import { RawBlocks } from "./raw-blocks.js";
import { readAll } from "./read-all.js";

const raw = new RawBlocks();
const big = new RawBlocks(false);
const frame = Buffer.alloc(60, 0xab);
const record = raw.record(frame);
const header = raw.pcapHeader();
const start = Buffer.concat([raw.section(), raw.interface()]);
const packet = raw.packet(frame);

interface Case {
  readonly title: string;
  readonly bytes: readonly Buffer[];
  readonly options?: CaptureOptions;
  /** How many frames are delivered before the error. */
  readonly good?: number;
  readonly message: RegExp;
}

const foreign: readonly Case[] = [
  { title: "empty", bytes: [], message: /^capture: is empty/ },
  { title: "three bytes", bytes: [Buffer.from("abc")], message: /cut off after 3 bytes/ },
  { title: "text", bytes: [Buffer.from("hello, this is\ntext")], message: /looks like text$/ },
  { title: "zeros", bytes: [Buffer.alloc(1000)], message: /file of zero bytes/ },
  { title: "gzip", bytes: [Buffer.from("1f8b0800000000000003", "hex")], message: /gzip-compressed: unpack it/ },
  { title: "zstd", bytes: [Buffer.from("28b52ffd04585500", "hex")], message: /zstd-compressed/ },
  { title: "xz", bytes: [Buffer.from("fd377a585a000004", "hex")], message: /xz-compressed/ },
  {
    title: "a store",
    bytes: [Buffer.from("PASTESW1\u0001\0\0\0", "latin1")],
    message: /paste-switch store: .*export -r/,
  },
  { title: "snoop", bytes: [Buffer.from("snoop\0\0\0\0\0\0\u0002", "latin1")], message: /snoop capture: convert it/ },
  { title: "modified pcap", bytes: [Buffer.from("34cdb2a102000400", "hex")], message: /Kuznetzov/ },
  {
    title: "pcapng sent as text",
    bytes: [Buffer.from("0a0d0a0a5c000000", "hex")],
    message: /transfer it again as binary/,
  },
  { title: "something", bytes: [Buffer.from("7f454c4602010100", "hex")], message: /first bytes 7f454c46/ },
];

const pcap: readonly Case[] = [
  { title: "header cut", bytes: [header.subarray(0, 10)], message: /ends within its file header, after 10 of 24/ },
  { title: "version 3.4", bytes: [raw.pcapHeader(1, { version: [3, 4] })], message: /version 3\.4 is not known/ },
  { title: "version 2.5", bytes: [raw.pcapHeader(1, { version: [2, 5] })], message: /version 2\.5 is not known/ },
  { title: "link type 105", bytes: [raw.pcapHeader(105)], message: /link type IEEE802_11 \(105\) is not Ethernet/ },
  { title: "link type SLL", bytes: [raw.pcapHeader(113)], message: /LINUX_SLL \(113\).*--synth-ethernet/ },
  { title: "link type unknown", bytes: [raw.pcapHeader(4711)], message: /link type unknown \(4711\)/ },
  {
    title: "cut within a record's header",
    bytes: [header, record, record, record.subarray(0, 9)],
    good: 2,
    message:
      /record 3 at byte 176: the file is truncated, it ends 9 bytes into this record.*whole frames before it: 2$/,
  },
  {
    title: "cut within a record's bytes",
    bytes: [header, record, record.subarray(0, 75)],
    good: 1,
    message: /record 2 at byte 100: the file is truncated, it ends 75 bytes into/,
  },
  {
    title: "an absurd length",
    bytes: [header, record, raw.record(frame, { captured: 0xffffffff }), record],
    good: 1,
    message: /record 2 at byte 100: captured length 4294967295 is over 262144.*whole frames before it: 1$/,
  },
  {
    title: "a length just over the limit, big endian",
    bytes: [big.pcapHeader(), big.record(frame, { captured: 262145 })],
    message: /record 1 at byte 24: captured length 262145/,
  },
  {
    title: "rubbish between records",
    bytes: [header, record, record, Buffer.alloc(16, 0xee), record],
    good: 2,
    message: /record 3 at byte 176: captured length 4008636142/,
  },
];

const pcapng: readonly Case[] = [
  {
    title: "section cut",
    bytes: [raw.section().subarray(0, 20)],
    message: /ends within its section header, after 20 bytes/,
  },
  {
    title: "no byte-order mark",
    bytes: [raw.section({ magic: 0x12345678 })],
    message: /block 1 at byte 0: a section header without/,
  },
  { title: "version 2.0", bytes: [raw.section({ version: [2, 0] })], message: /pcapng version 2\.0 is not known/ },
  {
    title: "section of 20 bytes",
    bytes: [raw.block(0x0a0d0d0a, raw.u32(0x1a2b3c4d, 0)), Buffer.alloc(20)],
    message: /section header of 20 bytes/,
  },
  ...[0, 8, 13, 17 * 1024 * 1024].map((length) => ({
    title: `block length ${length}`,
    bytes: [start, packet, raw.block(5, Buffer.alloc(8), { length })],
    good: 1,
    message: new RegExp(`block 4 at byte 140: block length ${length} is absurd.*whole frames before it: 1$`),
  })),
  {
    title: "two lengths",
    bytes: [start, packet, raw.block(5, Buffer.alloc(8), { trailer: 24 })],
    good: 1,
    message: /two lengths differ/,
  },
  {
    title: "no interface",
    bytes: [raw.section(), packet],
    message: /frame of interface 0, but the section has described 0/,
  },
  {
    title: "an interface of the section before",
    bytes: [start, packet, raw.section(), packet],
    good: 1,
    message: /block 5.*frame of interface 0, but the section has described 0/,
  },
  {
    title: "short interface",
    bytes: [raw.section(), raw.block(1, Buffer.alloc(4))],
    message: /interface description of 16 bytes/,
  },
  { title: "short packet", bytes: [start, raw.block(6, Buffer.alloc(16))], message: /packet block of 28 bytes/ },
  {
    title: "short simple packet",
    bytes: [start, raw.block(3, Buffer.alloc(0))],
    message: /simple packet block of 12 bytes/,
  },
  {
    title: "packet over its block",
    bytes: [start, packet, raw.packet(frame, { captured: 61 })],
    good: 1,
    message: /captured length 61 does not fit into a block of 92/,
  },
  {
    title: "packet over the limit",
    bytes: [start, raw.packet(Buffer.alloc(262148))],
    message: /captured length 262148 is over 262144/,
  },
  {
    title: "simple packet over its block",
    bytes: [start, raw.simplePacket(frame, 70)],
    message: /captured length 70 does not fit/,
  },
  {
    title: "cut within a packet",
    bytes: [start, packet, packet.subarray(0, 50)],
    good: 1,
    message: /block 4 at byte 140: the file is truncated, it ends 50 bytes into this block.*whole frames before it: 1$/,
  },
  {
    title: "an interface without Ethernet, in use",
    bytes: [start, raw.interface({ linkType: 113 }), packet, raw.packet(frame, { id: 1 })],
    good: 1,
    message: /block 5, interface 1: link type LINUX_SLL \(113\).*--synth-ethernet/,
  },
];

for (const [kind, cases] of Object.entries({ foreign, pcap, pcapng }))
  for (const { title, bytes, options, good, message } of cases)
    for (const chunkSize of [1_000_000, 7])
      test(`damage ends in a clear error: ${kind}: ${title} (chunks of ${chunkSize})`, async (t) => {
        const { frames, error } = await readAll(Buffer.concat(bytes), options, chunkSize);
        t.true(error instanceof PasteError, String(error));
        t.is((error as PasteError).code, "CAPTURE");
        t.regex((error as PasteError).message, message);
        t.is(frames.length, good ?? 0);
        for (const each of frames) t.deepEqual(each.data, frame);
      });

test("a truncated capture is taken as far as it goes when that is asked for", async (t) => {
  for (const bytes of [
    Buffer.concat([header, record, record.subarray(0, 30)]),
    Buffer.concat([start, packet, packet.subarray(0, 40)]),
  ]) {
    const { frames, error, reader } = await readAll(bytes, { allowTruncated: true });
    t.is(error, null);
    t.is(frames.length, 1);
    t.is(reader!.frameCount, 1);
    t.regex(reader!.warnings.join(), /the file is truncated, it ends \d+ bytes into this .*whole frames before it: 1$/);
  }
});

test("odd but whole frames are delivered, with a warning each", async (t) => {
  const { frames, error, reader } = await readAll(
    Buffer.concat([
      raw.pcapHeader(1, { snaplen: 40 }),
      record,
      record,
      raw.record(frame.subarray(0, 30), { wire: 20 }),
      raw.record(frame.subarray(0, 30), { fraction: 2_500_000 }),
    ]),
  );
  t.is(error, null);
  t.deepEqual(
    frames.map((each) => each.data.length),
    [60, 60, 30, 30],
  );
  t.deepEqual(
    frames.map((each) => each.wireLength),
    [60, 60, 30, 30],
  );
  t.is(frames[3]!.timeNs, 3_500_000_000n);
  t.is(reader!.warnings.length, 3);
  t.regex(reader!.warnings[0]!, /snapshot length of 40.*\(2 times\)$/);
  t.regex(reader!.warnings[1]!, /shorter on the wire/);
  t.regex(reader!.warnings[2]!, /carried over/);
});

test("a capture without frames is no error", async (t) => {
  for (const bytes of [header, raw.section(), start]) {
    const { frames, error } = await readAll(Buffer.from(bytes));
    t.is(error, null);
    t.is(frames.length, 0);
  }
});

test("paths that are no readable file are named", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-damage-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.regex(String((await readAll(folder)).error), /is a folder: give a capture file/);
  t.regex(String((await readAll(join(folder, "none.pcap"))).error), /none\.pcap: no such file/);
});
