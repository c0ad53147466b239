// What the rules select, how it is logged, and how a change of rules takes effect.
import test from "ava";
import fc from "fast-check";
import { asPasteError } from "../../native/engine.js";
import { frame, liveSwitch, rule, sumsHold } from "../support/live-switch.js";

const counted = (stats: ReturnType<Awaited<ReturnType<typeof liveSwitch>>["engine"]["stats"]>) =>
  Object.fromEntries(stats.rules.map((r) => [r.name, `${r.hits} hits, ${r.logged} logged`]));

test("the first rule that matches decides; skip keeps later rules from it", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.setRules(
    [
      rule("greater 200", { name: "long" }),
      rule("greater 100", { name: "not these", skip: true }),
      rule("", { name: "rest" }),
    ],
    "[]",
  );
  a.send([frame(0, 1, "short"), frame(0, 1, "middle", 150), frame(0, 1, "long", 300)]);
  await s.settled();
  const logged = await s.logged();
  t.deepEqual(
    logged.map((f) => [f.text, f.rule]),
    [
      ["short", "rest"],
      ["long", "long"],
    ],
  );
  t.deepEqual(counted(s.engine.stats()), {
    long: "1 hits, 1 logged",
    "not these": "1 hits, 0 logged",
    rest: "1 hits, 1 logged",
  });
  t.is(s.engine.stats().selected, 2);
  sumsHold(t, s.engine.stats());
});

test("a record tells where the frame came from, where it went, how many copies, and its VLAN", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c", { slots: 16 })];
  s.engine.setRules([rule("")], "[]");
  const tagged = frame(0, 2, "");
  tagged.writeUInt32BE(0x8100_6005, 12);
  b.send([frame(0, 2, "flooded"), tagged]);
  a.send([frame(0, 1, "from a")]);
  await s.settled();
  a.send([frame(2, 1, "one"), frame(1, 3, "hairpin")]);
  await s.settled();
  for (let i = 0; i < 20; i++) a.send([frame(0, 1, `${i}`)]);
  await s.settled();
  const logged = await s.logged();
  const shown = (text: string) => {
    const { ingress, egress, reserved, refused, outcome } = logged.find((f) => f.text === text) ?? logged[0]!;
    return `${ingress} -> ${egress} ${reserved}+${refused} ${outcome}`;
  };
  t.is(shown("flooded"), "vale0:b -> * 2+0 forwarded");
  t.is(shown("one"), "vale0:a -> vale0:b 1+0 forwarded");
  t.is(shown("hairpin"), "vale0:a ->  0+0 hairpin");
  t.is(shown("19"), "vale0:a -> * 1+1 forwarded");
  t.is(logged[1]?.vlanTci, 0x6005);
  t.is(logged[0]?.vlanTci, undefined);
  t.is(c.receive(100).length, 15);
  for (let i = 1; i < logged.length; i++)
    t.true(logged[i]!.timeNs >= logged[i - 1]!.timeNs, "time does not run backwards");
});

test("what no port took is logged with the reason for its drop", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
  s.engine.setRules([rule("")], "[]");
  await a.sendAll(Array.from({ length: 20 }, (_, i) => frame(0, 1, `${i}`)));
  await s.settled();
  const outcomes = (await s.logged()).map((f) => f.outcome);
  t.deepEqual(outcomes.slice(0, 15), Array(15).fill("forwarded"));
  t.deepEqual(outcomes.slice(15), Array(5).fill("destination_full"));
});

test("ports by name and glob, in and out; a flood matches the out ports that it reaches", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:cc")];
  s.engine.setRules(
    [
      rule("", { name: "from a to b", inPorts: ["vale0:a"], outPorts: ["vale0:b"] }),
      rule("", { name: "from c*", inPorts: ["vale0:c*"] }),
      rule("", { name: "to ?", outPorts: ["vale0:?"] }),
    ],
    "[]",
  );
  a.send([frame(0, 1, "a floods")]);
  await s.settled();
  b.send([frame(0, 2, "b floods")]);
  await s.settled();
  c.send([frame(0, 3, "c floods")]);
  await s.settled();
  b.send([frame(3, 2, "b to c: nobody's")]);
  a.send([frame(3, 1, "a to c: nobody's")]);
  await s.settled();
  a.send([frame(2, 1, "a to b")]);
  await s.settled();
  t.deepEqual(
    (await s.logged()).map((f) => `${f.text}: ${f.rule}`),
    ["a floods: from a to b", "b floods: to ?", "c floods: from c*", "a to b: from a to b"],
  );
});

test("a port that comes later belongs to the rules that name it", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("", { inPorts: ["vale0:late"] })], "[]");
  const a = s.open("vale0:a");
  a.send([frame(0, 1, "early")]);
  await s.settled();
  s.open("vale0:late").send([frame(0, 2, "late")]);
  await s.settled();
  t.deepEqual(
    (await s.logged()).map((f) => f.text),
    ["late"],
  );
});

test("snaplen cuts what is kept and leaves the wire length; sample keeps one frame in N and counts the others", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.setRules([rule("", { snaplen: 20, sample: 4 })], "[]");
  await a.sendAll(Array.from({ length: 100 }, (_, i) => frame(0, 1, `${i}`, 90)));
  await s.settled();
  const logged = await s.logged();
  t.deepEqual(
    logged.map((f) => f.text),
    Array.from({ length: 25 }, (_, i) => `${i * 4}`),
  );
  t.true(logged.every((f) => f.length === 20 && f.wireLength === 90));
  t.is(s.engine.stats().notLogged.sampled_out, 75);
  t.is(b.receive(200).length, 100);
  sumsHold(t, s.engine.stats());
});

test("durability is the rule's, else the engine's", async (t) => {
  const s = await liveSwitch(t, { durability: "relaxed" }, { on: "memory" });
  const [a] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.setRules([rule("greater 100", { durability: "strict" }), rule("")], "[]");
  a.send([frame(0, 1, "short"), frame(0, 1, "long", 200)]);
  await s.settled();
  t.deepEqual(
    (await s.logged()).map((f) => [f.text, f.strict]),
    [
      ["short", false],
      ["long", true],
    ],
  );
});

test("without a store, what a rule selects is counted as not logged", async (t) => {
  const s = await liveSwitch(t);
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.setRules([rule("")], "[]");
  a.send([frame(0, 1, "x")]);
  await s.settled();
  t.is(b.receive().length, 1);
  t.is(s.engine.stats().notLogged.no_store, 1);
  sumsHold(t, s.engine.stats());
});

test("rules change while traffic flows: every frame is logged by the old ones or the new ones, none is lost", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 4096 })];
  s.engine.setRules([rule("", { name: "r0" })], "[]");
  for (let change = 1; change <= 20; change++) {
    const burst = Array.from({ length: 100 }, (_, i) => frame(0, 1, `${change} ${i}`));
    await a.sendAll(burst.slice(0, 50));
    s.engine.setRules([rule("", { name: `r${change}` })], "[]");
    await a.sendAll(burst.slice(50));
  }
  await s.settled();
  const logged = await s.logged();
  t.is(logged.length, 2000);
  t.deepEqual(b.receive(4096).length, 2000);
  t.deepEqual(
    logged.map((f) => Number(f.rule.slice(1))),
    logged.map((f) => Number(f.rule.slice(1))).sort((x, y) => x - y),
  );
  t.is(s.engine.stats().ruleSet, 21);
});

test("a rule that keeps its name keeps its counts", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a] = [s.open("vale0:a"), s.open("vale0:b")];
  for (let i = 1; i <= 3; i++) {
    s.engine.setRules([rule("", { name: "same" })], "[]");
    a.send([frame(0, 1, "x")]);
    await s.settled();
    t.is(s.engine.stats().rules[0]?.hits, i);
  }
});

for (const [what, specs, message] of [
  ["a program that is not whole", [rule("", { program: new Uint8Array(9) })], /not made of 8-byte instructions/],
  ["a program that jumps out", [rule("", { program: Uint8Array.of(0x15, 0, 9, 9, 0, 0, 0, 0) })], /rule 1/],
  ["an empty program", [rule("", { program: new Uint8Array(0) })], /rule 1/],
  ["sample 0", [rule("", { sample: 0 })], /sample 0/],
  ["snaplen 0", [rule("", { snaplen: 0 })], /snaplen 0/],
  ["too many rules", Array.from({ length: 257 }, () => rule("")), /at most 256/],
] as const)
  test(`${what} is refused and the old rules stay`, async (t) => {
    const s = await liveSwitch(t);
    s.engine.setRules([rule("ip")], "[]");
    const error = t.throws(() => s.engine.setRules([...specs], "[]"));
    t.regex(error?.message ?? "", message);
    t.is((asPasteError(error) as { code: string }).code, "USAGE");
    t.deepEqual(
      s.engine.stats().rules.map((r) => r.name),
      ["ip"],
    );
  });

test("both directions of a flow have one hash, other flows another; what is not IP has none", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory" });
  const [a] = [s.open("vale0:a"), s.open("vale0:b")];
  s.engine.setRules([rule("")], "[]");
  const udp = (from: number, to: number, fromPort: number, toPort: number, vlan = false) => {
    const head = vlan ? "81000005" : "";
    const ip = Buffer.from(`${head}08004500002800000000401100000a0000000a0000000000000000080000`, "hex");
    const at = vlan ? 4 : 0;
    ip[at + 2 + 15] = from;
    ip[at + 2 + 19] = to;
    ip.writeUInt16BE(fromPort, at + 22);
    ip.writeUInt16BE(toPort, at + 24);
    return Buffer.concat([frame(0, 1).subarray(0, 12), ip, Buffer.alloc(30)]);
  };
  a.send([udp(1, 2, 53, 999), udp(2, 1, 999, 53), udp(1, 2, 53, 999, true), udp(1, 3, 53, 999), udp(1, 2, 54, 999)]);
  a.send([frame(0, 1, "not IP")]);
  await s.settled();
  const hashes = (await s.logged()).map((f) => f.flowHash);
  t.is(hashes[0], hashes[1]);
  t.is(hashes[0], hashes[2], "a tag does not change the flow");
  t.is(new Set([hashes[0], hashes[3], hashes[4]]).size, 3);
  t.not(hashes[0], 0);
  t.is(hashes[5], 0);
});

test("random rules on random frames: what is logged is what the model says", async (t) => {
  const s = await liveSwitch(t, {}, { on: "memory", sizeBytes: 32 << 20 });
  const names = ["a", "b", "c"];
  const ports = names.map((name) => s.open(`vale0:${name}`, { slots: 2048 }));
  for (const [i, port] of ports.entries()) {
    port.send([frame(0, i + 1)]);
    await s.settled();
  }
  const ruleOf = fc.record({
    least: fc.constantFrom(0, 100, 150, 250),
    inPorts: fc.subarray(names),
    outPorts: fc.subarray(names),
    skip: fc.boolean(),
  });
  const sent = fc.record({ to: fc.integer({ min: 0, max: 3 }), bytes: fc.integer({ min: 60, max: 300 }) });
  let before = (await s.logged()).length;
  await fc.assert(
    fc.asyncProperty(
      fc.array(ruleOf, { maxLength: 4 }),
      fc.integer({ min: 0, max: 2 }),
      fc.array(sent, { maxLength: 20 }),
      async (rules, from, frames) => {
        const full = (list: string[]) => list.map((name) => `vale0:${name}`);
        s.engine.setRules(
          rules.map((r, i) =>
            rule(`greater ${r.least}`, {
              name: `${i}`,
              inPorts: full(r.inPorts),
              outPorts: full(r.outPorts),
              skip: r.skip,
            }),
          ),
          "[]",
        );
        await ports[from]?.sendAll(frames.map((f, i) => frame(f.to, from + 1, `${i}`, f.bytes)));
        await s.settled();
        const expected: string[] = [];
        for (const [i, f] of frames.entries()) {
          const out = f.to === 0 ? names.filter((_, p) => p !== from) : f.to - 1 === from ? [] : [names[f.to - 1]!];
          const match = rules.findIndex(
            (r) =>
              f.bytes >= r.least &&
              (r.inPorts.length === 0 || r.inPorts.includes(names[from]!)) &&
              (r.outPorts.length === 0 || r.outPorts.some((p) => out.includes(p))),
          );
          if (match >= 0 && !rules[match]!.skip) expected.push(`${i}: ${match}`);
        }
        const logged = (await s.logged()).slice(before);
        before += logged.length;
        t.deepEqual(
          logged.map((f) => `${f.text}: ${f.rule}`),
          expected,
        );
        for (const port of ports) port.receive(4096);
      },
    ),
    { numRuns: 40 },
  );
  sumsHold(t, s.engine.stats());
});
