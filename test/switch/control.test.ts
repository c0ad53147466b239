import { mkdtempSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { PasteError } from "../../logger/errors.js";
import { ControlClient } from "../../switch/control-client.js";
import {
  decodeResponse,
  encodeRequest,
  MessageReader,
  messageBytesMax,
  type Request,
} from "../../switch/control-protocol.js";
import {
  type Answer,
  type ControlHandler,
  ControlServer,
  type ControlServerOptions,
} from "../../switch/control-server.js";
import { emptyRule } from "../../switch/rules.js";
import { payload, controlPort as port, u32 } from "../support/control-messages.js";
import { until } from "../support/until.js";

const hello = encodeRequest({ id: 1, call: "hello", body: { version: 1, program: "test" } });

async function* echo(request: Request): AsyncGenerator<Answer> {
  if (request.call === "portRemove") throw new PasteError("PORT", "port vale0:x: not attached");
  if (request.call === "portList")
    for (let part = 0; part < 5; part++)
      yield {
        result: "ports",
        body: { ports: Array.from({ length: 200 }, (_, index) => port(`vale0:p${part * 200 + index}`)) },
      };
  else yield { result: "done", body: { name: request.call, count: 1 } };
}

async function serve(t: ExecutionContext, options: Partial<ControlServerOptions> = {}, handler: ControlHandler = echo) {
  const folder = mkdtempSync(join(tmpdir(), "paste-control-"));
  const path = join(folder, "c");
  const server = await ControlServer.listen({ path, handler, ...options });
  t.teardown(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  return { path, server };
}

/** Sends raw bytes and collects the answers until the server ends the connection (or the client, once it has `enough`). */
async function talk(
  path: string,
  bytes: Buffer[],
  enough = Infinity,
  end = false,
): Promise<ReturnType<typeof decodeResponse>[]> {
  const socket = net.connect(path);
  socket.on("error", () => {});
  for (const chunk of bytes) socket.write(chunk);
  if (end) socket.end();
  const reader = new MessageReader();
  const answers: ReturnType<typeof decodeResponse>[] = [];
  // A server that closes with our bytes unread resets the connection; what it said before that still arrives.
  await new Promise<void>((resolve) => {
    socket.on("close", resolve);
    socket.on("data", (chunk) => {
      reader.push(chunk);
      for (let message = reader.next(); message; message = reader.next()) answers.push(decodeResponse(message));
      if (answers.length >= enough) socket.destroy();
    });
  });
  return answers;
}

async function stillServes(t: ExecutionContext, path: string) {
  const client = await ControlClient.connect(path);
  t.deepEqual(await client.call("reload", {}), { name: "reload", count: 1 });
  client.close();
}

test("a client gets answers, long lists whole, and the daemon's errors with their codes", async (t) => {
  const { path } = await serve(t);
  t.is(statSync(path).mode & 0o777, 0o600);
  const client = await ControlClient.connect(path);
  const [first, { ports }, last] = await Promise.all([
    client.call("reload", {}),
    client.call("portList", {}),
    client.call("macFlush", { switch: "", port: "" }),
  ]);
  t.is(first.name, "reload");
  t.is(ports.length, 1000);
  t.is(ports[999]?.name, "vale0:p999");
  t.is(last.name, "macFlush");
  await t.throwsAsync(client.call("portRemove", { name: "vale0:x", save: false }), {
    code: "PORT",
    message: "port vale0:x: not attached",
  });
  t.is((await client.call("reload", {})).name, "reload");
  client.close();
  await t.throwsAsync(client.call("reload", {}), { code: "CONTROL", message: `the connection to ${path} was closed` });
});

test("a group may connect when it is named", async (t) => {
  const { path } = await serve(t, { gid: process.getgid!() });
  t.is(statSync(path).mode & 0o777, 0o660);
});

const refusals: [title: string, bytes: Buffer[], message: RegExp][] = [
  ["an empty message", [u32(0)], /announced as 0 bytes, 1 to 1048576 are allowed/],
  ["a message over the limit", [u32(messageBytesMax + 1)], /announced as 1048577 bytes/],
  ["an absurd length", [u32(0xffffffff)], /announced as 4294967295 bytes/],
  ["text", [Buffer.from("GET / HTTP/1.1\r\n\r\n")], /announced as 542393671 bytes/],
  ["no protobuf", [u32(3), Buffer.from([0xff, 0xff, 0xff])], /not protobuf/],
  ["a message of nothing known", [u32(2), Buffer.from([0x08, 0x01])], /no call that protocol version 1 knows/],
  [
    "another first message than hello",
    [encodeRequest({ id: 1, call: "stats", body: {} })],
    /the first message must be hello, this was stats/,
  ],
];
for (const [title, bytes, message] of refusals)
  test(`refused with its reason, and the server goes on: ${title}`, async (t) => {
    const { path, server } = await serve(t);
    const answers = await talk(path, bytes);
    t.is(answers.length, 1);
    t.is(answers[0]!.id, 0);
    t.regex((answers[0]!.body as { message: string }).message, message);
    t.is(server.counters.failed, 1);
    await stillServes(t, path);
  });

test("another version is told ours, and why it cannot stay", async (t) => {
  const { path } = await serve(t);
  const answers = await talk(path, [encodeRequest({ id: 1, call: "hello", body: { version: 2, program: "newer" } })]);
  t.deepEqual(
    answers.map(({ result }) => result),
    ["hello", "failure"],
  );
  t.regex((answers[1]!.body as { message: string }).message, /this daemon speaks control protocol 1, newer speaks 2/);
});

test("a second hello is an error and no more than that", async (t) => {
  const { path } = await serve(t, {}, async function* (request) {
    if (request.call === "hello") throw new PasteError("CONTROL", "hello was said already");
    yield { result: "done", body: { name: "", count: 1 } };
  });
  const answers = await talk(path, [hello, hello, encodeRequest({ id: 3, call: "reload", body: {} })], 3);
  t.deepEqual(
    answers.map(({ id, result }) => [id, result]),
    [
      [1, "hello"],
      [1, "failure"],
      [3, "done"],
    ],
  );
});

// Those that take time run by themselves, so that the others do not take it from them.
test.serial("a message that trickles in is cut off in time, however often a byte comes", async (t) => {
  const { path, server } = await serve(t, { messageTimeoutMs: 1000 });
  const socket = net.connect(path);
  socket.on("error", () => {});
  socket.write(hello);
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.resume();
  socket.write(u32(1000));
  const drip = setInterval(() => socket.write(Buffer.from([0])), 20);
  await closed;
  clearInterval(drip);
  t.is(server.counters.failed, 1);
  await stillServes(t, path);
});

test.serial("who connects and says nothing is cut off, as is who falls silent", async (t) => {
  const { path, server } = await serve(t, { messageTimeoutMs: 1000, idleTimeoutMs: 1200 });
  t.deepEqual(await talk(path, []), []);
  t.is((await talk(path, [hello])).length, 1);
  t.is(server.counters.failed, 2);
});

test.serial("who does not read is cut off, and holds no more than its own answer", async (t) => {
  const { path, server } = await serve(t, { messageTimeoutMs: 3000 });
  const socket = net.connect(path);
  socket.on("error", () => {});
  socket.pause();
  const many = Array.from({ length: 50 }, (_, index) => encodeRequest({ id: index + 2, call: "portList", body: {} }));
  socket.write(Buffer.concat([hello, ...many]));
  await until(() => server.counters.failed > 0, "it is cut off");
  t.is(server.counters.failed, 1);
  socket.destroy();
  await stillServes(t, path);
});

test.serial("connections are bounded, and places come back", async (t) => {
  const { path, server } = await serve(t, { connectionsMax: 3 });
  const clients = await Promise.all([1, 2, 3].map(() => ControlClient.connect(path)));
  await t.throwsAsync(ControlClient.connect(path), { message: "3 control connections are open already: try again" });
  t.is(server.counters.refused, 1);
  for (const client of clients) client.close();
  await until(() => server.connections === 0, "their places are free");
  await stillServes(t, path);
});

test("who is refused reads why, however late it says hello, and does not hold the server's end up", async (t) => {
  const { path, server } = await serve(t, { connectionsMax: 2, messageTimeoutMs: 1_000_000 });
  const clients = await Promise.all([1, 2].map(() => ControlClient.connect(path)));
  const late = net.connect(path).pause();
  await until(() => server.counters.refused === 1, "the refusal");
  // Whatever the server does with the connection by itself is done.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const bytes: Buffer[] = [];
  late.on("data", (data) => bytes.push(data)).on("error", (error) => t.fail(`${error}`));
  await new Promise((resolve) => late.write(hello, resolve));
  late.resume();
  await until(() => bytes.length > 0, "why");
  t.regex((decodeResponse(payload(Buffer.concat(bytes))).body as { message: string }).message, /2 control connections/);
  const third = net.connect({ path, allowHalfOpen: true }); // stays for as long as it is let
  await until(() => server.counters.refused === 2, "the next refusal");
  await server.close();
  third.destroy();
  for (const client of clients) client.close();
});

test("a client that leaves in the middle of an answer costs nothing", async (t) => {
  const { path, server } = await serve(t);
  for (let round = 0; round < 20; round++)
    await talk(path, [hello, encodeRequest({ id: 2, call: "portList", body: {} })], 1 + (round % 3));
  await until(() => server.connections === 0, "their places are free");
  await stillServes(t, path);
});

test("rubbish in any shape never stops the server", async (t) => {
  const { path } = await serve(t, { messageTimeoutMs: 2000 });
  const valid = [
    encodeRequest({ id: 2, call: "portList", body: {} }),
    encodeRequest({ id: 3, call: "ruleAdd", body: { rule: emptyRule, before: "x", save: false } }),
  ];
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 }))
    .map(([message, changes]) => {
      const copy = Buffer.from(message);
      for (const [at, value] of changes) copy[4 + (at % (copy.length - 4))] = value;
      return copy;
    });
  const rubbish = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([u32(bytes.length), bytes]));
  const raw = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(mutated, rubbish, raw), { maxLength: 6 }),
      fc.boolean(),
      async (messages, greets) => {
        await talk(path, greets ? [hello, ...messages] : messages, Infinity, true);
      },
    ),
    { numRuns: 150 },
  );
  await stillServes(t, path);
});

const unreachable: [title: string, prepare: (path: string) => Promise<(() => void) | undefined>, message: RegExp][] = [
  [
    "no daemon",
    async () => undefined,
    /^no daemon answers at \S+: start one with `paste-switch daemon`, or name it with --control, or --name \(of a rule: --instance\)$/,
  ],
  [
    "a daemon that hangs up",
    async (path) => {
      const server = net.createServer((socket) => socket.end());
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return () => server.close();
    },
    /^the daemon at \S+ closed the connection$/,
  ],
  [
    "something else behind the socket",
    async (path) => {
      const server = net.createServer((socket) => socket.on("error", () => {}).write("220 mail ready\r\n"));
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return () => server.close();
    },
    /^control message: announced as \d+ bytes/,
  ],
];
for (const [title, prepare, message] of unreachable)
  test(`a client's error: ${title}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "paste-control-"));
    const undo = await prepare(join(folder, "c"));
    await t.throwsAsync(ControlClient.connect(join(folder, "c")), { code: "CONTROL", message });
    undo?.();
    rmSync(folder, { recursive: true });
  });

test.serial("a daemon that does not answer is given up in time", async (t) => {
  const { path } = await serve(t, {}, async function* () {
    await new Promise(() => {});
    yield { result: "done", body: {} };
  });
  const client = await ControlClient.connect(path, { timeoutMs: 1500 });
  await t.throwsAsync(client.call("reload", {}), {
    code: "CONTROL",
    message: `the daemon at ${path} did not answer in 1500 ms`,
  });
});
