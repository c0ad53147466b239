// Ports with several rings and with virtio-net headers, as netmap programs use them on the real switch.
import test from "ava";
import { wordSum } from "../support/checksums.js";
import { frame, sumsHold, textOf, until } from "../support/live-switch.js";
import { bench, body, refused } from "../support/netmap-bench.js";
import { flags, reqtypes } from "../support/netmap-user.js";

const [EIO, ENXIO, EINVAL] = [5, 6, 22];

// --- rings -----------------------------------------------------------------------------------------------------------

test("several transmit rings: each in order, all of them served", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a", { txRings: 4 });
  const b = open("vale0:b", { rxSlots: 1024 });
  for (let i = 0; i < 50; i++) for (const [ring, tx] of a.tx.entries()) tx.send(frame(0, 1, `${ring} ${i}`));
  const got: string[] = [];
  await until(() => {
    got.push(...b.rx[0]!.receive().map(textOf));
    return got.length >= 200;
  }, "200 frames");
  for (let ring = 0; ring < 4; ring++)
    t.deepEqual(
      got.filter((text) => text.startsWith(`${ring} `)),
      [...Array(50).keys()].map((i) => `${ring} ${i}`),
    );
});

/** A UDP frame between two stations, told apart by its source port. */
function udp(to: number, from: number, port: number, text: string): Buffer {
  const bytes = frame(to, from, "", 80);
  bytes.writeUInt16BE(0x0800, 12);
  bytes[14] = 0x45;
  bytes[23] = 17;
  bytes.writeUInt32BE(0x0a000001, 26);
  bytes.writeUInt32BE(0x0a000002, 30);
  bytes.writeUInt16BE(port, 34);
  bytes.writeUInt16BE(9, 36);
  bytes.write(text, 42);
  return bytes;
}

test("several receive rings: a flow stays in one ring and in order, flows spread, groups go to the first", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { txSlots: 1024 });
  const b = open("vale0:b", { rxRings: 4, rxSlots: 256 });
  b.tx[0]!.send(frame(1, 2, "learn me"));
  await until(() => a.rx[0]!.waiting === 1, "a to hear b");
  for (let i = 0; i < 10; i++)
    for (let flow = 0; flow < 32; flow++) a.tx[0]!.send(udp(2, 1, 1000 + flow, `${flow}.${i};`));
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(6, 0xff), frame(0, 1).subarray(6)]));
  await until(() => b.rx.reduce((sum, ring) => sum + ring.waiting, 0) === 321, "321 frames in four rings");
  const seen = b.rx.map((ring) => ring.receive());
  t.is(seen[0]!.filter((bytes) => bytes[0] === 0xff).length, 1);
  const texts = seen.map((frames) =>
    frames.filter((f) => f[0] !== 0xff).map((f) => f.toString("latin1", 42).split(";")[0]!),
  );
  t.true(texts.filter((list) => list.length > 0).length > 1, "more than one ring is used");
  for (let flow = 0; flow < 32; flow++) {
    const rings = texts
      .map((list) => list.filter((text) => text.startsWith(`${flow}.`)))
      .filter((list) => list.length > 0);
    t.deepEqual(rings, [[...Array(10).keys()].map((i) => `${flow}.${i}`)]);
  }
  sumsHold(t, s.engine.stats());
});

test("nobody gets frames for a ring that nobody has: one ring bound of four takes all", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a");
  const b = open("vale0:b", { rxRings: 4, mode: 4, ringId: 2 });
  for (let flow = 0; flow < 20; flow++) a.tx[0]!.send(udp(2, 1, flow, "x"));
  await until(() => b.rx[2]!.waiting === 20, "all frames in the one ring");
  t.is(b.rx[2]!.receive().length, 20);
});

test("a port without receive rings refuses copies by name, and the sums hold", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a");
  open("vale0:b", { registerFlags: flags.txOnly });
  a.tx[0]!.send(frame(0, 1, "to nobody"));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:b")!.counters;
  await until(() => counters().refused.down === 1, "a refusal");
  sumsHold(t, s.engine.stats());
});

test("rubbish in each ring of several is reset there, and nowhere else", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { txRings: 3, rxRings: 3 });
  const b = open("vale0:b", { rxSlots: 256 });
  for (const bad of [0x40, 0xffffffff, 0x80000000]) {
    a.putU32(a.tx[1]!.sync, bad);
    a.raw.kick();
    await until(() => a.u32(a.tx[1]!.sync) !== bad, "the ring to be reset");
  }
  for (const tx of a.tx) tx.send(frame(0, 1, "fine"));
  await until(() => b.rx[0]!.waiting === 3, "a frame of each ring");
  t.true(s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters.clientFaults >= 3);
});

// --- virtio-net headers ----------------------------------------------------------------------------------------------

test("headers of 0, 10 and 12 bytes: set, told, accepted or not, taken off and put in front", async (t) => {
  const { open, user, s } = await bench(t);
  const control = user();
  const set = (length: number) => control.ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, length]]));
  refused(t, ENXIO, () => set(10));
  const a = open("vale0:a", { registerFlags: flags.vnet });
  const b = open("vale0:b");
  for (const length of [11, 1, 14]) refused(t, EINVAL, () => set(length));
  for (const length of [12, 10, 0, 12]) {
    set(length);
    t.is(control.ask({ reqtype: reqtypes.hdrGet, name: "vale0:a" }, Buffer.alloc(8)).readUInt32LE(120), length);
  }
  refused(t, EIO, () => open("vale0:a"));
  open("vale0:a", { registerFlags: flags.vnet }).close();

  const inside = frame(0, 1, "behind a header");
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(12), inside]));
  await until(() => b.rx[0]!.waiting === 1, "a frame without header");
  t.deepEqual(b.rx[0]!.receive(), [inside]);
  for (const answer of [frame(1, 2, "answer"), frame(1, 2, "long", 5000), frame(1, 2, "x", 2040)]) {
    b.tx[0]!.send(answer);
    await until(() => a.rx[0]!.waiting > 0, "an answer");
    t.deepEqual(a.rx[0]!.receive(), [Buffer.concat([Buffer.alloc(12), answer])]);
  }
  // A header in a slot of its own, one that is cut, one that asks for what nobody can do.
  a.tx[0]!.send(Buffer.alloc(5));
  const { buffer } = a.tx[0]!.slot(a.tx[0]!.head);
  t.true(buffer >= 2);
  a.tx[0]!.send(Buffer.concat([Buffer.from([0, 0x7f]), Buffer.alloc(10), inside]));
  a.tx[0]!.send(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]), inside]));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
  await until(() => counters().dropped.bad_offload === 2, "two bad headers");
  sumsHold(t, s.engine.stats());
});

test("a checksum that the sender left to its device is finished on the way", async (t) => {
  const { open, user } = await bench(t);
  const a = open("vale0:a", { registerFlags: flags.vnet });
  const b = open("vale0:b");
  user().ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, 10]]));
  const bytes = Buffer.alloc(64, 1);
  bytes.writeUInt16BE(0, 40);
  const sum = wordSum(bytes.subarray(34));
  a.tx[0]!.send(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 34, 0, 6, 0]), bytes]));
  await until(() => b.rx[0]!.waiting === 1, "the frame");
  t.is(b.rx[0]!.receive()[0]!.readUInt16BE(40), ~sum & 0xffff);
});

test("a TCP frame longer than its wire leaves as segments, several receives long, and what lies about that is dropped", async (t) => {
  const { open, user, s } = await bench(t);
  const a = open("vale0:a", { registerFlags: flags.vnet, txSlots: 64 });
  const b = open("vale0:b", { rxSlots: 1024 });
  user().ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, 12]]));
  const payload = Buffer.from(Array.from({ length: 30_000 }, (_, i) => (i * 7) & 0xff));
  const head = frame(0, 1, "", 54);
  head.writeUInt16BE(0x0800, 12);
  head[14] = 0x45;
  head.writeUInt16BE(40 + payload.length, 16);
  head[22] = 64;
  head[23] = 6;
  head.writeUInt32BE(0x0a000001, 26);
  head.writeUInt32BE(0x0a000002, 30);
  head.writeUInt32BE(1000, 38);
  head[46] = 0x50;
  const virtio = (gsoType: number, size: number) => {
    const header = Buffer.alloc(12);
    header[0] = 1;
    header[1] = gsoType;
    header.writeUInt16LE(54, 2);
    header.writeUInt16LE(size, 4);
    header.writeUInt16LE(34, 6);
    header.writeUInt16LE(16, 8);
    return header;
  };
  const long = Buffer.concat([head, payload]);
  for (const size of [1448, 100]) {
    a.tx[0]!.send(Buffer.concat([virtio(1, size), long]));
    const count = Math.ceil(payload.length / size);
    await until(() => b.rx[0]!.waiting === count, `${count} segments`);
    const segments = b.rx[0]!.receive();
    t.deepEqual(Buffer.concat(segments.map((bytes) => bytes.subarray(54))), payload);
    t.deepEqual(
      segments.map((bytes) => [bytes.readUInt16BE(16), bytes.readUInt32BE(38)]),
      segments.map((bytes, i) => [bytes.length - 14, 1000 + i * size]),
    );
  }
  for (const bad of [virtio(1, 0), virtio(4, 1448), virtio(9, 1448), virtio(1, 20_000)])
    a.tx[0]!.send(Buffer.concat([bad, long]));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
  await until(() => counters().dropped.bad_offload === 4, "four lies");
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(12), frame(0, 1, "plain")]));
  await until(() => b.rx[0]!.waiting === 1, "an ordinary frame");
  t.deepEqual(b.rx[0]!.receive().map(textOf), ["plain"]);
  sumsHold(t, s.engine.stats());
});
