// A vale port call by call: what goes in comes out, limits and counts are exact, promises hold.
import test from "ava";
import { frame, type Hub, makeHub, slot, u32 } from "../support/native-ports.js";

const a = "vale0:a";
const b = "vale0:b";
const runtDrop = (hub: Hub) => hub.counters(a).dropped.runt;

function pair(slots = 64, bufferBytes = 2048): Hub {
  const hub = makeHub();
  hub.local(a, slots, bufferBytes);
  hub.local(b, slots, bufferBytes);
  return hub;
}

/** Forwards all of a's frames to b; returns what b's client got. */
function forward(hub: Hub): Buffer[] {
  const count = hub.receive(a);
  const room = hub.reserve(b);
  hub.deliver(b, 0, Math.min(room, count));
  hub.release(a);
  return hub.clientReceive(b);
}

for (const length of [14, 15, 59, 60, 63, 64, 65, 127, 128, 129, 191, 1514, 2047, 2048, 2049, 4096, 4097, 9215, 9216])
  test(`a frame of ${length} bytes goes through, its snapshot padded with zeros`, (t) => {
    const hub = pair();
    // A longer frame before it leaves rubbish behind in the arena and in the buffers.
    t.is(hub.clientSend(a, [frame(9, 9216)]), 1);
    t.is(forward(hub).length, 1);
    for (let round = 0; round < 30; round++) {
      const sent = [frame(round, length), frame(round + 1, length)];
      t.is(hub.clientSend(a, sent), 2);
      t.is(hub.receive(a), 2);
      for (const [i, received] of hub.frames().entries()) {
        t.deepEqual(received.bytes, sent[i]);
        t.true(received.aligned && received.framed && received.padding.every((byte) => byte === 0));
        t.is(received.wireLength, length);
      }
      t.is(hub.reserve(b), 2);
      t.is(hub.deliver(b), 2);
      hub.release(a);
      t.deepEqual(hub.clientReceive(b), sent);
    }
    t.is(hub.counters(a).receivedFrames, 61);
    t.is(hub.counters(a).receivedBytes, 9216 + 60 * length);
    t.is(hub.counters(b).deliveredBytes, 9216 + 60 * length);
  });

test("a long frame lies in several slots, each with the number of fragments in its high byte", (t) => {
  const hub = pair();
  hub.clientSend(a, [frame(1, 5000)]);
  hub.receive(a);
  hub.reserve(b);
  hub.deliver(b);
  const { rxRing } = hub.layout(b);
  const slots = [0, 1, 2].map((i) => hub.peek(b, rxRing + 256 + 16 * i, 16));
  t.deepEqual(
    slots.map((bytes) => [bytes.readUInt16LE(4), bytes.readUInt16LE(6)]),
    [
      [2048, 0x0320],
      [2048, 0x0320],
      [904, 0x0300],
    ],
  );
});

test("frames under 14 bytes are received, dropped and counted; slots without bytes are no frames", (t) => {
  const hub = pair();
  const { txRing, txSync } = hub.layout(a);
  for (const [i, length] of [13, 0, 1, 14].entries()) hub.poke(a, txRing + 256 + 16 * i, slot(2 + i, length));
  hub.poke(a, txSync, u32(4));
  t.is(hub.receive(a), 1);
  t.is(hub.frames()[0]?.bytes.length, 14);
  t.is(runtDrop(hub), 2);
  t.is(hub.counters(a).receivedFrames, 3);
});

test("a chain that the end of what is published cuts off counts as complete", (t) => {
  const hub = pair();
  const { txRing, txSync } = hub.layout(a);
  hub.poke(a, txRing + 256, slot(2, 100, 0x20));
  hub.poke(a, txRing + 256 + 16, slot(3, 100, 0x20));
  hub.poke(a, txSync, u32(2));
  t.is(hub.receive(a), 1);
  t.is(hub.frames()[0]?.bytes.length, 200);
});

test("a chain longer than 9216 bytes, or of more than 64 slots, is one dropped frame", (t) => {
  const hub = pair(256);
  const { txRing, txSync } = hub.layout(a);
  for (let i = 0; i < 5; i++) hub.poke(a, txRing + 256 + 16 * i, slot(2 + i, 2048, i < 4 ? 0x20 : 0));
  for (let i = 5; i < 75; i++) hub.poke(a, txRing + 256 + 16 * i, slot(2 + i, 20, i < 74 ? 0x20 : 0));
  hub.poke(a, txRing + 256 + 16 * 75, slot(77, 60));
  hub.poke(a, txSync, u32(76));
  t.is(hub.receive(a), 1);
  t.is(hub.counters(a).dropped.oversize, 1);
  t.is(hub.counters(a).dropped.broken_chain, 1);
  t.is(hub.counters(a).receivedFrames, 3);
});

test("a full ring takes what fits, in order, and nothing of a frame that does not", (t) => {
  const hub = pair(64);
  const frames = [...Array(60).keys()].map((i) => frame(i, 60));
  hub.clientSend(a, frames);
  t.is(forward(hub).length, 60);
  hub.clientSend(a, frames);
  hub.receive(a);
  t.is(hub.reserve(b), 60);
  hub.deliver(b);
  hub.release(a);
  // 3 slots are free: a frame of 5 slots stops the run, the short one behind it does not overtake.
  hub.clientSend(a, [frame(1, 9000), frame(2, 60)]);
  hub.receive(a);
  t.is(hub.reserve(b), 0);
  hub.release(a);
  hub.clientSend(a, [frame(3, 60), frame(4, 4000), frame(5, 60)]);
  hub.receive(a);
  t.is(hub.reserve(b), 2);
  t.is(hub.deliver(b, 0, 2), 2);
  t.is(hub.clientReceive(b).length, 62);
});

test("one slot of a ring stays empty in both directions", (t) => {
  const hub = pair(16);
  t.is(hub.clientRoom(a), 15);
  t.is(
    hub.clientSend(
      a,
      [...Array(20).keys()].map((i) => frame(i, 60)),
    ),
    15,
  );
  t.is(hub.receive(a), 15);
  t.is(hub.reserve(b), 15);
  t.is(hub.deliver(b), 15);
  t.is(hub.clientRoom(a), 0);
  hub.release(a);
  t.is(hub.clientRoom(a), 15);
  t.is(hub.clientPending(b), 15);
});

test("promises: delivered in two steps, given back by cancel, never more than there is room", (t) => {
  const hub = pair(16);
  hub.clientSend(
    a,
    [...Array(15).keys()].map((i) => frame(i, 60)),
  );
  hub.receive(a);
  t.is(hub.reserve(b, 0, 10), 10);
  t.is(hub.reserve(b, 10, 5), 5);
  t.is(hub.reserve(b, 0, 1), 0);
  t.is(hub.deliver(b, 0, 10), 10);
  hub.cancel(b, 10, 5);
  t.is(hub.reserve(b, 0, 15), 5);
  hub.cancel(b, 0, 5);
  t.is(hub.clientReceive(b).length, 10);
  t.is(hub.reserve(b, 0, 15), 15);
});

test("frames that are taken back come again, and are counted once", (t) => {
  const hub = pair();
  const { txRing, txSync } = hub.layout(a);
  hub.clientSend(a, [frame(0, 60), frame(1, 61), frame(2, 62), frame(3, 63), frame(4, 64)]);
  hub.poke(a, txRing + 256 + 16 * 2 + 4, Buffer.from([5, 0])); // the third becomes a runt
  t.is(hub.receive(a), 4);
  hub.unreceive(a, 3);
  hub.release(a);
  t.is(hub.counters(a).receivedFrames, 2);
  t.is(hub.counters(a).receivedBytes, 60 + 5);
  t.is(hub.peek(a, txSync + 64, 4).readUInt32LE(), 1, "only one slot went back to the client");
  t.is(hub.receive(a), 3);
  t.deepEqual(
    hub.frames().map((received) => received.bytes.length),
    [61, 63, 64],
  );
  t.is(hub.counters(a).receivedFrames, 5);
  t.is(hub.counters(a).receivedBytes, 60 + 61 + 5 + 63 + 64);
  t.is(runtDrop(hub), 1);
  hub.release(a);
  t.is(hub.clientRoom(a), 63);
});

test("receive stops at its limits and goes on from there: frames, batch, arena", (t) => {
  const hub = pair(1024);
  const frames = [...Array(400).keys()].map((i) => frame(i, 60));
  hub.clientSend(a, frames);
  t.is(hub.receive(a, 7), 7);
  t.is(hub.receive(a), 256);
  t.is(hub.receive(a), 137);
  t.deepEqual(hub.frames().at(-1)?.bytes, frames.at(-1));
  hub.release(a);
  const long = [...Array(100).keys()].map((i) => frame(i, 9216));
  t.is(hub.clientSend(a, long), 100);
  let total = 0;
  for (let count = hub.receive(a); count > 0; count = hub.receive(a)) {
    t.true(count <= 56);
    t.deepEqual(hub.frames()[0]?.bytes, long[total]);
    total += count;
  }
  t.is(total, 100);
});

test("times come from the clock", (t) => {
  const hub = pair();
  hub.hold(1_700_000_000_000_000_000);
  hub.clientSend(a, [frame(0, 60)]);
  hub.receive(a);
  t.is(hub.frames()[0]?.timeNs, 1_700_000_000_000_000_000);
});

test("a client that needs no bell is not rung; one that sleeps is, once a round", (t) => {
  const hub = pair();
  const deliver = () => {
    hub.clientSend(a, [frame(0, 60)]);
    hub.receive(a);
    hub.reserve(b);
    hub.deliver(b);
    hub.release(a);
    hub.notify(b);
    hub.notify(b);
  };
  deliver();
  t.is(hub.counters(b).kicksSent, 0);
  t.is(hub.clientReceive(b).length, 1);
  t.false(hub.clientArm(b, false));
  deliver();
  t.is(hub.counters(b).kicksSent, 1);
  t.is(hub.clientWait(b, false, 1000), 0);
  t.is(hub.clientReceive(b).length, 1);
});

test("the daemon's bell: armed, it is rung by a flush, and arm() sees work that came before", (t) => {
  const hub = pair();
  t.false(hub.arm(a));
  hub.clientSend(a, [frame(0, 60)]);
  t.true(hub.arm(a));
  hub.disarm(a);
  hub.rang(a);
  t.is(hub.counters(a).kicksReceived, 1);
  hub.clientSend(a, [frame(0, 60)]);
  hub.rang(a);
  t.is(hub.counters(a).kicksReceived, 1, "not armed, not rung");
});

test("a client that waits for room is rung when slots come back", (t) => {
  const hub = pair(16);
  hub.clientSend(
    a,
    [...Array(15).keys()].map((i) => frame(i, 60)),
  );
  t.false(hub.clientArm(a, true));
  hub.receive(a);
  t.is(hub.counters(a).kicksSent, 0);
  hub.release(a);
  t.is(hub.counters(a).kicksSent, 1);
  t.is(hub.clientWait(a, true, 1000), 0);
});

test("a client without space for a frame keeps it waiting", (t) => {
  const hub = pair();
  hub.clientSend(a, [frame(1, 100), frame(2, 1000)]);
  hub.receive(a);
  hub.reserve(b);
  hub.deliver(b);
  t.deepEqual(hub.clientReceive(b, 10, 200), [frame(1, 100)]);
  t.deepEqual(hub.clientReceive(b, 10, 999), []);
  t.deepEqual(hub.clientReceive(b, 10, 1000), [frame(2, 1000)]);
});
