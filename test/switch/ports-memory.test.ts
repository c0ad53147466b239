// Memory that a client offers back to ports.sock: taken when it is what a daemon made, and never trusted.
import { readdirSync, readlinkSync, writeSync } from "node:fs";
import test from "ava";
import { connectRaw, listening, makeHub, type Offer, socketPath, until } from "../support/native-ports.js";
import { errno, memoryBytes, request, status, text, tokenOf } from "../support/ports-request.js";

const port = 3;
const ENOMEM = 12;

const offers: [Offer, number][] = [
  ["sealed", 34 << 20],
  ["sealed", 4096],
  ["sealed", 65 << 20],
  ["sealed", 0],
  ["unsealed", 34 << 20],
  ["write-sealed", 34 << 20],
  ["file", 34 << 20],
  ["pipe", 0],
];
for (const [kind, bytes] of offers)
  test(`offered memory that no daemon made: ${kind}, ${bytes} bytes is not taken, new memory is given`, (t) => {
    const { hub, path } = listening();
    const raw = connectRaw(path)!;
    const token = Buffer.alloc(16, 7);
    raw.say(request({ flags: 1, token }), kind, bytes);
    const reply = raw.hear();
    t.is(errno(reply), 0);
    t.is(reply?.readUInt32LE(24), 0);
    t.true(memoryBytes(reply) > 1 << 20);
    t.false(tokenOf(reply).equals(token));
    t.is(raw.truncate(0), 1, "EPERM: new memory is sealed");
    hub.stop();
  });

// Closing a file flushes it to its file system, which may be the client's own (FUSE) and never answer.
test("what is offered and no memory is not closed here, and its user's next descriptors are not received", (t) => {
  const { hub, path } = listening();
  const held = () =>
    readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return /^\/tmp\/#\d+ \(deleted\)$/.test(readlinkSync(`/proc/self/fd/${fd}`)); // as O_TMPFILE names it
      } catch {
        return false;
      }
    }).length;
  const before = held();
  const raw = connectRaw(path)!;
  for (let i = 0; i < 20; i++) {
    raw.say(request({ reqtype: 2, flags: 1 }), "file", 4096);
    t.is(errno(raw.hear()), 0);
  }
  t.is(held(), before + 1);
  raw.say(request());
  const first = raw.hear();
  const again = connectRaw(path)!;
  again.say(request({ flags: 1, token: tokenOf(first) }), raw.memoryFd());
  const reply = again.hear();
  t.is(errno(reply), 0);
  t.is(reply?.readUInt32LE(24), 0, "new memory");
  hub.stop();
});

// Where the daemon that made the memory wrote how it is laid out: any client can write there.
for (const [name, offset, value, taken] of [
  ["as it was", 0, undefined, true],
  ["without the daemon's mark", 0, 0, false],
  ["no interfaces", 8, 0, false],
  ["many interfaces", 8, 0xffffffff, false],
  ["many rings", 12, 0xffffffff, false],
  ["rings of 1 byte", 16, 1, false],
  ["rings of 1 GiB", 16, 1 << 30, false],
  ["many buffers", 20, 0xffffffff, false],
  ["one buffer fewer than pages say", 20, 100, false],
  ["buffers of no bytes", 24, 0, false],
  ["buffers of 2 GiB", 24, 0x80000000, false],
] as const)
  test(`a daemon's memory offered to the next, ${name}: ${taken ? "taken" : "not taken, new memory is given"}`, (t) => {
    const { hub, path } = listening();
    const raw = connectRaw(path)!;
    raw.say(request());
    const first = raw.hear();
    const memory = raw.memoryFd();
    hub.stop();
    if (value !== undefined) {
      const word = Buffer.alloc(4);
      word.writeUInt32LE(value);
      writeSync(memory, word, 0, 4, memoryBytes(first) - 4096 + offset);
    }
    hub.listen(path);
    const next = connectRaw(path)!;
    next.say(request({ flags: 1, token: tokenOf(first) }), memory);
    const reply = next.hear();
    t.is(errno(reply), 0);
    t.is(reply?.readUInt32LE(24), taken ? 1 : 0);
    t.is(tokenOf(reply).equals(tokenOf(first)), taken);
    t.deepEqual(hub.ports(), ["vale0:a"]);
    hub.stop();
  });

test("a daemon's memory offered to the next with rubbish in its interface, rings and lines: a port that works, each time", (t) => {
  let seed = Number(process.env.PASTE_SEED ?? 11);
  t.log(`seed ${seed}`);
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 8;
  };
  const { hub, path } = listening();
  const first = connectRaw(path)!;
  first.say(request({ txRings: 2, rxRings: 2, extra: 4 }));
  const size = memoryBytes(first.hear());
  const memory = first.memoryFd();
  for (let round = 0; round < 40; round++) {
    hub.stop();
    for (let i = 0; i < 200; i++) {
      const word = Buffer.alloc(8);
      word.writeUIntLE(random() % 3 ? (random() % 64) * 4096 : random(), 0, 6);
      if (random() % 4 === 0) word.fill(0xff);
      const area = random() % 3 ? random() % 1024 : random() % (size - 4096 - 8);
      writeSync(memory, word, 0, 8, area & ~7);
    }
    hub.listen(path);
    const next = connectRaw(path)!;
    next.say(request({ flags: 1, txRings: 2, rxRings: 2, extra: 4, offset: (random() % 40) * 1024 }), memory);
    const reply = next.hear();
    t.is(errno(reply), 0);
    t.is(reply?.readUInt32LE(24), 1);
    t.is(hub.receive("vale0:a"), 0);
    t.is(hub.counters("vale0:a").clientFaults, 0);
  }
  hub.stop();
});

test("one user's regions are bounded together: then ENOMEM, and room again when a port goes and its client lets go", async (t) => {
  const hub = makeHub();
  const path = socketPath();
  hub.listen(path, 2000, 64, 80 << 20);
  const raws = ["vale0:a", "vale0:b", "vale0:c"].map((name) => {
    const raw = connectRaw(path)!;
    raw.say(request({ name }));
    return { raw, reply: raw.hear() };
  });
  t.deepEqual(
    raws.map(({ reply }) => errno(reply)),
    [0, 0, ENOMEM],
  );
  t.regex(text(raws[2]!.reply) ?? "", /more than 80 MiB/);
  const global = connectRaw(path)!;
  global.say(request({ name: "vale0:g", memId: 1 }));
  t.is(errno(global.hear()), ENOMEM);
  raws[0]!.raw.close();
  await until(() => !hub.ports().includes("vale0:a"), "a port to go");
  raws[2]!.raw.say(request({ name: "vale0:c" }));
  const kept = raws[2]!.raw.hear();
  t.is(errno(kept), ENOMEM);
  t.regex(text(kept) ?? "", /more than 80 MiB with 1 of ports that are gone, kept by clients: close some/);
  raws[0]!.raw.closeMemory();
  raws[2]!.raw.say(request({ name: "vale0:c" }));
  t.is(errno(raws[2]!.raw.hear()), 0);
  hub.stop();
});

test("a client with its predecessor's token takes its place; one without does not", async (t) => {
  const { hub, path } = listening();
  const exclusive = { registerFlags: 0x800 };
  const first = connectRaw(path)!;
  first.say(request(exclusive));
  const token = tokenOf(first.hear());
  const stranger = connectRaw(path)!;
  stranger.say(request({ ...exclusive, token: Buffer.alloc(16, 1) }));
  t.is(status(stranger.hear()), port);
  const successor = connectRaw(path)!;
  successor.say(request({ ...exclusive, token }));
  t.is(errno(successor.hear()), 0);
  t.is(first.hear(), null);
  t.deepEqual(hub.ports(), ["vale0:a"]);
  hub.stop();
});
