// Netmap's pipes and monitors on the real switch.
import test from "ava";
import { frame, sumsHold, textOf, until } from "../support/live-switch.js";
import { bench, ports, refused } from "../support/netmap-bench.js";
import { flags } from "../support/netmap-user.js";

const EINVAL = 22;

// --- pipes -----------------------------------------------------------------------------------------------------------

test("a pipe: two ends in one region, each ring's peer the other's, one end's bell at the other", async (t) => {
  const { open, s } = await bench(t);
  const parent = open("vale0:a");
  const master = open("vale0:a{1", { txRings: 2, rxRings: 1, txSlots: 32, rxSlots: 64 });
  const slave = open("vale0:a}1");
  t.is(master.memId, parent.memId);
  t.is(slave.memId, parent.memId);
  t.deepEqual(ports(s), ["vale0:a"]);
  t.deepEqual([slave.tx.length, slave.rx.length], [1, 2]);
  t.deepEqual([slave.tx[0]!.slots, slave.rx[0]!.slots], [64, 32]);
  t.is(master.tx[1]!.at + master.tx[1]!.peer, slave.rx[1]!.at);
  t.is(slave.rx[1]!.at + slave.rx[1]!.peer, master.tx[1]!.at);
  t.is(master.rx[0]!.at + master.rx[0]!.peer, slave.tx[0]!.at);
  t.is(parent.tx[0]!.peer, 0);
  master.raw.kick();
  t.is(slave.raw.kicks(), 1);
  slave.raw.kick();
  t.is(master.raw.kicks(), 1);
  // What lies in the memory, the other sees.
  const bytes = frame(1, 2, "through the pipe");
  const index = master.tx[0]!.slot(0).buffer;
  master.put(master.tx[0]!.buffer(index), bytes);
  t.deepEqual(slave.bytes(slave.rx[0]!.buffer(index), bytes.length), bytes);
});

test("a pipe without its parent: a region of its own, which the parent gets; an end that goes leaves the other", async (t) => {
  const { open } = await bench(t);
  const master = open("vale0:p{x", { txSlots: 64 });
  const parent = open("vale0:p");
  t.is(parent.memId, master.memId);
  const slave = open("vale0:p}x");
  master.close();
  slave.putU32(slave.tx[0]!.sync, 5);
  await until(() => {
    const again = open("vale0:p{x");
    const same = again.tx[0]!.at + again.tx[0]!.peer === slave.rx[0]!.at;
    again.raw.kick();
    return same && slave.raw.kicks() > 0;
  }, "the end to be opened again");
  for (const bad of ["vale0:p{", "vale0:p}", "vale0:p{a b", "vale{1", "v-7{1"]) refused(t, EINVAL, () => open(bad));
  refused(t, EINVAL, () => open("vale0:p{x", { mode: 3 }));
  const [free, peer] = [open("v7{1"), open("v7}1")];
  t.is(peer.tx[0]!.at + peer.tx[0]!.peer, free.rx[0]!.at, "a parent that nobody made is a name and no more");
});

// --- monitors --------------------------------------------------------------------------------------------------------

test("copy monitors: what a port sends, what it gets, though it has not read it; and the port still gets it", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a");
  const b = open("vale0:b");
  const sends = open("vale0:a", { registerFlags: flags.monitorTx });
  const gets = open("vale0:a", { registerFlags: flags.monitorRx });
  const both = open("vale0:a", { registerFlags: flags.monitorTx | flags.monitorRx });
  t.false(sends.tx[0]!.bound);
  a.tx[0]!.send(frame(0, 1, "sent"));
  await until(() => sends.rx[0]!.waiting === 1 && both.rx[0]!.waiting === 1, "the monitors of what it sends");
  b.tx[0]!.send(frame(1, 2, "got"));
  await until(() => gets.rx[0]!.waiting === 1 && both.rx[0]!.waiting === 2, "the monitors of what it gets");
  t.deepEqual(sends.rx[0]!.receive().map(textOf), ["sent"]);
  t.deepEqual(gets.rx[0]!.receive().map(textOf), ["got"]);
  t.deepEqual(both.rx[0]!.receive().map(textOf), ["sent", "got"]);
  t.deepEqual(a.rx[0]!.receive().map(textOf), ["got"]);
  t.deepEqual(b.rx[0]!.receive().map(textOf), ["sent"]);
  // A monitor that does not read loses copies; the monitored port loses none.
  for (let i = 0; i < 100; i++) {
    b.tx[0]!.send(frame(1, 2, `n=${i}`));
    await until(() => a.rx[0]!.waiting === 1, "each frame");
    t.deepEqual(a.rx[0]!.receive().map(textOf), [`n=${i}`]);
  }
  t.true(gets.rx[0]!.waiting <= 63);
  sumsHold(t, s.engine.stats());
});
