// What a client can write into its own memory and do to its descriptors: each ends in a count, and the ring goes on.
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { openPort } from "../../native/index.js";
import { connectRaw, frame, type Hub, makeHub, type RawClient, slot, u32, until } from "../support/native-ports.js";
import { errno, request } from "../support/ports-request.js";

const a = "vale0:a";
const b = "vale0:b";
const slots = 64;
const bufferCount = 2 + 2 * slots;
let sockets = 0;
const socketPath = () => join(tmpdir(), `paste-hostile-${process.pid}-${sockets++}.sock`);

function pair(): Hub {
  const hub = makeHub();
  hub.local(a, slots, 2048);
  hub.local(b, slots, 2048);
  return hub;
}

/** One good frame from a to b: the proof that a port still works. */
function works(hub: Hub): boolean {
  const sent = frame(7, 77);
  if (hub.clientSend(a, [sent]) !== 1 || hub.receive(a) !== 1) return false;
  const room = hub.reserve(b);
  hub.deliver(b, 0, room);
  hub.release(a);
  return hub.clientReceive(b).some((got) => got.equals(sent));
}

const ring = { head: 20, cur: 24, tail: 28 };
for (const value of [slots, slots + 1, slots + 5, 0x7fffffff, 0x80000000, 0xffffffff])
  test(`transmit head = ${value}: the ring is reset as netmap resets it, once a look, and goes on`, (t) => {
    const hub = pair();
    t.true(works(hub));
    const { txSync, txRing } = hub.layout(a);
    hub.poke(a, txRing + ring.tail, u32(3));
    hub.poke(a, txSync, u32(value));
    t.is(hub.receive(a), 0);
    t.is(hub.counters(a).clientFaults, 1);
    t.is(hub.receive(a), 0);
    t.is(hub.counters(a).clientFaults, 1);
    t.deepEqual(
      [ring.head, ring.cur, ring.tail].map((field) => hub.peek(a, txRing + field, 4).readUInt32LE()),
      [1, 1, 0],
    );
    t.is(hub.peek(a, txSync, 4).readUInt32LE(), 1, "client.head");
    t.is(hub.peek(a, txSync + 64 + 12, 4).readUInt32LE(), 1, "resets");
    t.true(works(hub));
  });

test("transmit head behind what was taken, and past what is the client's", (t) => {
  const hub = pair();
  hub.clientSend(a, [frame(0, 60), frame(1, 60), frame(2, 60)]);
  t.is(hub.receive(a), 3);
  const { txSync } = hub.layout(a);
  hub.poke(a, txSync, u32(1));
  t.is(hub.receive(a), 0);
  t.is(hub.counters(a).clientFaults, 1);
  t.is(hub.peek(a, txSync, 4).readUInt32LE(), 3);
  hub.release(a);
  t.true(works(hub));
});

for (const value of [slots, 40, 0xffffffff])
  test(`receive head = ${value}: reset, and frames keep coming`, (t) => {
    const hub = pair();
    hub.clientSend(a, [frame(0, 60), frame(1, 60)]);
    hub.receive(a);
    hub.reserve(b);
    hub.deliver(b);
    hub.release(a);
    hub.poke(b, hub.layout(b).rxSync, u32(value));
    t.true(works(hub));
    t.is(hub.counters(b).clientFaults, 1);
  });

const badSlots: [string, Buffer, "bad_slot" | "oversize" | "runt"][] = [
  ["buffer 0", slot(0, 60), "bad_slot"],
  ["buffer 1", slot(1, 60), "bad_slot"],
  ["the buffer behind the last", slot(bufferCount, 60), "bad_slot"],
  ["buffer 2^31", slot(0x80000000, 60), "bad_slot"],
  ["buffer 2^32-1", slot(0xffffffff, 60), "bad_slot"],
  ["a length over the buffer", slot(2, 2049), "bad_slot"],
  ["length 65535", slot(2, 65535), "bad_slot"],
  ["an indirect slot", slot(2, 60, 0x10), "bad_slot"],
  ["13 bytes", slot(2, 13), "runt"],
];
for (const [name, bytes, reason] of badSlots)
  test(`a transmit slot with ${name} is one dropped frame`, (t) => {
    const hub = pair();
    const { txRing, txSync } = hub.layout(a);
    hub.poke(a, txRing + 256, bytes);
    hub.poke(a, txSync, u32(1));
    hub.poke(a, txRing + ring.head, u32(1));
    t.is(hub.receive(a), 0);
    hub.release(a);
    const counters = hub.counters(a);
    t.is(counters.receivedFrames, 1);
    t.is(counters.dropped[reason], 1);
    t.true(works(hub));
  });

for (const [name, bytes] of badSlots.filter(([, , reason]) => reason === "bad_slot"))
  test(`a chain whose second slot has ${name} is one dropped frame`, (t) => {
    const hub = pair();
    const { txRing, txSync } = hub.layout(a);
    hub.poke(a, txRing + 256, slot(2, 100, 0x20));
    hub.poke(a, txRing + 256 + 16, Buffer.concat([bytes.subarray(0, 6), Buffer.from([bytes[6]! | 0x20, 0])]));
    hub.poke(a, txRing + 256 + 32, slot(4, 100));
    hub.poke(a, txSync, u32(3));
    hub.poke(a, txRing + ring.head, u32(3));
    t.is(hub.receive(a), 0);
    hub.release(a);
    t.is(hub.counters(a).dropped.bad_slot, 1);
    t.is(hub.counters(a).receivedFrames, 1);
    t.true(works(hub));
  });

for (const buffer of [0, 1, bufferCount, 0xffffffff])
  test(`a receive slot with buffer ${buffer}: the run ends there, the slot is mended, nothing is lost twice`, (t) => {
    const hub = pair();
    const { rxRing } = hub.layout(b);
    hub.poke(b, rxRing + 256 + 16, u32(buffer));
    hub.clientSend(a, [frame(0, 60), frame(1, 60), frame(2, 60)]);
    hub.receive(a);
    t.is(hub.reserve(b), 3);
    t.is(hub.deliver(b), 1);
    hub.release(a);
    const counters = hub.counters(b);
    t.is(counters.deliveredCopies, 1);
    t.is(counters.refused.bad_slot, 2);
    t.is(counters.clientFaults, 1);
    t.is(hub.peek(b, rxRing + 256 + 16, 4).readUInt32LE(), 2 + slots + 1);
    t.is(hub.clientReceive(b).length, 1);
    t.true(works(hub));
    t.is(hub.reserve(b, 0, 0), 0);
  });

test("a client may swap buffers between its rings (NS_BUF_CHANGED), and the switch follows", (t) => {
  const hub = pair();
  const { rxRing } = hub.layout(b);
  hub.poke(b, rxRing + 256, slot(bufferCount - 1, 0, 1));
  t.true(works(hub));
  const got = hub.peek(b, rxRing + 256, 16);
  t.is(got.readUInt32LE(0), bufferCount - 1);
  t.is(got.readUInt16LE(6), 0);
});

test("a frame that its sender rewrites while it is forwarded reaches all destinations as it was received", (t) => {
  const hub = pair();
  hub.local("vale0:c", slots, 2048);
  const { txRing } = hub.layout(a);
  const buffers = txRing + Number(hub.peek(a, txRing, 8).readBigInt64LE());
  for (const length of [60, 1514]) {
    const first = hub.peek(a, txRing + ring.head, 4).readUInt32LE();
    const sent = frame(length, length);
    hub.clientSend(a, [sent]);
    hub.receive(a);
    for (const to of [b, "vale0:c"]) {
      hub.poke(a, buffers + (2 + first) * 2048, Buffer.alloc(2048, 0xee));
      hub.poke(a, txRing + 256 + 16 * first, slot(bufferCount, 65535, 0x20));
      hub.reserve(to);
      hub.deliver(to);
      t.deepEqual(hub.clientReceive(to), [sent]);
    }
    t.deepEqual(hub.frames()[0]?.bytes, sent);
    hub.poke(a, txRing + 256 + 16 * first, slot(2 + first, 0));
    hub.release(a);
  }
});

test("rubbish everywhere while frames are forwarded: the neighbours' frames arrive, counts stay exact", async (t) => {
  const hub = makeHub();
  for (const name of [a, b, "vale0:c"]) hub.local(name, slots, 2048);
  hub.run();
  const seed = Number(process.env.PASTE_SEED ?? 20260101);
  t.log(`seed ${seed}`);
  let sent = 0;
  const got: Buffer[] = [];
  const mine = (bytes: Buffer) => bytes.length === 333 && bytes.toString("latin1", 20, 27) === "honest!";
  for (let round = 0; round < 300; round++) {
    hub.mutate("vale0:c", seed + round, 2000);
    const honest = frame(round, 333);
    honest.write("honest!", 20);
    sent += hub.clientSend(a, [honest]);
    await until(() => hub.clientPending(b) > 0, "a frame for b");
    got.push(...hub.clientReceive(b).filter(mine));
  }
  await until(() => {
    got.push(...hub.clientReceive(b).filter(mine));
    return got.length >= sent;
  }, "all honest frames");
  hub.halt();
  t.is(got.length, sent);
  for (const name of [a, b, "vale0:c"]) {
    const counters = hub.counters(name);
    const refused = Object.values(counters.refused).reduce((sum, count) => sum + count, 0);
    t.is(counters.intendedCopies, counters.deliveredCopies + refused, name);
    const dropped = Object.values(counters.dropped).reduce((sum, count) => sum + count, 0);
    t.is(counters.receivedFrames, counters.copiedFrames + dropped, name);
  }
  t.true(hub.counters("vale0:c").clientFaults > 0);
  t.is(hub.counters(a).clientFaults + hub.counters(b).clientFaults, 0);
});

// --- descriptors -----------------------------------------------------------------------------------------------------------

function attached(): { hub: Hub; raw: RawClient; path: string } {
  const hub = makeHub();
  const path = socketPath();
  hub.listen(path);
  const raw = connectRaw(path)!;
  raw.say(request({ name: a }));
  if (errno(raw.hear()) !== 0) throw new Error("not attached");
  return { hub, raw, path };
}

test("the memory can neither shrink nor grow, and no seal can be added", (t) => {
  const { hub, raw } = attached();
  const eperm = 1;
  t.is(raw.truncate(0), eperm);
  t.is(raw.truncate(4096), eperm);
  t.is(raw.truncate(1 << 30), eperm);
  t.is(raw.addSeals(), eperm);
  t.true(hub.alive(a));
  hub.stop();
});

test("holes punched into the memory: zeros, no crash", (t) => {
  const { hub, raw } = attached();
  t.is(raw.punchHole(), 0);
  t.is(hub.receive(a), 0);
  t.true(hub.alive(a));
  hub.stop();
});

test("a doorbell filled to the brim blocks nobody, and is emptied in bounded steps", (t) => {
  const { hub, raw } = attached();
  const filled = raw.fillDoorbell();
  t.true(filled > 4096);
  const before = hub.counters(a).kicksReceived;
  hub.rang(a);
  const step = hub.counters(a).kicksReceived - before;
  t.true(step > 0 && step <= 512, `${step} bytes in one step`);
  hub.notify(a);
  t.true(hub.alive(a));
  hub.stop();
});

for (const [name, act] of [
  ["closed", (raw: RawClient) => raw.closeDoorbell()],
  ["shut down for writing", (raw: RawClient) => raw.shutDoorbell(1)],
  ["shut down in both directions", (raw: RawClient) => raw.shutDoorbell(2)],
] as const)
  test(`a doorbell ${name} takes the port away, and nothing else`, async (t) => {
    const { hub, raw } = attached();
    act(raw);
    hub.arm(a);
    // The server may still be closing its own copy of the client's end.
    await until(() => {
      hub.rang(a);
      return !hub.alive(a);
    }, "the port to notice");
    t.is(hub.state(a), "gone");
    hub.stop();
  });

test("a doorbell shut for reading costs the client its bell only", (t) => {
  const { hub, raw } = attached();
  raw.shutDoorbell(0);
  hub.rang(a);
  hub.notify(a);
  t.true(hub.alive(a));
  hub.stop();
});

test("the connection's end is the port's end", async (t) => {
  const { hub, raw } = attached();
  t.deepEqual(hub.ports(), [a]);
  raw.close();
  await until(() => hub.ports().length === 0, "the port to go");
  hub.stop();
});

test("a hostile neighbour does not keep others from attaching and talking", async (t) => {
  const { hub, raw, path } = attached();
  raw.fillDoorbell();
  hub.run();
  const one = openPort({ socket: path, name: "vale0:one" });
  const two = openPort({ socket: path, name: "vale0:two" });
  const sent = frame(1, 100);
  one.send([sent]);
  t.is(await two.wait({ timeoutMs: 60_000 }), "ready");
  t.deepEqual(two.receive(), [sent]);
  one.close();
  two.close();
  hub.stop();
});
