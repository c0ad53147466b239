// What a netmap program can ask for: modes, shared and exclusive ports, extra buffers, persistent ports, headers, memory ids, pipes
// and monitors, on the real switch, with netmap's errors.
import test, { type ExecutionContext } from "ava";
import type { EngineOptions } from "../../native/engine.js";
import {
  frame,
  type LiveSwitch,
  liveSwitch,
  rule,
  type StoreWanted,
  sumsHold,
  textOf,
  until,
} from "../support/live-switch.js";
import { flags, NetmapError, NetmapUser, reqtypes, slotFlags } from "../support/netmap-user.js";
import type { RequestFields } from "../support/ports-request.js";

const [EIO, ENXIO, ENOMEM, EBUSY, EEXIST, EINVAL] = [5, 6, 12, 16, 17, 22];

interface Bench {
  s: LiveSwitch;
  user(): NetmapUser;
  open(name: string, fields?: RequestFields, before?: NetmapUser): NetmapUser;
}
async function bench(t: ExecutionContext, ...how: [Partial<EngineOptions>?, StoreWanted?]): Promise<Bench> {
  const s = await liveSwitch(t, ...how);
  const users: NetmapUser[] = [];
  t.teardown(() => {
    for (const user of users) user.close();
  });
  const user = () => {
    const made = new NetmapUser(s.socket);
    users.push(made);
    return made;
  };
  return {
    s,
    user,
    open: (name, fields, before) => user().open(name, { txSlots: 64, rxSlots: 64, ...fields }, before),
  };
}
function refused(t: ExecutionContext, error: number, act: () => unknown): void {
  const thrown = t.throws(act, { instanceOf: NetmapError });
  t.is(thrown?.errno, error, thrown?.message);
}
const ports = (s: LiveSwitch) => s.engine.stats().ports.map((port) => port.name);
const goes = (s: LiveSwitch, name: string) => until(() => !ports(s).includes(name), `${name} to go`);
/** A body with 16- and 32-bit fields at their offsets. */
function body(bytes: number, fields: [offset: number, size: 2 | 4, value: number][]): Buffer {
  const made = Buffer.alloc(bytes);
  for (const [offset, size, value] of fields) made.writeUIntLE(value, offset, size);
  return made;
}

// --- configuration -------------------------------------------------------------------------------------------------------------

for (const [asked, given] of [
  [
    { txSlots: 0, rxSlots: 0, txRings: 0, rxRings: 0 },
    { slots: [1024, 1024], rings: [1, 1] },
  ],
  [
    { txSlots: 64, rxSlots: 128, txRings: 2, rxRings: 3 },
    { slots: [64, 128], rings: [2, 3] },
  ],
  [
    { txSlots: 1, rxSlots: 5000, txRings: 1, rxRings: 1 },
    { slots: [16, 4096], rings: [1, 1] },
  ],
  [
    { txSlots: 16, rxSlots: 16, txRings: 20, rxRings: 200 },
    { slots: [16, 16], rings: [16, 16] },
  ],
] as const)
  test(`asked for ${JSON.stringify(asked)}: clamped, and told`, async (t) => {
    const { open } = await bench(t);
    const a = open("vale0:a", asked);
    t.deepEqual([a.register.readUInt32LE(16), a.register.readUInt32LE(20)], [...given.slots]);
    t.deepEqual([a.register.readUInt16LE(24), a.register.readUInt16LE(26)], [...given.rings]);
    t.deepEqual([a.tx.length, a.rx.length], [...given.rings]);
    t.deepEqual([a.tx[0]!.slots, a.rx[0]!.slots], [...given.slots]);
    t.true(a.memId >= 2);
    const names = new Set([...a.tx, ...a.rx].map((ring) => ring.slot(0).buffer));
    t.is(names.size, a.tx.length + a.rx.length, "each ring has buffers of its own");
  });

test("a later open of a port gets what the port has, whatever it asks for", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a", { txRings: 2, rxRings: 2 });
  const again = open("vale0:a", { txRings: 4, txSlots: 512 });
  t.is(again.tx.length, 2);
  t.is(again.tx[0]!.slots, 64);
  t.is(again.memId, a.memId);
  t.not(again.interface, a.interface);
  t.is(again.tx[0]!.at, a.tx[0]!.at, "the same ring");
});

test("one ring, transmit only, receive only: what is not bound has no place in the interface", async (t) => {
  const { open } = await bench(t);
  const bound = (user: NetmapUser) => [user.tx.map((ring) => ring.bound), user.rx.map((ring) => ring.bound)];
  const rings = { txRings: 2, rxRings: 3 };
  t.deepEqual(bound(open("vale0:a", { ...rings, mode: 4, ringId: 1 })), [
    [false, true],
    [false, true, false],
  ]);
  t.deepEqual(bound(open("vale0:a", { mode: 4, ringId: 2 })), [
    [true, false],
    [false, false, true],
  ]);
  t.deepEqual(bound(open("vale0:b", { ...rings, registerFlags: flags.rxOnly })), [
    [false, false],
    [true, true, true],
  ]);
  t.deepEqual(bound(open("vale0:c", { ...rings, registerFlags: flags.txOnly })), [
    [true, true],
    [false, false, false],
  ]);
});

test("port info and pools info: of a port that is there, of one that is not, without a name", async (t) => {
  const { open, user } = await bench(t);
  const a = open("vale0:a", { txRings: 2 });
  const asker = user();
  const info = asker.ask({ reqtype: reqtypes.portInfo, name: "vale0:a" }, Buffer.alloc(32)).subarray(120);
  t.deepEqual(
    [info.readUInt32LE(8), info.readUInt32LE(12), info.readUInt16LE(16), info.readUInt16LE(18)],
    [64, 64, 2, 1],
  );
  t.is(info.readUInt16LE(24), a.memId);
  const other = asker.ask({ reqtype: reqtypes.portInfo, name: "vale0:zz" }, body(32, [[16, 2, 40]])).subarray(120);
  t.deepEqual([other.readUInt32LE(8), other.readUInt16LE(16)], [1024, 16]);
  const pools = asker.ask({ reqtype: reqtypes.poolsInfo, name: "vale0:a" }, Buffer.alloc(64)).subarray(120);
  t.is(Number(pools.readBigUInt64LE(0)), Number(a.register.readBigUInt64LE(8)), "memory size");
  t.is(pools.readUInt32LE(60), 2048, "buffer size");
  refused(t, EINVAL, () => asker.ask({ reqtype: reqtypes.poolsInfo, name: "" }, Buffer.alloc(64)));
  refused(t, ENXIO, () => asker.ask({ reqtype: reqtypes.portInfo, name: "eth0" }, Buffer.alloc(32)));
});

// --- exclusive and shared ------------------------------------------------------------------------------------------------------

for (const name of ["vale0:a", "v0", "vale0:a{1"])
  test(`exclusive ${name}: nobody else gets in, either way round, until it goes`, async (t) => {
    const { s, open, user } = await bench(t);
    if (name === "v0") user().ask({ reqtype: reqtypes.newIf, name }, Buffer.alloc(16));
    const exclusive = { registerFlags: flags.exclusive };
    const first = open(name, exclusive);
    refused(t, EBUSY, () => open(name));
    refused(t, EBUSY, () => open(name, exclusive));
    first.close();
    await until(() => {
      try {
        return open(name) !== undefined;
      } catch {
        return false;
      }
    }, "the port to be free");
    refused(t, EBUSY, () => open(name, exclusive));
    t.true(s.engine.stats().ports.length <= 1);
  });

test("exclusive is for the rings one has: two programs, a ring each", async (t) => {
  const { open } = await bench(t);
  const exclusive = { registerFlags: flags.exclusive, mode: 4, txRings: 2, rxRings: 2 };
  open("vale0:a", { ...exclusive, ringId: 0 });
  open("vale0:a", { ...exclusive, ringId: 1 });
  refused(t, EBUSY, () => open("vale0:a", { ...exclusive, ringId: 1 }));
});

test("two programs on one port: the port lives as long as one does, and both are rung", async (t) => {
  const { s, open } = await bench(t);
  const one = open("vale0:a");
  const two = open("vale0:a");
  const b = open("vale0:b");
  b.tx[0]!.send(frame(0, 1, "to both"));
  await until(() => one.rx[0]!.waiting === 1, "a frame in the shared ring");
  t.is(two.rx[0]!.waiting, 1);
  await until(() => one.raw.kicks() > 0, "the first one's bell");
  await until(() => two.raw.kicks() > 0, "the second one's bell");
  t.deepEqual(two.rx[0]!.receive().map(textOf), ["to both"]);
  one.close();
  two.tx[0]!.send(frame(1, 2, "still here"));
  await until(() => b.rx[0]!.waiting === 1, "a frame of the second program");
  t.true(ports(s).includes("vale0:a"));
  two.close();
  await goes(s, "vale0:a");
  sumsHold(t, s.engine.stats());
});

test("an operator detaches a port: all of its programs are told, and a persistent one can go back on its switch", async (t) => {
  const { s, open, user } = await bench(t);
  const users = [open("vale0:a"), open("vale0:a")];
  user().ask({ reqtype: reqtypes.newIf, name: "v0" }, Buffer.alloc(16));
  user().ask({ reqtype: reqtypes.valeAttach, name: "vale0:v0" }, Buffer.alloc(64));
  users.push(open("v0"));
  for (const name of ["vale0:a", "vale0:v0"]) s.engine.detach(name);
  for (const one of users) {
    const bye = one.raw.hear()!;
    t.deepEqual([bye.length, bye.readUInt16LE(6)], [272, 3]);
    t.is(one.raw.hear(), null);
  }
  t.deepEqual(ports(s), []);
  const again = open("vale0:a");
  const v0 = open("v0");
  user().ask({ reqtype: reqtypes.valeAttach, name: "vale0:v0" }, Buffer.alloc(64));
  v0.tx[0]!.send(frame(0, 1, "back"));
  await until(() => again.rx[0]!.waiting === 1, "a frame");
  t.deepEqual(again.rx[0]!.receive().map(textOf), ["back"]);
});

test("a program that breaks its doorbell hurts itself only: its neighbour on the port goes on", async (t) => {
  const { s, open } = await bench(t);
  const hostile = open("vale0:a");
  const honest = open("vale0:a");
  const b = open("vale0:b");
  hostile.raw.closeDoorbell();
  for (let i = 0; i < 20; i++) {
    honest.tx[0]!.send(frame(0, 1, `n=${i}`));
    await until(() => b.rx[0]!.waiting === 1, "a frame");
    t.deepEqual(b.rx[0]!.receive().map(textOf), [`n=${i}`]);
  }
  t.true(ports(s).includes("vale0:a"));
});

test("a port has room for 64 doorbells, whatever its programs ask for, and one that broke makes way", async (t) => {
  const { open } = await bench(t);
  const greedy = open("vale0:a");
  const another = () => greedy.ask({ reqtype: reqtypes.attachmentGet, name: "" });
  for (let i = 1; i < 64; i++) another();
  refused(t, ENOMEM, another);
  refused(t, ENOMEM, () => open("vale0:a"));
  greedy.raw.closeDoorbell();
  await until(() => {
    try {
      another();
      return true;
    } catch {
      return false;
    }
  }, "the broken one's place");
  refused(t, ENOMEM, another);
});

// --- rings -----------------------------------------------------------------------------------------------------------------------

test("several transmit rings: each in order, all of them served", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a", { txRings: 4 });
  const b = open("vale0:b", { rxSlots: 1024 });
  for (let i = 0; i < 50; i++) for (const [ring, tx] of a.tx.entries()) tx.send(frame(0, 1, `${ring} ${i}`));
  const got: string[] = [];
  await until(() => {
    got.push(...b.rx[0]!.receive().map(textOf));
    return got.length >= 200;
  }, "200 frames");
  for (let ring = 0; ring < 4; ring++)
    t.deepEqual(
      got.filter((text) => text.startsWith(`${ring} `)),
      [...Array(50).keys()].map((i) => `${ring} ${i}`),
    );
});

/** A UDP frame between two stations, told apart by its source port. */
function udp(to: number, from: number, port: number, text: string): Buffer {
  const bytes = frame(to, from, "", 80);
  bytes.writeUInt16BE(0x0800, 12);
  bytes[14] = 0x45;
  bytes[23] = 17;
  bytes.writeUInt32BE(0x0a000001, 26);
  bytes.writeUInt32BE(0x0a000002, 30);
  bytes.writeUInt16BE(port, 34);
  bytes.writeUInt16BE(9, 36);
  bytes.write(text, 42);
  return bytes;
}

test("several receive rings: a flow stays in one ring and in order, flows spread, groups go to the first", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { txSlots: 1024 });
  const b = open("vale0:b", { rxRings: 4, rxSlots: 256 });
  b.tx[0]!.send(frame(1, 2, "learn me"));
  await until(() => a.rx[0]!.waiting === 1, "a to hear b");
  for (let i = 0; i < 10; i++)
    for (let flow = 0; flow < 32; flow++) a.tx[0]!.send(udp(2, 1, 1000 + flow, `${flow}.${i};`));
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(6, 0xff), frame(0, 1).subarray(6)]));
  await until(() => b.rx.reduce((sum, ring) => sum + ring.waiting, 0) === 321, "321 frames in four rings");
  const seen = b.rx.map((ring) => ring.receive());
  t.is(seen[0]!.filter((bytes) => bytes[0] === 0xff).length, 1);
  const texts = seen.map((frames) =>
    frames.filter((f) => f[0] !== 0xff).map((f) => f.toString("latin1", 42).split(";")[0]!),
  );
  t.true(texts.filter((list) => list.length > 0).length > 1, "more than one ring is used");
  for (let flow = 0; flow < 32; flow++) {
    const rings = texts
      .map((list) => list.filter((text) => text.startsWith(`${flow}.`)))
      .filter((list) => list.length > 0);
    t.deepEqual(rings, [[...Array(10).keys()].map((i) => `${flow}.${i}`)]);
  }
  sumsHold(t, s.engine.stats());
});

test("nobody gets frames for a ring that nobody has: one ring bound of four takes all", async (t) => {
  const { open } = await bench(t);
  const a = open("vale0:a");
  const b = open("vale0:b", { rxRings: 4, mode: 4, ringId: 2 });
  for (let flow = 0; flow < 20; flow++) a.tx[0]!.send(udp(2, 1, flow, "x"));
  await until(() => b.rx[2]!.waiting === 20, "all frames in the one ring");
  t.is(b.rx[2]!.receive().length, 20);
});

test("a port without receive rings refuses copies by name, and the sums hold", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a");
  open("vale0:b", { registerFlags: flags.txOnly });
  a.tx[0]!.send(frame(0, 1, "to nobody"));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:b")!.counters;
  await until(() => counters().refused.down === 1, "a refusal");
  sumsHold(t, s.engine.stats());
});

test("rubbish in each ring of several is reset there, and nowhere else", async (t) => {
  const { open, s } = await bench(t);
  const a = open("vale0:a", { txRings: 3, rxRings: 3 });
  const b = open("vale0:b", { rxSlots: 256 });
  for (const bad of [0x40, 0xffffffff, 0x80000000]) {
    a.putU32(a.tx[1]!.sync, bad);
    a.raw.kick();
    await until(() => a.u32(a.tx[1]!.sync) !== bad, "the ring to be reset");
  }
  for (const tx of a.tx) tx.send(frame(0, 1, "fine"));
  await until(() => b.rx[0]!.waiting === 3, "a frame of each ring");
  t.true(s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters.clientFaults >= 3);
});

// --- extra buffers ---------------------------------------------------------------------------------------------------------------

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

// --- persistent ports ------------------------------------------------------------------------------------------------------------

test("a persistent port: made, attached, opened by its own name, detached, removed; netmap's errors on the way", async (t) => {
  const { s, open, user } = await bench(t);
  const control = user();
  const ask = (reqtype: number, name: string, bytes: number) => control.ask({ reqtype, name }, Buffer.alloc(bytes));
  refused(t, EINVAL, () => ask(reqtypes.newIf, "vale9", 16));
  refused(t, EINVAL, () => ask(reqtypes.newIf, "a-b", 16));
  ask(reqtypes.newIf, "v0", 16);
  refused(t, EEXIST, () => ask(reqtypes.newIf, "v0", 16));
  refused(t, ENXIO, () => ask(reqtypes.valeAttach, "vale0:nobody", 64));
  refused(t, ENXIO, () => ask(reqtypes.valeDetach, "vale0:v0", 8));
  ask(reqtypes.valeAttach, "vale0:v0", 64);
  refused(t, EBUSY, () => ask(reqtypes.valeAttach, "vale0:v0", 64));
  refused(t, EEXIST, () => ask(reqtypes.newIf, "v0", 16));
  refused(t, EBUSY, () => ask(reqtypes.delIf, "v0", 8));
  t.deepEqual(ports(s), ["vale0:v0"]);

  const v0 = open("v0");
  const b = open("vale0:b");
  v0.tx[0]!.send(frame(0, 1, "persistent"));
  await until(() => b.rx[0]!.waiting === 1, "its frame");
  v0.close();
  const refusedDown = () => s.engine.stats().ports.find((p) => p.name === "vale0:v0")!.counters.refused.down ?? 0;
  await until(() => {
    b.tx[0]!.send(frame(1, 2, "nobody is in"));
    return refusedDown() > 0;
  }, "a refusal");
  const again = open("v0");
  b.tx[0]!.send(frame(1, 2, "again"));
  await until(() => again.rx[0]!.waiting === 1, "a frame for who came back, and none of before");
  t.deepEqual(again.rx[0]!.receive().map(textOf), ["again"]);

  ask(reqtypes.valeDetach, "vale0:v0", 8);
  t.deepEqual(ports(s), ["vale0:b"]);
  refused(t, EBUSY, () => ask(reqtypes.delIf, "v0", 8));
  ask(reqtypes.valeAttach, "vale1:v0", 64);
  t.true(ports(s).includes("vale1:v0"));
  ask(reqtypes.valeDetach, "vale1:v0", 8);
  again.close();
  await until(() => {
    try {
      ask(reqtypes.delIf, "v0", 8);
      return true;
    } catch {
      return false;
    }
  }, "the port to be free");
  refused(t, ENXIO, () => ask(reqtypes.delIf, "v0", 8));
  refused(t, ENXIO, () => open("v0"));
  sumsHold(t, s.engine.stats());
});

test("a persistent port opened before it is on a switch talks once it is", async (t) => {
  const { open, user } = await bench(t);
  user().ask({ reqtype: reqtypes.newIf, name: "v1" }, Buffer.alloc(16));
  const v1 = open("v1");
  const b = open("vale0:b");
  v1.tx[0]!.send(frame(0, 1, "early"));
  user().ask({ reqtype: reqtypes.valeAttach, name: "vale0:v1" }, Buffer.alloc(64));
  await until(() => b.rx[0]!.waiting === 1, "the early frame");
  b.tx[0]!.send(frame(1, 2, "answer"));
  await until(() => v1.rx[0]!.waiting === 1, "an answer");
  t.deepEqual(v1.rx[0]!.receive().map(textOf), ["answer"]);
});

test("the list of ports, one by one and by name", async (t) => {
  const { open, user } = await bench(t);
  for (const name of ["vale0:a", "vale1:c", "vale0:b"]) open(name);
  const asker = user();
  const names: string[] = [];
  let [bridge, port] = [0, 0];
  for (;;) {
    let reply: Buffer;
    try {
      reply = asker.ask(
        { reqtype: reqtypes.valeList, name: "" },
        body(8, [
          [0, 2, bridge],
          [4, 4, port],
        ]),
      );
    } catch (error) {
      t.is((error as NetmapError).errno, 2, "ENOENT ends it");
      break;
    }
    names.push(reply.toString("latin1", 56, reply.indexOf(0, 56)));
    [bridge, port] = [reply.readUInt16LE(120), reply.readUInt32LE(124) + 1];
  }
  t.deepEqual(names, ["vale0:a", "vale0:b", "vale1:c"]);
  t.is(asker.ask({ reqtype: reqtypes.valeList, name: "vale1:c" }, Buffer.alloc(8)).readUInt16LE(120), 1);
  refused(t, 2, () => asker.ask({ reqtype: reqtypes.valeList, name: "vale1:d" }, Buffer.alloc(8)));
});

// --- virtio-net headers ----------------------------------------------------------------------------------------------------------

test("headers of 0, 10 and 12 bytes: set, told, accepted or not, taken off and put in front", async (t) => {
  const { open, user, s } = await bench(t);
  const control = user();
  const set = (length: number) => control.ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, length]]));
  refused(t, ENXIO, () => set(10));
  const a = open("vale0:a", { registerFlags: flags.vnet });
  const b = open("vale0:b");
  for (const length of [11, 1, 14]) refused(t, EINVAL, () => set(length));
  for (const length of [12, 10, 0, 12]) {
    set(length);
    t.is(control.ask({ reqtype: reqtypes.hdrGet, name: "vale0:a" }, Buffer.alloc(8)).readUInt32LE(120), length);
  }
  refused(t, EIO, () => open("vale0:a"));
  open("vale0:a", { registerFlags: flags.vnet }).close();

  const inside = frame(0, 1, "behind a header");
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(12), inside]));
  await until(() => b.rx[0]!.waiting === 1, "a frame without header");
  t.deepEqual(b.rx[0]!.receive(), [inside]);
  for (const answer of [frame(1, 2, "answer"), frame(1, 2, "long", 5000), frame(1, 2, "x", 2040)]) {
    b.tx[0]!.send(answer);
    await until(() => a.rx[0]!.waiting > 0, "an answer");
    t.deepEqual(a.rx[0]!.receive(), [Buffer.concat([Buffer.alloc(12), answer])]);
  }
  // A header in a slot of its own, one that is cut, one that asks for what nobody can do.
  a.tx[0]!.send(Buffer.alloc(5));
  const { buffer } = a.tx[0]!.slot(a.tx[0]!.head);
  t.true(buffer >= 2);
  a.tx[0]!.send(Buffer.concat([Buffer.from([0, 0x7f]), Buffer.alloc(10), inside]));
  a.tx[0]!.send(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]), inside]));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
  await until(() => counters().dropped.bad_offload === 2, "two bad headers");
  sumsHold(t, s.engine.stats());
});

test("a checksum that the sender left to its device is finished on the way", async (t) => {
  const { open, user } = await bench(t);
  const a = open("vale0:a", { registerFlags: flags.vnet });
  const b = open("vale0:b");
  user().ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, 10]]));
  const bytes = Buffer.alloc(64, 1);
  bytes.writeUInt16BE(0, 40);
  let sum = 0;
  for (let at = 34; at < 64; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  a.tx[0]!.send(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 34, 0, 6, 0]), bytes]));
  await until(() => b.rx[0]!.waiting === 1, "the frame");
  t.is(b.rx[0]!.receive()[0]!.readUInt16BE(40), ~sum & 0xffff);
});

test("a TCP frame longer than its wire leaves as segments, several receives long, and what lies about that is dropped", async (t) => {
  const { open, user, s } = await bench(t);
  const a = open("vale0:a", { registerFlags: flags.vnet, txSlots: 64 });
  const b = open("vale0:b", { rxSlots: 1024 });
  user().ask({ reqtype: reqtypes.hdrSet, name: "vale0:a" }, body(8, [[0, 4, 12]]));
  const payload = Buffer.from(Array.from({ length: 30_000 }, (_, i) => (i * 7) & 0xff));
  const head = frame(0, 1, "", 54);
  head.writeUInt16BE(0x0800, 12);
  head[14] = 0x45;
  head.writeUInt16BE(40 + payload.length, 16);
  head[22] = 64;
  head[23] = 6;
  head.writeUInt32BE(0x0a000001, 26);
  head.writeUInt32BE(0x0a000002, 30);
  head.writeUInt32BE(1000, 38);
  head[46] = 0x50;
  const virtio = (gsoType: number, size: number) => {
    const header = Buffer.alloc(12);
    header[0] = 1;
    header[1] = gsoType;
    header.writeUInt16LE(54, 2);
    header.writeUInt16LE(size, 4);
    header.writeUInt16LE(34, 6);
    header.writeUInt16LE(16, 8);
    return header;
  };
  const long = Buffer.concat([head, payload]);
  for (const size of [1448, 100]) {
    a.tx[0]!.send(Buffer.concat([virtio(1, size), long]));
    const count = Math.ceil(payload.length / size);
    await until(() => b.rx[0]!.waiting === count, `${count} segments`);
    const segments = b.rx[0]!.receive();
    t.deepEqual(Buffer.concat(segments.map((bytes) => bytes.subarray(54))), payload);
    t.deepEqual(
      segments.map((bytes) => [bytes.readUInt16BE(16), bytes.readUInt32BE(38)]),
      segments.map((bytes, i) => [bytes.length - 14, 1000 + i * size]),
    );
  }
  for (const bad of [virtio(1, 0), virtio(4, 1448), virtio(9, 1448), virtio(1, 20_000)])
    a.tx[0]!.send(Buffer.concat([bad, long]));
  const counters = () => s.engine.stats().ports.find((port) => port.name === "vale0:a")!.counters;
  await until(() => counters().dropped.bad_offload === 4, "four lies");
  a.tx[0]!.send(Buffer.concat([Buffer.alloc(12), frame(0, 1, "plain")]));
  await until(() => b.rx[0]!.waiting === 1, "an ordinary frame");
  t.deepEqual(b.rx[0]!.receive().map(textOf), ["plain"]);
  sumsHold(t, s.engine.stats());
});

// --- memory ids --------------------------------------------------------------------------------------------------------------------

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

// --- pipes -----------------------------------------------------------------------------------------------------------------------

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

// --- monitors --------------------------------------------------------------------------------------------------------------------

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

// --- reconnecting ----------------------------------------------------------------------------------------------------------------

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
