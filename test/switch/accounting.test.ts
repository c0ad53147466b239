// The contract's fourth point: every frame is accounted for, exactly, whatever happens to it.
import test from "ava";
import fc from "fast-check";
import type { PortClient } from "../../native/port-client.js";
import {
  frame,
  type LiveSwitch,
  liveSwitch,
  rule,
  sumsHold,
  textOf,
  threadsAndMedia,
  total,
  until,
} from "../support/live-switch.js";

for (const [threads, on] of threadsAndMedia)
  test(`random traffic into rings that are too small: sums, records and receivers agree (${threads} threads, ${on})`, async (t) => {
    const s = await liveSwitch(t, { threads }, { on, sizeBytes: 64 << 20 });
    s.engine.setRules([rule("")], "[]");
    const slots = [16, 64, 256, 1024];
    const ports = slots.map((n, i) => s.open(`vale0:p${i}`, { slots: n }));
    const got = ports.map((): string[] => []);
    const drain = (port: PortClient, i: number) => got[i]?.push(...port.receive(4096).map(textOf));
    let sent = 0;
    const burst = fc.record({
      from: fc.integer({ min: 0, max: 3 }),
      frames: fc.array(fc.record({ to: fc.integer({ min: 0, max: 5 }), long: fc.boolean() }), { maxLength: 80 }),
      reads: fc.subarray([0, 1, 2, 3]),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(burst, { maxLength: 6 }), async (bursts) => {
        for (const { from, frames, reads } of bursts) {
          const made = frames.map((f) => frame(f.to, from + 1, `${sent++}`, f.long ? 3000 : 60));
          await ports[from]?.sendAll(made);
          for (const i of reads) drain(ports[i]!, i);
        }
      }),
      { numRuns: 25, endOnFailure: true },
    );
    await s.settled();
    ports.forEach(drain);
    const stats = s.engine.stats();
    sumsHold(t, stats);
    const byName = new Map(stats.ports.map((p) => [p.name, p.counters]));
    for (const [i, texts] of got.entries()) {
      t.is(texts.length, byName.get(`vale0:p${i}`)?.deliveredCopies ?? -1, `p${i} received what was delivered`);
      t.is(new Set(texts).size, texts.length, `p${i} received nothing twice`);
    }
    // The log tells the same: each frame once, with the copies that were reserved.
    const logged = await s.logged();
    t.is(logged.length + total(stats.notLogged), sent);
    const copies = new Map<string, number>();
    for (const text of got.flat()) copies.set(text, (copies.get(text) ?? 0) + 1);
    if (threads === 1)
      for (const record of logged) {
        t.is(record.reserved, copies.get(record.text) ?? 0, `copies of frame ${record.text}`);
        t.is(record.outcome === "forwarded", record.reserved > 0);
      }
    t.is(
      stats.ports.reduce((sum, p) => sum + p.counters.intendedCopies, 0),
      stats.ports.reduce((sum, p) => sum + p.counters.deliveredCopies + total(p.counters.refused), 0),
    );
  });

test("what was logged is what was forwarded, byte for byte, while the sender rewrites its memory", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", sizeBytes: 64 << 20 });
  s.engine.setRules([rule("")], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  for (let round = 0; round < 30; round++) {
    // Sending again overwrites the slots' buffers as soon as they came back, often while the batch is still on its way.
    await a.sendAll(Array.from({ length: 100 }, (_, i) => frame(0, 1, `${round} ${i} ${"x".repeat(i * 10)}`, 1400)));
  }
  await s.settled();
  const received = b.receive(4096).map((f) => f.toString("latin1", 14));
  const logged = (await s.logged()).map((f) => f.text);
  t.deepEqual(
    logged,
    received.map((text) => text.replace(/\0+$/, "")),
  );
});

for (const on of ["memory", "disk"] as const)
  test(`a port that goes while copies for it are on their way: refused as gone or delivered, never lost from the sums (${on})`, async (t) => {
    const s = await liveSwitch(t, {}, { on });
    s.engine.setRules([rule("")], "[]");
    const a = s.open("vale0:a");
    for (let round = 0; round < 10; round++) {
      const guest = s.open(`vale0:g${round}`);
      await a.sendAll(Array.from({ length: 200 }, (_, i) => frame(0, 1, `${round} ${i}`)));
      guest.close();
    }
    await s.settled();
    await until(() => s.engine.stats().ports.length === 1, "all guests gone");
    const stats = s.engine.stats();
    sumsHold(t, stats);
    t.is(stats.ports[0]?.counters.receivedFrames, 2000);
  });

/** Sends more than the store holds from vale0:a; returns how many of the frames arrived at vale0:b. */
async function overfill(s: LiveSwitch, count: number): Promise<number> {
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  let received = 0;
  for (let i = 0; i < count; i += 500) {
    await a.sendAll(Array.from({ length: 500 }, (_, k) => frame(0, 1, `${i + k}`, 1400)));
    await s.settled();
    received += b.receive(4096).length;
  }
  return received;
}

test("a full store with policy stop: frames are forwarded, and counted as not logged", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", full: "stop" });
  s.engine.setRules([rule("")], "[]");
  const count = 24_000;
  const received = await overfill(s, count);
  const stats = s.engine.stats();
  t.is(received, count);
  t.true((stats.notLogged.store_full ?? 0) > 0);
  t.is(stats.logged + (stats.notLogged.store_full ?? 0), count);
  t.is((await s.logged()).length, stats.logged);
  sumsHold(t, stats);
});

test("a full store with policy block: that ingress waits, loses nothing, and goes on after trim; afterwards the time limit", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", full: "block", blockTimeoutMs: 60_000 });
  s.engine.setRules([rule("", { inPorts: ["vale0:a"] })], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  const c = s.open("vale0:c", { slots: 4096 });
  let sent = 0;
  let received = 0;
  // Until nothing goes any more, because the store is full (and not because its keeper is late).
  for (let stuckMs = 0, before = Date.now(); stuckMs < 300 && sent < 30_000; ) {
    const went = a.send(Array.from({ length: 200 }, (_, k) => frame(0, 1, `${sent + k}`, 1400)));
    sent += went;
    await new Promise((resolve) => setImmediate(resolve));
    received += b.receive(4096).length;
    c.receive(4096);
    if (went > 0 || s.engine.stats().store?.blocksFree !== 0) before = Date.now();
    stuckMs = Date.now() - before;
  }
  t.false(a.sentAll, "the ingress is held back");
  // Others go on meanwhile.
  c.send([frame(0, 3, "not logged, not held")]);
  await until(() => b.pending > 0, "another port's frame");
  const durable = s.engine.stats().store?.durableSequence ?? 0n;
  t.true(s.engine.trim(durable) > 0);
  await until(() => a.sentAll, "the ingress goes on");
  await s.settled();
  received += b.receive(4096).length;
  t.is(received, sent + 1, "nothing was lost");
  const stats = s.engine.stats();
  t.is(stats.logged, sent);
  t.true(stats.ingressBlockedMs > 0);
  sumsHold(t, stats);
});

test("policy block after blockTimeoutMs: frames are forwarded unlogged, and counted", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", full: "block", blockTimeoutMs: 50 });
  s.engine.setRules([rule("")], "[]");
  const count = 16_000;
  const received = await overfill(s, count);
  const stats = s.engine.stats();
  t.is(received, count);
  t.true((stats.notLogged.block_timeout ?? 0) > 0);
  sumsHold(t, stats);
});
