// What a netmap program can ask of a port: rings and slots, shared and exclusive ports, persistent ports, on the real switch, with
// netmap's errors.
import test from "ava";
import { frame, sumsHold, textOf, until } from "../support/live-switch.js";
import { bench, body, goes, ports, refused } from "../support/netmap-bench.js";
import { flags, type NetmapError, type NetmapUser, reqtypes } from "../support/netmap-user.js";

const [ENXIO, ENOMEM, EBUSY, EEXIST, EINVAL] = [6, 12, 16, 17, 22];

// --- configuration ---------------------------------------------------------------------------------------------------

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

// --- exclusive and shared --------------------------------------------------------------------------------------------

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

// --- persistent ports ------------------------------------------------------------------------------------------------

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
