// Forwarding as a user sees it: what each port receives, and that every frame is accounted for.
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import type { PortClient } from "../../native/port-client.js";
import { frame, type LiveSwitch, liveSwitch, sumsHold, textOf, until } from "../support/live-switch.js";

/** The same with one forwarding thread, and with two: then most frames cross from one to the other. */
const both = (title: string, run: (t: ExecutionContext, threads: number) => Promise<void>) => {
  for (const threads of [1, 2]) test(`${title} (${threads} threads)`, (t) => run(t, threads));
};

const received = (ports: PortClient[]) => ports.map((port) => port.receive(4096).map(textOf));
const portNamed = (s: LiveSwitch, name: string) => {
  const port = s.engine.stats().ports.find((p) => p.name === name);
  if (!port) throw new Error(`no port ${name}`);
  return port.counters;
};

both("a frame to an unknown station floods; after the station spoke, only its port gets it", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const ports = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")] as const;
  ports[2].send([frame(0, 3, "hello")]);
  await s.settled();
  t.deepEqual(received([...ports]), [["hello"], ["hello"], []]);
  ports[0].send([frame(3, 1, "to c")]);
  await s.settled();
  t.deepEqual(received([...ports]), [[], [], ["to c"]]);
  sumsHold(t, s.engine.stats());
});

both("two switches do not hear each other, and learn the same address each for itself", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b, c, d] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale1:a"), s.open("vale1:b")];
  a.send([frame(0, 9, "one")]);
  c.send([frame(0, 9, "two")]);
  await s.settled();
  t.deepEqual(received([a, b, c, d]), [[], ["one"], [], ["two"]]);
  b.send([frame(9, 2, "back")]);
  d.send([frame(9, 3, "too")]);
  await s.settled();
  t.deepEqual(received([a, b, c, d]), [["back"], [], ["too"], []]);
});

both("a station that moves a, b, a again is reached at a, at once", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")];
  for (const port of [a, b, a]) {
    port.send([frame(0, 7, "here")]);
    await s.settled();
  }
  received([a, b, c]);
  c.send([frame(7, 3, "found")]);
  await s.settled();
  t.deepEqual(received([a, b, c]), [["found"], [], []]);
  t.is(s.engine.stats().macMoved, 2);
});

both(
  "a frame for a station behind its own port is dropped as hairpin, one without another port as no_destination",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    const a = s.open("vale0:a");
    a.send([frame(0, 1, "alone")]);
    await s.settled();
    t.is(portNamed(s, "vale0:a").dropped.no_destination, 1);
    const b = s.open("vale0:b");
    a.send([frame(1, 2, "to my neighbour")]);
    await s.settled();
    t.is(portNamed(s, "vale0:a").dropped.hairpin, 1);
    t.deepEqual(received([a, b]), [[], []]);
    sumsHold(t, s.engine.stats());
  },
);

both("arrival order holds between two ports, broadcast merged with unicast", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  b.send([frame(0, 2, "b")]);
  await s.settled();
  received([a, b]);
  const texts = Array.from({ length: 900 }, (_, i) => `${i}`);
  a.send(texts.map((text, i) => frame(i % 3 === 0 ? 0 : 2, 1, text)));
  await s.settled();
  t.deepEqual(received([a, b]), [[], texts]);
});

both(
  "a full destination loses its own copies only, the first ones stay, and the rest is counted",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    const [a, small, large] = [s.open("vale0:a"), s.open("vale0:s", { slots: 16 }), s.open("vale0:l", { slots: 1024 })];
    const texts = Array.from({ length: 100 }, (_, i) => `${i}`);
    await a.sendAll(texts.map((text) => frame(0, 1, text)));
    await s.settled();
    t.deepEqual(received([small, large]), [texts.slice(0, 15), texts]);
    const counters = portNamed(s, "vale0:s");
    t.is(counters.intendedCopies, 100);
    t.is(counters.deliveredCopies, 15);
    t.is(counters.refused.full, 85);
    t.is(portNamed(s, "vale0:a").forwardedFrames, 100, "each left by the other port");
    sumsHold(t, s.engine.stats());
  },
);

both("when the only destination is full, frames are dropped as destination_full", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
  await a.sendAll(Array.from({ length: 50 }, (_, i) => frame(0, 1, `${i}`)));
  await s.settled();
  t.is(b.receive(100).length, 15);
  t.is(portNamed(s, "vale0:a").dropped.destination_full, 35);
  sumsHold(t, s.engine.stats());
});

both(
  "13 bytes are a runt, 14 pass; a buffer's size passes, one more byte takes a second slot; 9216 pass",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
    const lengths = [13, 14, 2048, 2049, 9216];
    a.send(lengths.map((bytes) => frame(0, 1, "", Math.max(bytes, 14)).subarray(0, bytes)));
    await s.settled();
    t.deepEqual(
      b.receive().map((f) => f.length),
      [14, 2048, 2049, 9216],
    );
    t.is(portNamed(s, "vale0:a").dropped.runt, 1);
    t.is(portNamed(s, "vale0:a").receivedFrames, 5);
    sumsHold(t, s.engine.stats());
  },
);

both("a long frame that does not fit a full ring is refused whole", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
  a.send(Array.from({ length: 12 }, (_, i) => frame(0, 1, `${i}`)));
  a.send([frame(0, 1, "long", 9000)]);
  await s.settled();
  t.is(b.receive().length, 12);
  t.is(portNamed(s, "vale0:b").refused.full, 1);
  sumsHold(t, s.engine.stats());
});

both(
  "a removed port's stations are unknown at once, and a port that takes its place inherits nothing",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
    b.send([frame(0, 2, "here")]);
    await s.settled();
    b.close();
    await until(() => !s.engine.stats().ports.some((p) => p.name === "vale0:b"), "b gone");
    t.deepEqual(s.engine.macList("vale0"), []);
    const [c, d] = [s.open("vale0:c"), s.open("vale0:d")];
    received([a]);
    a.send([frame(2, 1, "flooded")]);
    await s.settled();
    t.deepEqual(received([c, d]), [["flooded"], ["flooded"]]);
    const stats = s.engine.stats();
    t.is(stats.detached.receivedFrames, 1);
    sumsHold(t, stats);
  },
);

both("64 ports in a switch: a broadcast reaches 63 of them once", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const ports = Array.from({ length: 64 }, (_, i) => s.open(`vale0:p${i}`, { slots: 64 }));
  ports[10]?.send([frame(0, 10, "all")]);
  await s.settled();
  t.deepEqual(
    received(ports),
    ports.map((_, i) => (i === 10 ? [] : ["all"])),
  );
});

both("ports come and go while traffic flows, and the others lose nothing", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  b.send([frame(0, 2, "here")]);
  await s.settled();
  received([a]);
  let expected = 0;
  for (let round = 0; round < 20; round++) {
    const guest = s.open(`vale0:g${round}`);
    const burst = Array.from({ length: 100 }, () => frame(2, 1, `${expected++}`));
    await a.sendAll(burst.slice(0, 50));
    guest.close();
    await a.sendAll(burst.slice(50));
  }
  await s.settled();
  t.deepEqual(
    received([b])[0],
    Array.from({ length: expected }, (_, i) => `${i}`),
  );
  sumsHold(t, s.engine.stats());
});

// Any traffic on a few ports: who receives what, in which order, against a model of ten lines.
both("random traffic: exact frames and order for each pair of ports, against the model", async (t, threads) => {
  const count = 5;
  const s = await liveSwitch(t, { threads, macEntries: 16384, macEntriesPerPort: 16384 });
  const send = fc.record({
    port: fc.integer({ min: 0, max: count - 1 }),
    to: fc.integer({ min: 0, max: 8 }),
    from: fc.integer({ min: 1, max: 8 }),
    bytes: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 40, max: 200 }) }, fc.integer({ min: 2000, max: 9000 })),
  });
  const ports = Array.from({ length: count }, (_, i) => s.open(`vale0:p${i}`, { slots: 2048 }));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(send, { maxLength: 12 }), { maxLength: 8 }), async (batches) => {
      s.engine.macFlush("vale0", "");
      const home = new Map<number, number>();
      let number = 0;
      for (const batch of batches) {
        // Within one burst only one port speaks, so that the order in which the switch hears the stations is known.
        const speaker = batch[0]?.port ?? 0;
        const expected: string[][] = Array.from({ length: count }, () => []);
        const frames = batch.map(({ to, from, bytes }) => {
          const text = `n${number++}`;
          home.set(from, speaker);
          const target = to === 0 ? undefined : home.get(to);
          for (let p = 0; p < count; p++)
            if (p !== speaker && (target === undefined || target === p)) expected[p]?.push(`${text} ${bytes}`);
          return frame(to, from, text, bytes);
        });
        await ports[speaker]?.sendAll(frames);
        await s.settled();
        t.deepEqual(
          ports.map((port) => port.receive(4096).map((f) => `${textOf(f)} ${f.length}`)),
          expected,
        );
      }
      sumsHold(t, s.engine.stats());
    }),
    { numRuns: 40 },
  );
});
