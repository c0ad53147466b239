// VLANs against a small model of 802.1Q forwarding: who gets a frame, and what it looks like when it leaves.
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import type { NativePortOptions } from "../../native/engine.js";
import type { PortClient } from "../../native/port-client.js";
import { type LiveSwitch, liveSwitch, rule, sumsHold, until } from "../support/live-switch.js";

type Vlan = NonNullable<NativePortOptions["vlan"]>;
type Outcome = "forwarded" | "vlan_ingress" | "vlan_egress" | "hairpin" | "no_destination";

const access = (vid: number): Vlan => ({ policy: "access", vid });
const trunk = (native: number, allowed?: number[]): Vlan => ({
  policy: "trunk",
  vid: native,
  ...(allowed && { allowed }),
});
const transparent: Vlan = { policy: "transparent", vid: 0 };

interface Tag {
  tpid: number;
  tci: number;
}
const dot1q = (vid: number, priority = 0): Tag => ({ tpid: 0x8100, tci: (priority << 12) | vid });
const service = (vid: number): Tag => ({ tpid: 0x88a8, tci: vid });

/** Stations are small numbers; 0 as a target is broadcast. */
function frameOf(to: number, from: number, tags: readonly Tag[], text: string, bytes = 0): Buffer {
  const head = Buffer.alloc(12 + 4 * tags.length + 2);
  head.writeUIntBE(to === 0 ? 0xffffffffffff : 0x020000000000 + to, 0, 6);
  head.writeUIntBE(0x020000000000 + from, 6, 6);
  tags.forEach((tag, i) => {
    head.writeUInt16BE(tag.tpid, 12 + 4 * i);
    head.writeUInt16BE(tag.tci, 14 + 4 * i);
  });
  head.writeUInt16BE(0x88b5, head.length - 2);
  const payload = Buffer.alloc(Math.max(bytes - head.length, 46, text.length));
  payload.write(text, "latin1");
  return Buffer.concat([head, payload]);
}

const vidOf = (tag: Tag) => tag.tci & 0xfff;

/** 802.1Q as this switch means it, one frame at a time. */
class Model {
  readonly #table = new Map<string, number>();
  constructor(readonly ports: readonly Vlan[]) {}

  #allows(port: number, vlan: number): boolean {
    const { policy, vid, allowed } = this.ports[port]!;
    if (policy === "transparent") return true;
    if (policy === "access") return vlan === vid;
    return vlan >= 1 && vlan <= 4094 && (allowed === undefined || allowed.includes(vlan) || vlan === vid);
  }

  #leaving(port: number, vlan: number, tags: readonly Tag[]): readonly Tag[] {
    const { policy, vid } = this.ports[port]!;
    const first = tags[0];
    const own = first?.tpid === 0x8100 ? first : undefined;
    if (policy === "transparent") return tags;
    const rest = own ? tags.slice(1) : tags;
    if (policy === "access" || vlan === vid) return rest;
    return [{ tpid: 0x8100, tci: ((own?.tci ?? 0) & 0xf000) | vlan }, ...rest];
  }

  /** The copies, by port, and what became of the frame. */
  forward(
    from: number,
    to: number,
    source: number,
    tags: readonly Tag[],
  ): { copies: Map<number, readonly Tag[]>; outcome: Outcome } {
    const none = new Map<number, readonly Tag[]>();
    const { policy, vid } = this.ports[from]!;
    const first = tags[0];
    const aware = policy !== "transparent";
    let vlan = first?.tpid === 0x8100 ? vidOf(first) : 0;
    if (vlan === 0 && aware) vlan = vid;
    if (aware && !this.#allows(from, vlan)) return { copies: none, outcome: "vlan_ingress" };
    const fid = aware ? vlan : first ? vidOf(first) : 0;
    this.#table.set(`${fid} ${source}`, from);
    const known = to === 0 ? undefined : this.#table.get(`${fid} ${to}`);
    if (known === from) return { copies: none, outcome: "hairpin" };
    if (known !== undefined && !this.#allows(known, vlan)) return { copies: none, outcome: "vlan_egress" };
    const targets =
      known !== undefined ? [known] : [...this.ports.keys()].filter((p) => p !== from && this.#allows(p, vlan));
    const copies = new Map([...targets].map((port) => [port, this.#leaving(port, vlan, tags)]));
    return { copies, outcome: copies.size > 0 ? "forwarded" : "no_destination" };
  }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `p${i}`);

function openPorts(s: LiveSwitch, vlans: readonly Vlan[], home = "vale0"): PortClient[] {
  return names(vlans.length).map((name, i) => {
    s.engine.attach(`${home}:${name}`, "", { vlan: vlans[i]! });
    return s.open(`${home}:${name}`, { slots: 1024 });
  });
}

const countersOf = (s: LiveSwitch, name: string) => {
  const port = s.engine.stats().ports.find((p) => p.name === name);
  if (!port) throw new Error(`no port ${name}`);
  return port.counters;
};

const both = (title: string, run: (t: ExecutionContext, threads: number) => Promise<void>) => {
  for (const threads of [1, 2]) test(`${title} (${threads} threads)`, (t) => run(t, threads));
};

// Few VLANs and few stations, so that frames meet; and the ids at the edges.
const vid = fc.constantFrom(1, 2, 3, 4094);
const anyVlan: fc.Arbitrary<Vlan> = fc.oneof(
  fc.constant(transparent),
  vid.map(access),
  fc
    .tuple(fc.constantFrom(0, 1, 2), fc.option(fc.uniqueArray(vid)))
    .map(([native, allowed]) => trunk(native, allowed ?? undefined)),
);
const anyTags = fc.array(
  fc.record({
    tpid: fc.constantFrom(0x8100, 0x8100, 0x8100, 0x88a8),
    tci: fc.tuple(fc.nat(15), fc.constantFrom(0, 1, 2, 3, 4094, 4095)).map(([priority, id]) => (priority << 12) | id),
  }),
  { maxLength: 2 },
);
const anyFrame = fc.record({
  to: fc.nat(6),
  source: fc.integer({ min: 1, max: 6 }),
  tags: anyTags,
  bytes: fc.constantFrom(0, 2046, 2050),
});
const anyBurst = fc.record({ from: fc.nat(4), frames: fc.array(anyFrame, { minLength: 1, maxLength: 8 }) });

both(
  "random VLANs and frames: copies, tags and outcomes are the model's, and the sums are exact",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyVlan, { minLength: 5, maxLength: 5 }),
        fc.array(anyBurst, { minLength: 1, maxLength: 12 }),
        async (vlans, bursts) => {
          const home = `vale${run++}`;
          const ports = openPorts(s, vlans, home);
          const model = new Model(vlans);
          const expected = ports.map((): Buffer[] => []);
          const outcomes: Record<string, number> = {};
          for (const [n, { from, frames }] of bursts.entries()) {
            const text = (i: number) => `${n} ${i}`;
            ports[from]!.send(frames.map((f, i) => frameOf(f.to, f.source, f.tags, text(i), f.bytes)));
            // Burst by burst: the order of frames of different ports is nobody's promise.
            await s.settled();
            for (const [i, f] of frames.entries()) {
              const { copies, outcome } = model.forward(from, f.to, f.source, f.tags);
              for (const [port, tags] of copies) expected[port]!.push(reshaped(f, tags, text(i)));
              const key = `p${from} ${outcome}`;
              outcomes[key] = (outcomes[key] ?? 0) + 1;
            }
          }
          for (const [i, port] of ports.entries()) t.deepEqual(port.receive(4096), expected[i], `${home}:p${i}`);
          for (const [i, name] of names(5).entries()) {
            const counters = countersOf(s, `${home}:${name}`);
            for (const reason of ["vlan_ingress", "vlan_egress", "hairpin", "no_destination"])
              t.is(counters.dropped[reason], outcomes[`p${i} ${reason}`] ?? 0, `${name}: ${reason}`);
            t.is(counters.forwardedFrames, outcomes[`p${i} forwarded`] ?? 0, `${name}: forwarded`);
          }
          sumsHold(t, s.engine.stats());
          for (const [i, port] of ports.entries()) {
            port.close();
            s.engine.detach(`${home}:p${i}`);
          }
        },
      ),
      { numRuns: 40, endOnFailure: true },
    );
  },
);

/** The same payload behind other tags. */
function reshaped(
  f: { to: number; source: number; tags: readonly Tag[]; bytes: number },
  tags: readonly Tag[],
  text: string,
) {
  const payload = frameOf(f.to, f.source, f.tags, text, f.bytes).subarray(14 + 4 * f.tags.length);
  const head = frameOf(f.to, f.source, tags, "").subarray(0, 14 + 4 * tags.length);
  return Buffer.concat([head, payload]);
}

both("tags are logged as they came, whatever leaves; rules see where a VLAN really reaches", async (t, threads) => {
  const s = await liveSwitch(t, { threads }, { on: "memory" });
  const ports = openPorts(s, [access(5), trunk(0), access(5), access(6)]);
  s.engine.setRules([rule("", { name: "to p3", outPorts: ["vale0:p3"] }), rule("", { name: "rest" })], "[]");
  ports[0]!.send([frameOf(0, 1, [], "untagged")]);
  await s.settled();
  ports[1]!.send([frameOf(0, 2, [dot1q(5, 7)], "tagged"), frameOf(0, 2, [dot1q(6)], "six")]);
  await s.settled();
  t.deepEqual(ports[1]!.receive(), [frameOf(0, 1, [dot1q(5)], "untagged")]);
  t.deepEqual(ports[2]!.receive(), [frameOf(0, 1, [], "untagged"), frameOf(0, 2, [], "tagged")]);
  t.deepEqual(ports[3]!.receive(), [frameOf(0, 2, [], "six")]);
  const logged = await s.logged();
  t.deepEqual(
    logged.map((f) => [f.vlanTci, f.length, f.rule, f.reserved]),
    [
      [undefined, 60, "rest", 2],
      [0x7005, 64, "rest", 2],
      [6, 64, "to p3", 1],
    ],
  );
});

both("one address in two VLANs is two stations: each is reached in its own", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const ports = openPorts(s, [access(10), access(20), trunk(0, [10, 20])]);
  ports[0]!.send([frameOf(0, 7, [], "ten")]);
  ports[1]!.send([frameOf(0, 7, [], "twenty")]);
  await s.settled();
  ports[2]!.receive();
  ports[2]!.send([frameOf(7, 1, [dot1q(10)], "to ten"), frameOf(7, 1, [dot1q(20)], "to twenty")]);
  await s.settled();
  t.deepEqual(ports[0]!.receive(), [frameOf(7, 1, [], "to ten")]);
  t.deepEqual(ports[1]!.receive(), [frameOf(7, 1, [], "to twenty")]);
  const stations = s.engine.macList("vale0").filter((m) => m.mac === "02:00:00:00:00:07");
  t.deepEqual(stations.map((m) => [m.fid, m.port]).sort(), [
    [10, "vale0:p0"],
    [20, "vale0:p1"],
  ]);
});

both(
  "a static address behind a port that its VLAN does not reach: vlan_egress, and it is in the log",
  async (t, threads) => {
    const s = await liveSwitch(t, { threads }, { on: "memory" });
    s.engine.setRules([rule("")], "[]");
    const ports = openPorts(s, [access(10), access(20)]);
    s.engine.macAdd("vale0", "02:00:00:00:00:09", 10, "vale0:p1");
    ports[0]!.send([frameOf(9, 1, [], "astray")]);
    await s.settled();
    t.deepEqual(ports[1]!.receive(), []);
    t.is(countersOf(s, "vale0:p0").dropped.vlan_egress, 1);
    t.is((await s.logged())[0]?.outcome, "vlan_egress");
    sumsHold(t, s.engine.stats());
  },
);

both("a tag may make a frame too long for its port, and one buffer longer for its ring", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  const ports = openPorts(s, [access(10), trunk(0)]);
  ports[0]!.send([2044, 2045, 9212, 9213].map((bytes, i) => frameOf(0, 1, [], `${i}`, bytes)));
  await s.settled();
  t.deepEqual(
    ports[1]!.receive().map((f) => f.length),
    [2048, 2049, 9216],
  );
  t.is(countersOf(s, "vale0:p1").refused.oversize, 1);
  t.is(countersOf(s, "vale0:p1").deliveredBytes, 2048 + 2049 + 9216);
  t.is(countersOf(s, "vale0:p0").dropped.destination_oversize, 1);
  ports[1]!.send([frameOf(0, 2, [dot1q(10)], "", 9216)]);
  await s.settled();
  t.deepEqual(
    ports[0]!.receive().map((f) => f.length),
    [9212],
  );
  sumsHold(t, s.engine.stats());
});

both("a ring of 16 slots takes as many grown frames as it has room for", async (t, threads) => {
  const s = await liveSwitch(t, { threads });
  s.engine.attach("vale0:p0", "", { vlan: access(10) });
  s.engine.attach("vale0:p1", "", { vlan: trunk(0) });
  const [a, b] = [s.open("vale0:p0"), s.open("vale0:p1", { slots: 16 })];
  a.send(Array.from({ length: 10 }, (_, i) => frameOf(0, 1, [], `${i}`, 2048)));
  await s.settled();
  t.is(b.receive().length, 7, "15 slots, two for each frame");
  t.is(countersOf(s, "vale0:p1").refused.full, 3);
  sumsHold(t, s.engine.stats());
});

test("a tag that the frame's end cuts off is payload", async (t) => {
  const s = await liveSwitch(t);
  const ports = openPorts(s, [access(10), access(10), trunk(0)]);
  const cut = frameOf(0, 1, [dot1q(99)], "").subarray(0, 17);
  ports[0]!.send([cut]);
  await s.settled();
  t.deepEqual(ports[1]!.receive(), [cut]);
  t.deepEqual(ports[2]!.receive(), [
    Buffer.concat([cut.subarray(0, 12), Buffer.from([0x81, 0, 0, 10]), cut.subarray(12)]),
  ]);
});

test("QinQ: payload for access and trunk ports, unchanged between transparent ones", async (t) => {
  const s = await liveSwitch(t);
  const ports = openPorts(s, [access(10), trunk(10), trunk(0), transparent, transparent]);
  const double = [service(200), dot1q(10)];
  ports[0]!.send([frameOf(0, 1, double, "from access")]);
  await s.settled();
  t.deepEqual(ports[1]!.receive(), [frameOf(0, 1, double, "from access")], "native, so without another tag");
  t.deepEqual(ports[2]!.receive(), [frameOf(0, 1, [dot1q(10), ...double], "from access")]);
  ports[3]!.send([frameOf(0, 2, double, "between")]);
  ports[2]!.send([frameOf(0, 3, double, "no native VLAN")]);
  await s.settled();
  for (const i of [0, 1, 2]) t.deepEqual(ports[i]!.receive(), [], `p${i}`);
  t.deepEqual(ports[4]!.receive(), [frameOf(0, 1, double, "from access"), frameOf(0, 2, double, "between")]);
  t.is(countersOf(s, "vale0:p2").dropped.vlan_ingress, 1);
});

test("options stay with a standing port: the client that comes back is in the same VLAN", async (t) => {
  const s = await liveSwitch(t);
  const [a, b] = openPorts(s, [access(10), access(20)]) as [PortClient, PortClient];
  b.close();
  await until(() => s.engine.stats().ports.some((p) => p.state === "waiting for its client"), "b gone");
  const again = s.open("vale0:p1");
  const other = s.open("vale0:other");
  a.send([frameOf(0, 1, [], "ten")]);
  await s.settled();
  t.deepEqual(again.receive(), []);
  t.deepEqual(other.receive(), [frameOf(0, 1, [], "ten")], "a port that nobody configured is transparent");
});

for (const [what, options, message] of [
  ["access without a VLAN", { vlan: access(0) }, /access VLAN 0 is not between 1 and 4094/],
  ["a reserved VLAN", { vlan: access(4095) }, /access VLAN 4095 is not between 1 and 4094/],
  ["a native VLAN that is none", { vlan: trunk(4095) }, /native VLAN 4095/],
  ["VLAN 0 among the allowed", { vlan: trunk(0, [0, 5]) }, /allowed VLANs are between 1 and 4094/],
  ["an id that is no number", { vlan: { policy: "access", vid: "x" } }, /vlan.vid is a VLAN id/],
  ["an unknown policy", { vlan: { policy: "hybrid", vid: 1 } }, /transparent, access or trunk, not "hybrid"/],
] as const)
  test(`refused with a message: ${what}`, async (t) => {
    const s = await liveSwitch(t);
    t.throws(() => s.engine.attach("vale0:a", "", options as unknown as NativePortOptions), { message });
  });
