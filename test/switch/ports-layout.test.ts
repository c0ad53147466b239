// The shared memory of a vale port, byte by byte as netmap's ABI has it.
import test from "ava";
import { makeHub } from "../support/native-ports.js";

function region(slots = 1024, bufferBytes = 2048) {
  const hub = makeHub();
  hub.local("vale0:a", slots, bufferBytes);
  return { hub, memory: hub.peek("vale0:a", 0, hub.layout("vale0:a").bytes), at: hub.layout("vale0:a") };
}

test("the interface: name, version, rings, and where they lie", (t) => {
  const { memory, at } = region();
  t.is(memory.toString("latin1", 0, 8), "vale0:a\0");
  t.is(memory.readUInt32LE(16), 14, "ni_version");
  t.is(memory.readUInt32LE(20), 1, "ni_flags: NI_PRIV_MEM");
  t.deepEqual(
    [24, 28, 32, 36, 40].map((offset) => memory.readUInt32LE(offset)),
    [1, 1, 0, 1, 1],
    "tx rings, rx rings, extra buffers, host tx rings, host rx rings",
  );
  // ring_ofs: NIC tx, host tx (not bound), NIC rx, host rx (not bound)
  const offsets = [0, 1, 2, 3].map((i) => Number(memory.readBigInt64LE(56 + 8 * i)));
  t.deepEqual(offsets, [at.txRing, 0, at.rxRing, 0]);
});

for (const [direction, expected] of [
  ["tx", { dir: 1, tail: 1023, firstBuffer: 2 }],
  ["rx", { dir: 0, tail: 0, firstBuffer: 2 + 1024 }],
] as const)
  test(`a fresh ${direction} ring`, (t) => {
    const { memory, at } = region();
    const ring = direction === "tx" ? at.txRing : at.rxRing;
    t.is(ring % 128, 0);
    t.is(memory.readUInt32LE(ring + 8), 1024, "num_slots");
    t.is(memory.readUInt32LE(ring + 12), 2048, "nr_buf_size");
    t.is(memory.readUInt16LE(ring + 16), 0, "ringid");
    t.is(memory.readUInt16LE(ring + 18), expected.dir, "dir");
    t.is(memory.readUInt32LE(ring + 20), 0, "head");
    t.is(memory.readUInt32LE(ring + 24), 0, "cur");
    t.is(memory.readUInt32LE(ring + 28), expected.tail, "tail");
    for (let i = 0; i < 1024; i++) {
      const slot = ring + 256 + 16 * i;
      t.is(memory.readUInt32LE(slot), expected.firstBuffer + i);
      t.is(memory.readBigUInt64LE(slot + 8), 0n);
    }
  });

test("buffer addresses: both rings count from the same buffer 0, and the last buffer ends inside the region", (t) => {
  const { memory, at } = region();
  const base = (ring: number) => ring + Number(memory.readBigInt64LE(ring));
  t.is(base(at.txRing), base(at.rxRing));
  t.true(base(at.txRing) + (2 + 2048) * 2048 <= at.txSync);
  t.is(at.rxSync, at.txSync + 128);
  t.true(at.rxSync + 128 <= at.bytes);
});

test("the positions behind the buffers: one line per writer", (t) => {
  const { memory, at } = region();
  t.is(memory.readUInt32LE(at.txSync + 64), 0, "tx hwcur");
  t.is(memory.readUInt32LE(at.txSync + 68), 1023, "tx hwtail");
  t.is(memory.readUInt32LE(at.rxSync + 68), 0, "rx hwtail");
});

test("a frame that is sent in place, as a netmap program does it", (t) => {
  const { hub, memory, at } = region();
  const buffers = at.txRing + Number(memory.readBigInt64LE(at.txRing));
  const bytes = Buffer.from("ffffffffffff020000000001080000", "hex");
  hub.poke("vale0:a", buffers + 2 * 2048, bytes);
  hub.poke("vale0:a", at.txRing + 256 + 4, Buffer.from([bytes.length, 0, 0, 0])); // len, flags
  hub.poke("vale0:a", at.txSync, Buffer.from([1, 0, 0, 0])); // client.head
  t.is(hub.receive("vale0:a"), 1);
  t.deepEqual(hub.frames()[0]?.bytes, bytes);
});

for (const [name, slots, bufferBytes, pattern] of [
  ["vale0:a", 15, 2048, /^USAGE: number of slots 15 is outside 16\.\.4096/],
  ["vale0:a", 4097, 2048, /^USAGE: number of slots 4097/],
  ["vale0:a", 1024, 2000, /^USAGE: buffer size 2000 is not a multiple of 64/],
  ["vale0:a", 1024, 128, /^USAGE: buffer size 128 is outside 256\.\.16384/],
  ["vale0", 1024, 2048, /^USAGE: port name `vale0`/],
  ["vale0:", 1024, 2048, /^USAGE: port name/],
  ["vale0:a-b", 1024, 2048, /^USAGE: port name/],
  ["netmap:a", 1024, 2048, /^USAGE: port name/],
  ["vale0:0123456789abcdef", 1024, 2048, /^USAGE: port name/],
  ["vale0123456789ab:a", 1024, 2048, /^USAGE: port name/],
] as const)
  test(`refused: ${name}, ${slots} slots of ${bufferBytes} bytes`, (t) => {
    t.throws(() => makeHub().local(name, slots, bufferBytes), { message: pattern });
  });

for (const name of ["vale:a", "vale0:0", "valeA_1:b_2", "vale0123456789a:0123456789abcde"])
  test(`a good name: ${name}`, (t) => {
    const hub = makeHub();
    hub.local(name, 16, 256);
    t.deepEqual(hub.ports(), [name]);
  });
