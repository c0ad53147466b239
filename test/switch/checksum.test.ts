// Checksums that a local sender left to its device (native/core/ports/checksum.h), against ones computed here.
import test from "ava";
import { loadAddon } from "../../native/load.js";
import { crc32c, wordSum } from "../support/checksums.js";

const { completeChecksum } = loadAddon("paste_switch_test") as unknown as {
  /** null: nothing was to do. */
  completeChecksum(frame: Buffer): Buffer | null;
};

interface Packet {
  frame: Buffer;
  /** Where the transport header begins, and its checksum. */
  transport: number;
  field: number;
  /** Folded sum of the pseudo-header. */
  pseudo: number;
}
interface Shape {
  version: 4 | 6;
  protocol: 6 | 17;
  tags: number;
  payload: Buffer;
  /** Bytes behind the IP packet, as short frames have them. */
  padding: number;
}

/** A frame whose checksum field holds the pseudo-header's sum, as senders leave it. */
function unfinished({ version, protocol, tags, payload, padding }: Shape): Packet {
  const header = protocol === 6 ? 20 : 8;
  const network = 14 + 4 * tags;
  const transport = network + (version === 4 ? 20 : 40);
  const length = header + payload.length;
  const frame = Buffer.alloc(transport + length + padding, 0xee);
  for (let i = 0; i < tags; i++) frame.writeUInt32BE(0x8100_0007, 12 + 4 * i);
  frame.writeUInt16BE(version === 4 ? 0x0800 : 0x86dd, network - 2);
  const ip = frame.subarray(network, transport);
  ip.fill(0);
  if (version === 4) {
    ip.set([
      0x45,
      0,
      (20 + length) >> 8,
      (20 + length) & 255,
      1,
      2,
      0x40,
      0,
      64,
      protocol,
      0,
      0,
      10,
      1,
      2,
      3,
      192,
      168,
      255,
      9,
    ]);
  } else {
    ip.set([0x60, 0, 0, 0, length >> 8, length & 255, protocol, 64]);
    for (let i = 8; i < 40; i++) ip[i] = (i * 37) & 255;
  }
  frame.fill(0, transport, transport + header);
  if (protocol === 6) frame[transport + 12] = 0x50;
  else frame.writeUInt16BE(length, transport + 4);
  frame.writeUInt32BE(0x1234_5678, transport);
  payload.copy(frame, transport + header);
  const pseudo = wordSum(version === 4 ? ip.subarray(12, 20) : ip.subarray(8, 40), protocol + length);
  const field = transport + (protocol === 6 ? 16 : 6);
  frame.writeUInt16BE(pseudo, field);
  return { frame, transport, field, pseudo };
}

const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 151 + (i >> 3)) & 255));
const shapes: Shape[] = [];
for (const version of [4, 6] as const)
  for (const protocol of [6, 17] as const)
    for (const tags of [0, 1, 2])
      for (const bytes of [0, 1, 7, 8, 9, 1459])
        shapes.push({ version, protocol, tags, payload: noise(bytes), padding: bytes < 9 ? 5 : 0 });

test("an unfinished checksum is finished, and a finished one is left alone", (t) => {
  for (const shape of shapes) {
    const { frame, transport, field, pseudo } = unfinished(shape);
    const what = `IPv${shape.version}, protocol ${shape.protocol}, ${shape.tags} tags, ${shape.payload.length} bytes`;
    const end = frame.length - shape.padding;
    const done = completeChecksum(frame);
    t.truthy(done, what);
    t.is(wordSum(done!.subarray(transport, end), pseudo), 0xffff, what);
    const rest = Buffer.from(done!);
    frame.copy(rest, field, field, field + 2);
    t.deepEqual(rest, frame, `${what}: nothing but the field changed`);
    t.is(completeChecksum(done!), null, `${what}: finished`);
    const other = Buffer.from(frame);
    other.writeUInt16BE((pseudo + 1) & 0xffff, field);
    t.is(completeChecksum(other), null, `${what}: wrong, but not unfinished`);
  }
});

/** The payload's last word such that the segment, its field still holding the pseudo-header's sum, adds up to `target`. */
function addingUpTo(shape: Shape, target: (pseudo: number) => number): Packet {
  const made = unfinished(shape);
  const end = made.frame.length;
  made.frame.writeUInt16BE(0, end - 2);
  const rest = wordSum(made.frame.subarray(made.transport, end));
  made.frame.writeUInt16BE((target(made.pseudo) - rest + 2 * 0xffff) % 0xffff, end - 2);
  return made;
}

for (const version of [4, 6] as const)
  for (const protocol of [6, 17] as const) {
    const shape: Shape = { version, protocol, tags: 0, payload: noise(64), padding: 0 };
    test(`a field that looks unfinished and is right by chance stays: IPv${version}, protocol ${protocol}`, (t) => {
      const { frame, transport, pseudo } = addingUpTo(shape, (sumOfPseudo) => 0xffff - sumOfPseudo);
      t.is(wordSum(frame.subarray(transport), pseudo), 0xffff, "it is right");
      t.is(completeChecksum(frame), null);
    });
  }

test("a UDP checksum that comes out as 0 is sent as ffff", (t) => {
  const shape: Shape = { version: 4, protocol: 17, tags: 0, payload: noise(64), padding: 0 };
  const { frame, field } = addingUpTo(shape, () => 0xffff);
  t.is(completeChecksum(frame)!.readUInt16BE(field), 0xffff);
});

test("fragments, other protocols and frames cut anywhere stay as they are", (t) => {
  for (const shape of shapes.filter(({ payload }) => payload.length === 9)) {
    const { frame, transport } = unfinished(shape);
    for (let length = 14; length < frame.length; length++) t.is(completeChecksum(frame.subarray(0, length)), null);
    if (shape.version === 6) continue;
    const fragment = Buffer.from(frame);
    fragment.writeUInt16BE(0x2000, transport - 14);
    t.is(completeChecksum(fragment), null, "more fragments");
    fragment.writeUInt16BE(100, transport - 14);
    t.is(completeChecksum(fragment), null, "a later fragment");
    const other = Buffer.from(frame);
    other[transport - 11] = 47;
    t.is(completeChecksum(other), null, "GRE");
  }
});

test("SCTP's checksum, which senders leave 0, is its CRC-32C", (t) => {
  const { frame, transport } = unfinished({ version: 4, protocol: 6, tags: 1, payload: noise(40), padding: 0 });
  frame[transport - 11] = 132;
  frame.fill(0, transport + 8, transport + 12);
  const done = completeChecksum(frame)!;
  t.is(done.readUInt32LE(transport + 8), crc32c(frame.subarray(transport)));
  t.is(completeChecksum(done), null);
});
