import test from "ava";
import {
  etherTypes,
  FrameWriter,
  type Host,
  protocols,
  readTestSequence,
} from "../../../logger/traffic/frame-writer.js";
import { Random } from "../../../logger/traffic/random.js";
import { checksum } from "../../support/awkward-packets.js";

const host = (number: number): Host => ({
  mac: Buffer.from([2, 0, 0, 0, 0, number]),
  ipv4: 0x0a000000 + number,
  ipv6: Buffer.alloc(16, number),
  vlan: 0,
  port: 0,
});

test("a UDP checksum is right for every sum, and never the zero that means none", (t) => {
  const writer = new FrameWriter(new Random(1));
  const addresses = [Buffer.from([10, 0, 0, 1]), Buffer.from([10, 0, 0, 2])];
  const wrong: number[] = [];
  let full = 0;
  for (let value = 0; value < 65536; value++) {
    writer.renew(1);
    writer.begin(host(1), host(2).mac, etherTypes.ipv4);
    writer.ip(4, host(1), host(2), protocols.udp, 10);
    const start = writer.position;
    writer.u16(1000, 2000, 10, 0, value);
    writer.setSegmentChecksum(4, protocols.udp, start, start + 6);
    const segment = writer.data.subarray(start, start + 10);
    const sum = segment.readUInt16BE(6);
    if (sum === 0xffff) full++;
    const rest = checksum(...addresses, Buffer.from([0, 17, 0, 10]), segment);
    if (sum === 0 || (rest !== 0 && rest !== 0xffff)) wrong.push(value);
  }
  t.deepEqual(wrong, []);
  t.true(full > 0, "the sum that becomes zero is among them");
});

test("a test sequence number is found where it was written, and nowhere else", (t) => {
  const writer = new FrameWriter(new Random(1));
  writer.sequence = 2n ** 63n;
  writer.renew(1);
  writer.begin(host(1), host(2).mac, etherTypes.ipv4);
  writer.payload(100);
  writer.end();
  const frame = writer.data.subarray(0, writer.position);
  t.is(readTestSequence(frame), 2n ** 63n);
  t.is(writer.sequence, 2n ** 63n + 1n);
  t.is(readTestSequence(frame.subarray(0, -1)), null);
  t.is(readTestSequence(Buffer.alloc(10)), null);
});
