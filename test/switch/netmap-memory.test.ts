// Memory of netmap programs on the real switch: extra buffers, memory ids, memory that is offered back.
import test from "ava";
import { frame, rule, sumsHold, textOf, until } from "../support/live-switch.js";
import { bench, goes, ports } from "../support/netmap-bench.js";
import { type NetmapUser, slotFlags } from "../support/netmap-user.js";

// --- extra buffers ---------------------------------------------------------------------------------------------------

test("extra buffers: linked, none of a ring's, swapped through, given back", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a", { extra: 12 });
  const b = open("vale0:b");
  t.is(a.extraBuffers, 12);
  const spare = a.spare;
  t.is(new Set(spare).size, 12);
  const inRings = new Set([...a.tx, ...a.rx].flatMap((ring) => [...Array(64).keys()].map((i) => ring.slot(i).buffer)));
  t.true(spare.every((buffer) => buffer >= 2 && !inRings.has(buffer)));
  const tx = a.tx[0]!;
  for (const [i, buffer] of spare.entries()) {
    const bytes = frame(0, 1, `spare ${i}`);
    a.put(tx.buffer(buffer), bytes);
    tx.setSlot(i, buffer, bytes.length, slotFlags.bufChanged);
  }
  tx.publish(12);
  await until(() => b.rx[0]!.waiting === 12, "12 frames out of spare buffers");
  t.deepEqual(
    b.rx[0]!.receive().map(textOf),
    spare.map((_, i) => `spare ${i}`),
  );
});

test("as many extra buffers as the region has, no more; a list that bites its tail, or rubbish, ends", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { extra: 0xffffffff });
  t.true(a.extraBuffers > 1000 && a.extraBuffers < 1 << 16);
  const [first, second] = a.spare as [number, number];
  a.putU32(a.rx[0]!.buffer(second), first);
  a.close();
  await goes(s, "vale0:a");
  const b = open("vale0:a", { extra: 2 });
  b.putU32(b.interface + 32, 0xfffffff0);
  b.close();
  await goes(s, "vale0:a");
  t.is(open("vale0:a", { extra: 2 }).extraBuffers, 2);
});

test("extra buffers of one program come back for the next on the same port", async (t) => {
  const { open } = await bench(t);
  const stays = open("vale0:a");
  const greedy = open("vale0:a", { extra: 0xffffffff });
  t.is(open("vale0:a", { extra: 4 }).extraBuffers, 0);
  const had = greedy.extraBuffers;
  greedy.close();
  await until(() => {
    const again = open("vale0:a", { extra: 0xffffffff });
    const got = again.extraBuffers;
    again.close();
    return got === had;
  }, "all of them again");
  t.true(stays.tx[0]!.bound);
});

// --- memory ids ------------------------------------------------------------------------------------------------------

for (const kind of ["global", "a port's own"])
  test(`ports that share memory (${kind}): buffers change places instead of being copied, floods and strangers get copies`, async (t) => {
    const { open, s } = await bench(t);
    const a = open("vale0:a", { memId: kind === "global" ? 1 : 0 });
    const b = open("vale0:b", { memId: a.memId });
    const stranger = open("vale0:s");
    t.is(b.memId, a.memId);
    t.not(stranger.memId, a.memId);
    const threads = s.engine.stats().ports.map((port) => port.thread);
    t.is(threads[0], threads[1]);
    b.tx[0]!.send(frame(0, 2, "learn me"));
    await until(() => a.rx[0]!.waiting === 1 && stranger.rx[0]!.waiting === 1, "b to be known");
    a.rx[0]!.receive();
    stranger.rx[0]!.receive();
    const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
    for (let i = 0; i < 200; i++) {
      const slot = a.tx[0]!.head;
      const bytes = frame(2, 1, `n=${i}`, 60 + i * 7);
      const sent = a.tx[0]!.slot(slot).buffer;
      const place = b.rx[0]!.slot(b.rx[0]!.head).buffer;
      a.tx[0]!.send(bytes);
      await until(() => b.rx[0]!.waiting === 1, "the frame");
      t.is(b.rx[0]!.slot(b.rx[0]!.head).buffer, sent, "the sender's buffer");
      t.deepEqual(b.rx[0]!.receive(), [bytes]);
      await until(() => a.tx[0]!.hwcur === a.tx[0]!.head, "the slot to come back");
      t.deepEqual(a.tx[0]!.slot(slot), { buffer: place, length: bytes.length, flags: slotFlags.bufChanged });
    }
    t.is(counters().zeroCopyFrames, 200);
    t.is(counters().copiedFrames, 0);
    t.is(stranger.rx[0]!.waiting, 0);
    a.tx[0]!.send(frame(9, 1, "to all"));
    await until(() => b.rx[0]!.waiting === 1 && stranger.rx[0]!.waiting === 1, "a flood");
    t.deepEqual(
      [b, stranger].map((user) => user.rx[0]!.receive().map(textOf)),
      [["to all"], ["to all"]],
    );
    sumsHold(t, s.engine.stats());
  });

test("ports that share memory: hostile slots are one frame's trouble", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { memId: 1 });
  const b = open("vale0:b", { memId: 1 });
  for (const buffer of [0, 1, 0xffffffff, 163840, a.rx[0]!.slot(0).buffer]) {
    b.rx[0]!.setSlot(b.rx[0]!.hwtail, buffer, 0);
    a.tx[0]!.send(frame(0, 1, "x"));
    await until(() => a.tx[0]!.hwcur === a.tx[0]!.head, "the frame to be taken");
    b.rx[0]!.receive();
  }
  const c = open("vale0:c");
  c.tx[0]!.send(frame(0, 3, "still here"));
  await until(() => a.rx[0]!.waiting > 0, "the switch at work");
  sumsHold(t, s.engine.stats());
});

for (const on of ["memory", "disk"] as const)
  test(`lent frames are logged as they were received, and leave when they are durable (${on})`, async (t) => {
    const { open, s } = await bench(t, { threads: 2, durability: "strict" }, { on });
    s.engine.setRules([rule("")], "[]");
    const a = open("vale0:a", { memId: 1, txSlots: 1024 });
    const b = open("vale0:b", { memId: 1, rxSlots: 1024 });
    const elsewhere = [open("vale0:c"), open("vale0:d")];
    b.tx[0]!.send(frame(0, 2, "learn me"));
    await until(() => a.rx[0]!.waiting === 1 && elsewhere.every((user) => user.rx[0]!.waiting === 1), "b to be known");
    const sent = [...Array(600).keys()].map((i) => frame(2, 1, `n=${i};`, 60 + (i % 1500)));
    const got: Buffer[] = [];
    for (let i = 0; i < sent.length; i += 20) {
      a.tx[0]!.send(...sent.slice(i, i + 20));
      await until(() => {
        got.push(...b.rx[0]!.receive());
        return got.length === i + 20;
      }, "what was sent");
    }
    t.true(got.every((bytes, i) => bytes.equals(sent[i]!)));
    await s.settled();
    const counters = s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
    t.is(counters.zeroCopyFrames, 600);
    const logged = (await s.logged()).slice(1);
    t.deepEqual(
      logged.map((one) => [one.text, one.length]),
      sent.map((bytes) => [textOf(bytes), bytes.length]),
    );
    sumsHold(t, s.engine.stats());
  });

test("a null port: memory and extra buffers, no rings, nothing on the switch", async (t) => {
  const { open, s } = await bench(t);
  const user = open("nothing", { mode: 7, memId: 1, txRings: 10, rxRings: 5, extra: 3 });
  t.deepEqual([user.tx.length, user.rx.length], [10, 5]);
  t.true([...user.tx, ...user.rx].every((ring) => !ring.bound));
  t.is(user.extraBuffers, 3);
  t.deepEqual(ports(s), []);
});

// --- reconnecting ----------------------------------------------------------------------------------------------------

test("memory that is offered back: same places, rings reset, slots keep their buffers, spare buffers stay", async (t) => {
  const { open, s } = await bench(t);
  const first = open("vale0:a", { txRings: 2, rxRings: 2, extra: 8 });
  const second = open("vale0:a", { mode: 4, ringId: 1 });
  const pipe = open("vale0:a{1");
  const spare = first.spare;
  const tx = first.tx[0]!;
  const moved = tx.slot(3).buffer;
  tx.setSlot(3, spare[0]!, 60);
  tx.setSlot(4, 0xffffffff, 60);
  tx.publish(2);
  await until(() => tx.hwcur === 2, "two empty slots to be taken");
  const places = (user: NetmapUser) => [user.interface, ...[...user.tx, ...user.rx].map((ring) => ring.at)];
  const before = [first, second, pipe].map(places);
  for (const user of [first, second, pipe]) user.close();
  await goes(s, "vale0:a");

  // The pipe comes first: the region is known by what is written in it, not by who asks.
  const pipeAgain = open("vale0:a{1", {}, pipe);
  t.true(pipeAgain.adopted);
  const again = open("vale0:a", {}, first);
  const secondAgain = open("vale0:a", {}, second);
  t.true(again.adopted && secondAgain.adopted);
  t.deepEqual([again, secondAgain, pipeAgain].map(places), before);
  t.is(again.extraBuffers, 8);
  t.deepEqual([again.tx[0]!.head, again.tx[0]!.hwcur, again.tx[0]!.hwtail], [0, 0, 63]);
  t.is(again.tx[0]!.slot(3).buffer, spare[0]!);
  const indexes = [...again.tx, ...again.rx].flatMap((ring) => [...Array(64).keys()].map((i) => ring.slot(i).buffer));
  t.is(new Set(indexes).size, indexes.length, "no buffer twice");
  t.false(indexes.includes(moved), "what the program holds is nobody else's");
  const b = open("vale0:b");
  again.tx[0]!.send(frame(0, 1, "back"));
  await until(() => b.rx[0]!.waiting === 1, "traffic again");
});
