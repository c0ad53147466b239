// Ports of all kinds that come, go and flap at random under traffic, while rules change and a client writes rubbish: every sum is
// exact, and the store verifies.
import { setTimeout } from "node:timers/promises";
import test from "ava";
import { Random } from "../../logger/traffic/random.js";
import { asPasteError, type NativePortOptions } from "../../native/engine.js";
import type { PortClient } from "../../native/port-client.js";
import { runCli } from "../cli/run-cli.js";
import { type LiveSwitch, liveSwitch, rule, sumsHold, until } from "../support/live-switch.js";
import { type Namespace, namespaces } from "../support/namespaces.js";
import { flags, NetmapUser } from "../support/netmap-user.js";

const steps = 150;
const seed = Number(process.env.PASTE_SEED ?? 20261122);
const lengths = [14, 18, 60, 128, 1514, 2000, 9000];

/** Some with a tag, some to everybody, from few addresses behind changing ports. */
function frame(random: Random): Buffer {
  const bytes = Buffer.alloc(lengths[random.below(lengths.length)]!, random.below(256));
  bytes.writeUIntBE(random.below(6) === 0 ? 0xffffffffffff : 0x020000000000 + random.below(9), 0, 6);
  bytes.writeUIntBE(0x020000000000 + random.below(9), 6, 6);
  const tagged = bytes.length >= 18 && random.below(3) === 0;
  bytes.writeUInt16BE(tagged ? 0x8100 : 0x88b5, 12);
  if (tagged) bytes.writeUInt16BE(random.below(8), 14);
  return bytes;
}

/** What may happen between two bursts; each picks what it happens to, and may find nothing. */
class Changes {
  readonly clients = new Map<string, PortClient>();
  readonly devices = new Set<string>();
  readonly users: NetmapUser[] = [];

  constructor(
    readonly s: LiveSwitch,
    readonly space: Namespace,
    readonly random: Random,
  ) {
    for (const i of [0, 1]) this.plug(i);
  }

  next(): void {
    const all = [
      this.open,
      this.close,
      this.detach,
      this.attach,
      this.remove,
      this.flap,
      this.unplug,
      this.rules,
      this.user,
      this.rubbish,
    ];
    all[this.random.below(all.length)]!.call(this);
  }
  pick<T>(from: Iterable<T>): T | undefined {
    const all = [...from];
    return all[this.random.below(Math.max(all.length, 1))];
  }
  vlan(): NativePortOptions {
    const kinds = [
      {},
      {},
      { policy: "access", vid: 1 + this.random.below(7) },
      { policy: "trunk", vid: this.random.below(8) },
    ];
    const vlan = kinds[this.random.below(kinds.length)]!;
    return "policy" in vlan ? ({ vlan } as NativePortOptions) : {};
  }

  plug(i: number): void {
    this.space.ip("link", "add", `near${i}`, "type", "veth", "peer", "name", `far${i}`);
    for (const end of ["near", "far"]) this.space.ip("link", "set", `${end}${i}`, "up");
  }
  unplug(): void {
    const i = this.random.below(2);
    this.space.ip("link", "delete", `near${i}`);
    this.plug(i);
  }
  flap(): void {
    const name = `near${this.random.below(2)}`;
    for (const state of ["down", "up"]) this.space.ip("link", "set", name, state);
  }

  open(): void {
    const name = `vale0:c${this.random.below(5)}`;
    if (!this.clients.has(name)) this.clients.set(name, this.s.open(name, { slots: 64 << this.random.below(4) }));
  }
  close(): void {
    const name = this.pick(this.clients.keys());
    if (name === undefined) return;
    this.clients.get(name)!.close();
    this.clients.delete(name);
  }
  detach(): void {
    const name = this.pick(this.clients.keys());
    if (name === undefined) return;
    this.s.engine.detach(name);
    this.clients.get(name)!.close();
    this.clients.delete(name);
  }

  /** A device may be another port's already. */
  attach(): void {
    const name = `vale0:d${this.random.below(4)}`;
    if (this.devices.has(name)) return;
    const place = `netns=${this.space.name}`;
    const i = this.random.below(2);
    const specs = [
      `tap:tap${i},${place}`,
      `tap:tap${i},offload=off,${place}`,
      `xdp:near${i},${place}`,
      `xdp:near${i},umem=dram,${place}`,
    ];
    const mirror = { ports: ["vale0:c*"], in: true, out: true };
    try {
      this.s.engine.attach(name, this.pick(specs)!, this.random.below(4) === 0 ? { mirror } : this.vlan());
      this.devices.add(name);
    } catch (error) {
      if ((asPasteError(error) as { code?: string }).code !== "PORT") throw error;
    }
  }
  remove(): void {
    const name = this.pick(this.devices);
    if (name === undefined) return;
    this.s.engine.detach(name);
    this.devices.delete(name);
  }

  rules(): void {
    const filter = ["", "vlan", "ether proto 0x88b5"][this.random.below(3)]!;
    this.s.engine.setRules(
      this.random.below(4) === 0
        ? []
        : [rule(filter, { durability: this.random.below(2) === 0 ? "strict" : "relaxed" })],
      "[]",
    );
  }

  user(): void {
    if (this.users.length > 2) {
      this.users.shift()!.close();
      return;
    }
    const monitor = this.pick(this.clients.keys());
    const user = new NetmapUser(this.s.socket);
    const fields = { txSlots: 64, rxSlots: 64, txRings: 2, rxRings: 2 };
    if (monitor !== undefined && this.random.below(2) === 0)
      user.open(monitor, { ...fields, registerFlags: flags.monitorRx | flags.monitorTx });
    else user.open(`vale0:u${this.random.below(1 << 30)}`, { ...fields, memId: this.random.below(2) });
    this.users.push(user);
  }
  /** Into slots and positions of a user's rings. */
  rubbish(): void {
    const ring = this.pick(this.users)?.tx[0];
    if (!ring?.bound) return;
    for (let i = 0; i < 30; i++)
      ring.user.putU32(ring.slotAt(0) + 4 * this.random.below(200), this.random.below(2 ** 30));
    ring.user.putU32(ring.sync, this.random.below(70));
    ring.user.raw.kick();
  }

  end(): void {
    for (const end of [...this.clients.values(), ...this.users]) end.close();
    for (const name of this.devices) this.s.engine.detach(name);
  }
}

for (const [on, threads] of [
  ["memory", 1],
  ["disk", 2],
] as const)
  test.serial(`ports of all kinds come, flap and go under traffic (${on}, threads: ${threads})`, async (t) => {
    const spaces = namespaces(t, "tun");
    if (!spaces) return;
    t.log(`seed ${seed}`);
    const random = new Random(seed);
    const s = await liveSwitch(t, { threads }, { on, sizeBytes: 64 << 20 });
    const changes = new Changes(s, spaces.make("changes"), random);
    let got = 0;
    for (let i = 0; i < steps; i++) {
      changes.next();
      for (const client of changes.clients.values()) {
        if (client.closed) continue;
        client.send(Array.from({ length: 1 + random.below(40) }, () => frame(random)));
        got += client.receive(512).length;
      }
      for (const user of changes.users) for (const ring of user.rx) if (ring.bound) user.putU32(ring.sync, ring.hwtail);
      await setTimeout(1);
    }
    changes.end();
    await s.settled();
    await until(() => s.engine.stats().ports.length === 0, "the last port to go");
    const stats = s.engine.stats();
    sumsHold(t, stats);
    t.true(got > 0 && stats.logged > 0);
    await s.engine.drain();
    const verified = await runCli(["store", "verify", s.storePath]);
    t.is(verified.status, 0, verified.stderr);
  });
