// ports.sock: what it answers to whom, what a client finds when its daemon dies and returns, and what clients' deaths leave behind.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readlinkSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import test from "ava";
import { frameColumns, openPort, type PortClient } from "../../native/index.js";
import { connectRaw, frame, type Hub, makeHub, type Offer, until } from "../support/native-ports.js";
import { errno, memoryBytes, replyBytes, request, status, text, tokenOf } from "../support/ports-request.js";

let sockets = 0;
const socketPath = () => join(tmpdir(), `paste-ports-${process.pid}-${sockets++}.sock`);

function listening(helloMs?: number, connectionsMax?: number): { hub: Hub; path: string } {
  const hub = makeHub();
  const path = socketPath();
  hub.listen(path, helloMs, connectionsMax);
  return { hub, path };
}

const usage = 1;
const port = 3;
const resource = 6;

test("the socket belongs to its owner only, and goes with its daemon", (t) => {
  const { hub, path } = listening();
  t.is(statSync(path).mode & 0o777, 0o600);
  hub.stop();
  t.false(existsSync(path));
});

test("a second daemon on the same socket is refused; a dead daemon's socket is replaced; a file is not", (t) => {
  const { hub, path } = listening();
  t.throws(() => makeHub().listen(path), { message: /^PORT: ports socket .*another daemon answers there/ });
  t.deepEqual(hub.ports(), []);
  hub.stop();
  writeFileSync(path, "mine");
  t.throws(() => makeHub().listen(path), { message: /^USAGE: .*no socket is in the way/ });
  t.throws(() => makeHub().listen("/nonexistent/p.sock"), { message: /^RESOURCE: / });
});

const badPackets: [string, Buffer, RegExp][] = [
  ["one byte", Buffer.alloc(1), /wrong size/],
  ["a header only", request().subarray(0, 16), /wrong size/],
  ["a byte too few", request().subarray(0, 239), /wrong size/],
  ["a byte too many", Buffer.concat([request(), Buffer.alloc(1)]), /wrong size/],
  ["64 KiB", Buffer.concat([request(), Buffer.alloc(65536)]), /wrong size/],
  ["a lying size", request({ size: 64 }), /wrong size/],
  ["another magic", request({ magic: 0 }), /no message of paste-switch/],
  ["version 1", request({ version: 1 }), /version 2 .* client version 1/],
  ["version 3", request({ version: 3 }), /client version 3/],
  ["a reply", request({ type: 2 }), /clients send requests/],
  ["a name without end", request({ name: Buffer.alloc(64, "a") }), /name does not end/],
];
for (const [name, bytes, pattern] of badPackets)
  test(`${name} instead of a request: an error and the end`, (t) => {
    const { hub, path } = listening();
    const raw = connectRaw(path)!;
    t.true(raw.say(bytes));
    const reply = raw.hear();
    t.is(reply?.length, replyBytes);
    t.is(status(reply), usage);
    t.regex(text(reply) ?? "", pattern);
    t.is(raw.hear(), null);
    t.deepEqual(hub.ports(), []);
    hub.stop();
  });

const EINVAL = 22;
const ENXIO = 6;
const ENOMEM = 12;
const EOPNOTSUPP = 95;
const refusedRequests: [string, Buffer, number, RegExp][] = [
  ["API 13", request({ api: 13 }), EINVAL, /API 13: 14 and 15/],
  ["API 16", request({ api: 16 }), EINVAL, /API 16/],
  ["no name", request({ name: "" }), ENXIO, /port name ``/],
  ["a bad name", request({ name: "vale0:a b" }), EINVAL, /port name `vale0:a b`/],
  ["another program's name", request({ name: "netmap:eth0" }), ENXIO, /port name `netmap:eth0`/],
  ["a buffer size of 100", request({ bufferBytes: 100 }), EINVAL, /buffer size 100/],
  ["a huge buffer size", request({ bufferBytes: 0x80000000 }), EINVAL, /buffer size 2147483648/],
  ["much memory", request({ txSlots: 4096, rxSlots: 4096, bufferBytes: 16384 }), ENOMEM, /more than 64 MiB/],
  ["host rings", request({ mode: 2 }), EINVAL, /no host rings/],
  ["mode 0", request({ mode: 0 }), EINVAL, /no such mode/],
  ["a ring that is not there", request({ mode: 4, ringId: 1 }), EINVAL, /no ring of this number/],
  ["a memory id of nobody's", request({ memId: 77 }), EINVAL, /no memory region has this id/],
  ["a zero-copy monitor", request({ registerFlags: 0x400 }), EOPNOTSUPP, /monitors/],
  ["a null port without a memory id", request({ mode: 7 }), EINVAL, /needs a memory id/],
  ["a request of another API", request({ reqtype: 16 }), EINVAL, /no request of netmap's/],
  ["a polling request", request({ reqtype: 10 }), EOPNOTSUPP, /not served/],
];
for (const [name, bytes, error, pattern] of refusedRequests)
  test(`${name}: netmap's errno, and the connection may ask again`, (t) => {
    const { hub, path } = listening();
    const raw = connectRaw(path)!;
    t.true(raw.say(bytes));
    const reply = raw.hear();
    t.is(errno(reply), error);
    t.regex(text(reply) ?? "", pattern);
    t.deepEqual(hub.ports(), []);
    raw.say(request());
    t.is(errno(raw.hear()), 0);
    t.deepEqual(hub.ports(), ["vale0:a"]);
    hub.stop();
  });

test("random packets: errors, never a port, and the next client is served", (t) => {
  const { hub, path } = listening();
  let seed = Number(process.env.PASTE_SEED ?? 7);
  t.log(`seed ${seed}`);
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 8;
  };
  for (let i = 0; i < 300; i++) {
    const bytes = random() % 2 ? request() : Buffer.alloc(1 + (random() % 300));
    for (let flips = 1 + (random() % 8); flips > 0; flips--)
      bytes[random() % Math.min(bytes.length, 176)] = random() & 0xff;
    const raw = connectRaw(path)!;
    raw.say(bytes);
    const reply = raw.hear();
    t.is(reply?.length, replyBytes);
    raw.close();
  }
  const client = openPort({ socket: path, name: "vale9:z", slots: 16 });
  t.true(hub.ports().includes("vale9:z"));
  client.close();
  hub.stop();
});

test("a second registration on a connection is refused, and the first stays", (t) => {
  const { hub, path } = listening();
  const raw = connectRaw(path)!;
  raw.say(request());
  t.is(errno(raw.hear()), 0);
  raw.say(request({ name: "vale0:b" }));
  t.is(errno(raw.hear()), 16, "EBUSY");
  t.deepEqual(hub.ports(), ["vale0:a"]);
  hub.stop();
});

test("a name in use is refused, and free again when its client goes", async (t) => {
  const { hub, path } = listening();
  const first = openPort({ socket: path, name: "vale0:a", slots: 16 });
  t.throws(() => openPort({ socket: path, name: "vale0:a", slots: 16 }), {
    code: "PORT",
    message: /vale0:a is in use/,
  });
  first.close();
  await until(() => hub.ports().length === 0, "the name to be free");
  openPort({ socket: path, name: "vale0:a", slots: 16 }).close();
  hub.stop();
});

test("silent connections are closed in time, and 200 of them keep nobody out", async (t) => {
  const { hub, path } = listening(300);
  const silent = [];
  for (let i = 0; i < 200; i++) {
    const raw = connectRaw(path);
    if (raw) silent.push(raw);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  const client = openPort({ socket: path, name: "vale0:a", slots: 16 });
  t.deepEqual(hub.ports(), ["vale0:a"]);
  t.is(silent.at(-1)?.hear(), null);
  client.close();
  hub.stop();
});

test("more connections than the daemon wants are told so", async (t) => {
  const { hub, path } = listening(2000, 2);
  const first = openPort({ socket: path, name: "vale0:a", slots: 16 });
  const second = openPort({ socket: path, name: "vale0:b", slots: 16 });
  const raw = connectRaw(path)!;
  const reply = raw.hear();
  t.is(status(reply), resource);
  t.regex(text(reply) ?? "", /no room for more connections/);
  first.close();
  second.close();
  hub.stop();
});

test("a daemon out of descriptors turns clients away, keeps those it has, and recovers", async (t) => {
  const path = socketPath();
  const support = new URL("../support/native-ports.js", import.meta.url).href;
  // The clients live in this process: only the daemon's descriptors are scarce.
  const code = `
    import { makeHub } from ${JSON.stringify(support)};
    const hub = makeHub();
    hub.listen(${JSON.stringify(path)});
    hub.run();
    process.stdout.write("ready\\n");
    process.stdin.resume().on("end", () => { hub.stop(); });`;
  const child = spawn("bash", ["-c", 'ulimit -n 128; exec "$0" --input-type=module -e "$1"', process.execPath, code], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const first = openPort({ socket: path, name: "vale0:first", slots: 16 });
  const others: PortClient[] = [];
  const refused: string[] = [];
  for (let i = 0; i < 60; i++)
    try {
      others.push(openPort({ socket: path, name: `vale0:n${i}`, slots: 16, reconnectMs: 0 }));
    } catch (error) {
      refused.push((error as Error).message);
    }
  t.true(others.length > 0 && refused.length > 0, `${others.length} attached, ${refused.length} refused`);
  first.send([frame(1, 60)]);
  await until(() => first.sentAll, "the daemon to take a frame");
  t.is(await others[0]!.wait({ timeoutMs: 5000 }), "ready");
  for (const client of others) client.close();
  let again: PortClient | undefined;
  await until(() => {
    try {
      again = openPort({ socket: path, name: "vale0:again", slots: 16 });
    } catch {}
    return again !== undefined;
  }, "a place for a new client");
  again?.close();
  first.close();
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stdin.end();
  t.is(await ended, 0);
});

// --- memory that is offered back ---------------------------------------------------------------------------------------------

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
        return readlinkSync(`/proc/self/fd/${fd}`).includes("/paste-offer-");
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

test("one user's regions are bounded together: then ENOMEM, and room again when a port goes", async (t) => {
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

// --- the library -----------------------------------------------------------------------------------------------------------

test("two clients, a daemon's thread between them: every frame, in order", async (t) => {
  const { hub, path } = listening();
  hub.run();
  const one = openPort({ socket: path, name: "vale0:one" });
  const two = openPort({ socket: path, name: "vale0:two" });
  const sent = [...Array(5000).keys()].map((i) => frame(i, 60 + (i % 1500)));
  const got: Buffer[] = [];
  const receiving = (async () => {
    for await (const frames of two.batches()) {
      got.push(...frames);
      if (got.length >= sent.length) return;
    }
  })();
  for (let i = 0; i < sent.length; i += 100) {
    await one.sendAll(sent.slice(i, i + 100));
    while (got.length < i - 500) await new Promise((resolve) => setImmediate(resolve));
  }
  await receiving;
  t.is(got.length, sent.length);
  t.true(got.every((bytes, i) => bytes.equals(sent[i]!)));
  await until(() => one.sentAll, "the switch to have taken all");
  one.close();
  two.close();
  hub.stop();
});

test("columns: sent and received without a copy per frame", async (t) => {
  const { hub, path } = listening();
  hub.run();
  const one = openPort({ socket: path, name: "vale0:one" });
  const two = openPort({ socket: path, name: "vale0:two" });
  const columns = frameColumns(8, 1024);
  for (let i = 0; i < 8; i++) {
    columns.data.set(frame(i, 100), i * 100);
    columns.offsets[i] = i * 100;
    columns.lengths[i] = 100;
  }
  columns.count = 8;
  t.is(one.sendColumns(columns, 2), 6);
  const into = frameColumns();
  await until(() => two.pending === 6, "six frames");
  t.is(two.receiveColumns(into), 6);
  t.deepEqual(Buffer.from(into.data.subarray(into.offsets[5]!, into.offsets[5]! + 100)), frame(7, 100));
  columns.offsets[7] = 1000;
  t.throws(() => one.sendColumns(columns), { code: "USAGE", message: /outside the data/ });
  t.throws(() => one.send([Buffer.alloc(9217)]), { code: "USAGE", message: /longer than 9216/ });
  one.close();
  two.close();
  hub.stop();
});

test("waits end: by time, by close, by a frame; one at a time; a closed client says so", async (t) => {
  const { hub, path } = listening();
  const client = openPort({ socket: path, name: "vale0:a" });
  t.is(await client.wait({ timeoutMs: 20 }), "timeout");
  t.is(await client.wait({ forRoom: true }), "ready");
  const pending = client.wait();
  await t.throwsAsync(client.wait(), { code: "USAGE", message: /a wait is pending/ });
  client.close();
  client.close();
  t.is(await pending, "gone");
  t.true(client.closed);
  t.throws(() => client.receive(), { code: "USAGE", message: /closed/ });
  hub.stop();
});

for (const [name, options] of [
  ["no socket", { name: "vale0:a" }],
  ["no name", { socket: "/x" }],
  ["half a slot", { socket: "/x", name: "vale0:a", slots: 0.5 }],
  ["too few slots", { socket: "/x", name: "vale0:a", slots: 3 }],
  ["a bad name", { socket: "/x", name: "eth0" }],
  ["too long a path", { socket: `/${"x".repeat(108)}`, name: "vale0:a" }],
] as const)
  test(`openPort with ${name} is a USAGE error`, (t) => {
    t.throws(() => openPort(options as unknown as { socket: string; name: string }), { code: "USAGE" });
  });

test("a daemon that dies and returns: the client is back with its name and its memory, and knows what it lost", async (t) => {
  const { hub, path } = listening();
  const client = openPort({ socket: path, name: "vale0:a" });
  client.send([frame(0, 60), frame(1, 60), frame(2, 5000)]);
  hub.stop();
  t.is(await client.wait({ timeoutMs: 50 }), "timeout");
  t.is(client.send([frame(3, 60)]), 1, "sending goes on into the ring");
  hub.listen(path);
  t.is(await client.wait({ timeoutMs: 5000 }), "reconnected");
  t.is(client.reconnects, 1);
  t.is(client.lostOnReconnect, 4);
  t.deepEqual(hub.ports(), ["vale0:a"]);
  t.is(hub.receive("vale0:a"), 0);
  client.send([frame(9, 99)]);
  t.is(hub.receive("vale0:a"), 1);
  t.deepEqual(hub.frames()[0]?.bytes, frame(9, 99));
  client.close();
  hub.stop();
});

test("frames that were delivered before the daemon died can still be received", async (t) => {
  const { hub, path } = listening();
  const one = openPort({ socket: path, name: "vale0:one" });
  const two = openPort({ socket: path, name: "vale0:two" });
  one.send([frame(1, 60)]);
  hub.receive("vale0:one");
  hub.reserve("vale0:two");
  hub.deliver("vale0:two");
  hub.stop();
  t.is(await two.wait(), "ready");
  t.deepEqual(two.receive(), [frame(1, 60)]);
  t.is(await two.wait({ timeoutMs: 30 }), "timeout");
  one.close();
  two.close();
});

test("a daemon that stays away is gone after reconnectMs; with 0 at once", async (t) => {
  const { hub, path } = listening();
  const patient = openPort({ socket: path, name: "vale0:a", reconnectMs: 100 });
  const hasty = openPort({ socket: path, name: "vale0:b", reconnectMs: 0 });
  hub.stop();
  t.is(await hasty.wait(), "gone");
  t.is(await patient.wait(), "gone");
  await t.throwsAsync(patient.sendAll([...Array(2000).keys()].map((i) => frame(i, 60))), { code: "PORT" });
  hasty.close();
  patient.close();
});

test("a port that the daemon detached on purpose does not come back", async (t) => {
  const { hub, path } = listening();
  const client = openPort({ socket: path, name: "vale0:a" });
  hub.dismiss("vale0:a");
  t.is(await client.wait(), "gone");
  await until(() => hub.ports().length === 0, "the port to go");
  client.close();
  hub.stop();
});

// --- processes -------------------------------------------------------------------------------------------------------------

const script = join(dirname(fileURLToPath(import.meta.url)), "..", "support", "hostile-client.js");

function startClient(path: string, name: string): { child: ChildProcess; lines: string[] } {
  const child = spawn(process.execPath, [script, path, name], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) => lines.push(line));
  return { child, lines };
}

test("clients killed at any point free their ports and cost nobody else a frame", async (t) => {
  const { hub, path } = listening();
  hub.run();
  const one = openPort({ socket: path, name: "vale0:one" });
  const two = openPort({ socket: path, name: "vale0:two" });
  let sent = 0;
  let got = 0;
  const mine = (bytes: Buffer) => bytes.length === 333 && bytes.toString("latin1", 20, 27) === "honest!";
  for (let round = 0; round < 4; round++) {
    const { child, lines } = startClient(path, "vale0:victim");
    await until(() => lines.length > 1 + round * 3, "the victim to send", 30_000);
    for (let i = 0; i < 50; i++) {
      const bytes = frame(i, 333);
      bytes.write("honest!", 20);
      sent += one.send([bytes]);
      if (i === 25) child.kill("SIGKILL");
      const deadline = Date.now() + 5000;
      for (const before = got; got === before && Date.now() < deadline; ) {
        one.receive();
        got += two.receive().filter(mine).length;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await until(() => !hub.ports().includes("vale0:victim"), "the victim's port to go");
  }
  hub.halt();
  t.is(sent, 200);
  t.true(got <= sent);
  // The victim's flood may fill the honest receiver's ring: those copies are refused and counted, nothing is lost unseen.
  t.true(sent - got <= (hub.counters("vale0:two").refused.full ?? 0));
  one.close();
  two.close();
  hub.stop();
});

test("a worker that ends without closing its port, in the middle of a wait, detaches it", async (t) => {
  const { hub, path } = listening();
  const native = new URL("../../native/index.js", import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(native)}).then(({ openPort }) => {
       const port = openPort({ socket: ${JSON.stringify(path)}, name: "vale0:w" });
       port.wait();
       require("node:worker_threads").parentPort.postMessage("open");
     });`,
    { eval: true },
  );
  await new Promise((resolve) => worker.once("message", resolve));
  t.deepEqual(hub.ports(), ["vale0:w"]);
  await worker.terminate();
  await until(() => hub.ports().length === 0, "the worker's port to go");
  hub.stop();
});

test("a client that is forgotten without close() is detached by the garbage collector", async (t) => {
  const { hub, path } = listening();
  const code = `
    import { openPort } from ${JSON.stringify(new URL("../../native/index.js", import.meta.url).href)};
    openPort({ socket: ${JSON.stringify(path)}, name: "vale0:g", slots: 16 });
    for (let i = 0; i < 20; i++) { global.gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
    process.stdout.write("collected\\n");
    process.stdin.resume();`;
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", code], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await until(() => hub.ports().length === 0, "the forgotten port to go");
  t.is(child.exitCode, null);
  child.stdin.end();
  hub.stop();
});
