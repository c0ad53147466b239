// Mirror ports: a copy of what other ports give and get, for nobody else's loss.
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import type { NativePortOptions } from "../../native/engine.js";
import type { PortClient, PortOptions } from "../../native/port-client.js";
import { frame, type LiveSwitch, liveSwitch, rule, sumsHold, textOf, until } from "../support/live-switch.js";

const both = (title: string, run: (t: ExecutionContext, threads: number) => Promise<void>) => {
  for (const threads of [1, 2, 3]) test(`${title} (${threads} threads)`, (t) => run(t, threads));
};

type Mirror = NonNullable<NativePortOptions["mirror"]>;

function openMirror(s: LiveSwitch, name: string, mirror: Partial<Mirror>, more: Partial<PortOptions> = {}): PortClient {
  s.engine.attach(name, "", { mirror: { ports: [], in: true, out: true, ...mirror } });
  return s.open(name, { slots: 1024, ...more });
}

const countersOf = (s: LiveSwitch, name: string) => {
  const port = s.engine.stats().ports.find((p) => p.name === name);
  if (!port) throw new Error(`no port ${name}`);
  return port.counters;
};
const refusedOf = (s: LiveSwitch, name: string) =>
  Object.values(countersOf(s, name).refused).reduce((sum, count) => sum + count, 0);
const texts = (port: PortClient) => port.receive(4096).map(textOf);

/** Copies that no frame's fate waits for have come, too: `count` were meant for the mirror port. */
const mirrored = (s: LiveSwitch, name: string, count: number) =>
  until(() => countersOf(s, name).intendedCopies >= count, `${count} copies for ${name}`);

both("in: what the port gives, dropped frames too; out: what it gets; nothing else", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")];
  const gives = openMirror(s, "vale0:gives", { ports: ["vale0:a"], out: false });
  const gets = openMirror(s, "vale0:gets", { ports: ["vale0:a"], in: false });
  const all = openMirror(s, "vale0:all", { ports: ["vale0:?"] });
  a.send([frame(0, 1, "a to all")]);
  await s.settled();
  b.send([frame(1, 2, "b to a")]);
  await s.settled();
  a.send([frame(1, 9, "a to its own station")]);
  c.send([frame(2, 3, "c to b")]);
  await s.settled();
  await mirrored(s, "vale0:gives", 2);
  await mirrored(s, "vale0:gets", 1);
  await mirrored(s, "vale0:all", 4);
  t.deepEqual(texts(gives), ["a to all", "a to its own station"]);
  t.deepEqual(texts(gets), ["b to a"]);
  t.deepEqual(texts(all).sort(), ["a to all", "a to its own station", "b to a", "c to b"]);
  t.deepEqual([texts(a), texts(b), texts(c)], [["b to a"], ["a to all", "c to b"], ["a to all"]]);
  t.is(countersOf(s, "vale0:a").dropped.hairpin, 1, "mirrored, and dropped all the same");
  sumsHold(t, s.engine.stats());
});

both("a frame whose only copy went to a mirror port is dropped with its reason", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const a = s.open("vale0:a");
  const m = openMirror(s, "vale0:m", { ports: ["vale0:a"] });
  a.send([frame(0, 1, "alone")]);
  await s.settled();
  await mirrored(s, "vale0:m", 1);
  t.deepEqual(texts(m), ["alone"]);
  t.is(countersOf(s, "vale0:a").dropped.no_destination, 1);
  sumsHold(t, s.engine.stats());
});

both(
  "what a mirror port sends is dropped and teaches nothing; no static address lies behind it",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    const a = s.open("vale0:a");
    const m = openMirror(s, "vale0:m", { ports: ["vale0:*"] });
    const deaf = openMirror(s, "vale0:deaf", { ports: ["vale0:m"] });
    m.send([frame(0, 7, "I only listen")]);
    await s.settled();
    t.is(countersOf(s, "vale0:m").dropped.mirror_port, 1);
    t.deepEqual([texts(a), texts(m), texts(deaf)], [[], [], []]);
    t.deepEqual(s.engine.macList("vale0"), []);
    t.throws(() => s.engine.macAdd("vale0", "02:00:00:00:00:07", 0, "vale0:m"), { message: /mirror port/ });
  },
);

both("a full mirror port loses its own copies only, and they are counted there", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 1024 })];
  const m = openMirror(s, "vale0:m", { ports: ["vale0:a"] }, { slots: 16 });
  const sent = Array.from({ length: 100 }, (_, i) => `${i}`);
  await a.sendAll(sent.map((text) => frame(0, 1, text)));
  await s.settled();
  await mirrored(s, "vale0:m", 100);
  t.deepEqual(texts(b), sent);
  t.deepEqual(texts(m), sent.slice(0, 15));
  t.is(countersOf(s, "vale0:m").refused.full, 85);
  t.is(countersOf(s, "vale0:a").forwardedFrames, 100);
  sumsHold(t, s.engine.stats());
});

both("a destination that is full is not seen by those who listen to what it gets", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
  const m = openMirror(s, "vale0:m", { ports: ["vale0:b"], in: false });
  await a.sendAll(Array.from({ length: 50 }, (_, i) => frame(0, 1, `${i}`)));
  await s.settled();
  await mirrored(s, "vale0:m", 15);
  t.deepEqual(texts(m), texts(b));
  t.is(countersOf(s, "vale0:m").intendedCopies, 15);
});

test("frames are mirrored as they came: a tag that leaving adds or takes away does not show", async (t) => {
  const s = await liveSwitch(t);
  s.engine.attach("vale0:access", "", { vlan: { policy: "access", vid: 5 } });
  s.engine.attach("vale0:trunk", "", { vlan: { policy: "trunk", vid: 0 } });
  const [access, trunk] = [s.open("vale0:access"), s.open("vale0:trunk")];
  const m = openMirror(s, "vale0:m", { ports: ["vale0:trunk"] });
  const untagged = frame(0, 1, "untagged");
  const tagged = Buffer.concat([untagged.subarray(0, 12), Buffer.from([0x81, 0, 0, 5]), untagged.subarray(12)]);
  const foreign = Buffer.concat([untagged.subarray(0, 12), Buffer.from([0x81, 0, 15, 255]), untagged.subarray(12)]);
  access.send([untagged]);
  await s.settled();
  t.deepEqual(trunk.receive(), [tagged]);
  trunk.send([tagged, foreign]);
  await s.settled();
  t.deepEqual(access.receive(), [untagged]);
  t.deepEqual(m.receive(), [untagged, tagged, foreign], "also what VLAN rules refused");
});

for (const on of ["memory", "disk"] as const)
  both(`strict: whatever a mirror port shows is in the log before (${on})`, async (t, threads) => {
    const s = await liveSwitch(t, { threads }, { on, sizeBytes: 64 << 20 });
    s.engine.setRules([rule("")], "[]");
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 1024 })];
    const m = openMirror(s, "vale0:m", { ports: ["vale0:a"] });
    for (let round = 0; round < 5; round++) {
      await a.sendAll(Array.from({ length: 100 }, (_, i) => frame(0, 1, `${round} ${i}`)));
      await until(() => m.pending > 0, "mirrored frames");
      const seen = texts(m);
      const logged = new Set((await s.logged()).map((f) => f.text));
      t.deepEqual(
        seen.filter((text) => !logged.has(text)),
        [],
        "seen, and not durable",
      );
      b.receive(4096);
    }
    await s.settled();
    t.is((await s.logged()).length, 500);
    for (const record of await s.logged()) t.is(record.reserved, 1, "the mirror's copy is in no record");
    sumsHold(t, s.engine.stats());
  });

test("ports and mirrors come and go while traffic flows: sums stay exact, a new port is heard", async (t) => {
  const s = await liveSwitch(t, { threads: 2 });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  for (let round = 0; round < 10; round++) {
    const m = openMirror(s, `vale0:m${round}`, { ports: ["vale0:*"] });
    const guest = s.open(`vale0:g${round}`);
    await a.sendAll(Array.from({ length: 50 }, (_, i) => frame(0, 1, `${round} ${i}`)));
    guest.send([frame(0, 2, "guest")]);
    await s.settled();
    await mirrored(s, `vale0:m${round}`, 51);
    const heard = texts(m);
    t.is(heard.filter((text) => text === "guest").length, 1);
    a.send([frame(0, 1, "last words")]);
    m.close();
    guest.close();
    s.engine.detach(`vale0:m${round}`);
    b.receive(4096);
    a.receive(4096);
  }
  await s.settled();
  sumsHold(t, s.engine.stats());
});

both("random listeners and traffic: each mirror port gets each frame once, as a model says", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const names = ["a", "b", "c", "d"];
  let run = 0;
  const anyMirror = fc.record({
    ports: fc.subarray([0, 1, 2, 3], { minLength: 1 }),
    direction: fc.constantFrom({ in: true, out: false }, { in: false, out: true }, { in: true, out: true }),
  });
  const anySend = fc.record({ from: fc.nat(3), to: fc.nat(4) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyMirror, { minLength: 1, maxLength: 4 }),
      fc.array(anySend, { maxLength: 60 }),
      async (mirrors, sends) => {
        const home = `vale${run++}`;
        const ports = names.map((name) => s.open(`${home}:${name}`));
        const listeners = mirrors.map(({ ports: heard, direction }, i) =>
          openMirror(s, `${home}:m${i}`, { ports: heard.map((p) => `${home}:${names[p]}`), ...direction }),
        );
        // Every station is known first: from then on a unicast goes to one port, and only broadcast floods.
        for (const [i, port] of ports.entries()) port.send([frame(0, i + 1, "hello")]);
        await s.settled();
        for (const i of mirrors.keys()) await mirrored(s, `${home}:m${i}`, 4 - missedHellos(mirrors[i]!));
        for (const port of [...ports, ...listeners]) port.receive(4096);
        const before = mirrors.map((_, i) => countersOf(s, `${home}:m${i}`).intendedCopies);
        const expected = mirrors.map((): string[] => []);
        for (const [n, { from, to }] of sends.entries()) {
          ports[from]!.send([frame(to, from + 1, `${n}`)]);
          const reached = to === 0 ? [0, 1, 2, 3].filter((p) => p !== from) : to - 1 === from ? [] : [to - 1];
          for (const [i, { ports: heard, direction }] of mirrors.entries())
            if ((direction.in && heard.includes(from)) || (direction.out && reached.some((p) => heard.includes(p))))
              expected[i]!.push(`${n}`);
        }
        await s.settled();
        for (const [i, listener] of listeners.entries()) {
          await mirrored(s, `${home}:m${i}`, before[i]! + expected[i]!.length);
          t.deepEqual(texts(listener).sort(), expected[i]!.sort(), `${home}:m${i}`);
          t.is(countersOf(s, `${home}:m${i}`).intendedCopies, before[i]! + expected[i]!.length);
          t.is(refusedOf(s, `${home}:m${i}`), 0);
        }
        sumsHold(t, s.engine.stats());
        for (const port of [...ports, ...listeners]) port.close();
        for (const i of mirrors.keys()) s.engine.detach(`${home}:m${i}`);
        await until(() => s.engine.stats().ports.length === 0, "all gone");
      },
    ),
    { numRuns: 20, endOnFailure: true },
  );
});

/** Of four broadcasts, one from each port: how many a mirror port does not hear. */
function missedHellos({ ports, direction }: { ports: number[]; direction: { in: boolean; out: boolean } }): number {
  return [0, 1, 2, 3].filter(
    (from) => !(direction.in && ports.includes(from)) && !(direction.out && ports.some((p) => p !== from)),
  ).length;
}

test("random load on rings that are too small, with mirrors and VLANs: every sum is exact", async (t) => {
  for (const threads of [1, 2]) {
    const s = await liveSwitch(t, { threads }, { on: "memory", sizeBytes: 64 << 20 });
    s.engine.setRules([rule("")], "[]");
    for (const [name, vid] of [
      ["a", 5],
      ["b", 5],
      ["c", 6],
    ] as const)
      s.engine.attach(`vale0:${name}`, "", { vlan: { policy: "access", vid } });
    s.engine.attach("vale0:d", "", { vlan: { policy: "trunk", vid: 6, allowed: [5] } });
    const ports = ["a", "b", "c", "d"].map((name, i) => s.open(`vale0:${name}`, { slots: 16 << i }));
    const listeners = [16, 512].map((slots, i) => openMirror(s, `vale0:m${i}`, { ports: ["vale0:*"] }, { slots }));
    const got = [...ports, ...listeners].map(() => 0);
    const drain = (i: number) => {
      got[i]! += [...ports, ...listeners][i]!.receive(4096).length;
    };
    let sent = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ from: fc.nat(3), to: fc.nat(5), count: fc.nat(60), reader: fc.nat(5) }), { maxLength: 8 }),
        async (bursts) => {
          for (const { from, to, count, reader } of bursts) {
            const frames = Array.from({ length: count }, () => frame(to, from + 1, `${sent++}`, sent % 3 ? 60 : 3000));
            await ports[from]!.sendAll(frames);
            drain(reader);
          }
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
    await s.settled();
    const count = (name: string) => countersOf(s, name);
    await until(() => {
      const { intendedCopies, deliveredCopies } = count("vale0:m1");
      return intendedCopies === sent && deliveredCopies + refusedOf(s, "vale0:m1") === sent;
    }, "each frame once for the mirror port");
    for (const i of got.keys()) drain(i);
    const names = ["a", "b", "c", "d", "m0", "m1"].map((name) => `vale0:${name}`);
    t.deepEqual(
      got,
      names.map((name) => count(name).deliveredCopies),
      "received what was delivered",
    );
    sumsHold(t, s.engine.stats());
    t.is((await s.logged()).length, sent);
  }
});

for (const [what, mirror, message] of [
  ["itself", { ports: ["vale0:m"], in: true, out: true }, /cannot mirror itself/],
  ["another switch", { ports: ["vale1:a"], in: true, out: true }, /vale1:a is a port of another switch/],
  ["no direction", { ports: ["vale0:a"], in: false, out: false }, /needs a direction/],
] as const)
  test(`refused with a message: ${what}`, async (t) => {
    const s = await liveSwitch(t);
    t.throws(() => s.engine.attach("vale0:m", "", { mirror }), { message });
    const vlan = { policy: "access", vid: 1 } as const;
    t.throws(() => s.engine.attach("vale0:m", "", { vlan, mirror: { ports: ["vale0:a"], in: true, out: true } }), {
      message: /has no VLANs/,
    });
  });

test("64 mirror ports are attached, one more is refused; when one goes, there is room again", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  const all = Array.from({ length: 64 }, (_, i) => openMirror(s, `vale0:m${i}`, { ports: ["vale0:a"] }, { slots: 16 }));
  s.engine.attach("vale0:more", "", { mirror: { ports: ["vale0:a"], in: true, out: true } });
  t.throws(() => s.open("vale0:more"), { message: /no room for another mirror port: 64 are in use/ });
  a.send([frame(0, 1, "to all of them")]);
  await s.settled();
  t.deepEqual(
    all.map((m) => texts(m)),
    all.map(() => ["to all of them"]),
  );
  all[10]!.close();
  await until(
    () => s.engine.stats().ports.some((p) => p.name === "vale0:m10" && p.state.startsWith("waiting")),
    "gone",
  );
  s.open("vale0:more");
  t.pass();
});
