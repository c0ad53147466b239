// The socket where programs get their ports: who is let in, what is refused, what broken and hostile clients cost.
import { spawn } from "node:child_process";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import test from "ava";
import { openPort, type PortClient } from "../../native/index.js";
import { connectRaw, frame, listening, makeHub, socketPath, until } from "../support/native-ports.js";
import { errno, replyBytes, request, status, text } from "../support/ports-request.js";

const usage = 1;
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
  t.teardown(() => rmSync(path));
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
  t.is(await others[0]!.wait({ timeoutMs: 60_000 }), "ready");
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
