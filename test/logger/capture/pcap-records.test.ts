import test from "ava";
import { PcapRecords } from "../../../logger/capture/pcap-records.js";
import { RawBlocks } from "./raw-blocks.js";

const raw = new RawBlocks();
const record = raw.record(Buffer.alloc(60, 1));
const sink = { record() {} };

test("what pcap-parser returns is counted against what it was given", (t) => {
  const two = Buffer.concat([record, record]);
  t.notThrows(() => new PcapRecords(raw.pcapHeader(), false).parse(two, 2, sink));
  for (const [bytes, count] of [
    [two, 1],
    [two, 3],
    [two.subarray(0, 100), 1],
    [two.subarray(0, 100), 2],
  ] as const)
    t.throws(() => new PcapRecords(raw.pcapHeader(), false).parse(bytes, count, sink), {
      code: "INTERNAL",
      message: /pcap-parser returned/,
    });
});

test("bytes that pcap-parser kept back are found out with the next chunk", (t) => {
  const records = new PcapRecords(raw.pcapHeader(), false);
  t.throws(() => records.parse(record.subarray(0, 70), 1, sink), { code: "INTERNAL" });
  t.throws(() => records.parse(Buffer.concat([record.subarray(70), record]), 2, sink), { code: "INTERNAL" });
});
