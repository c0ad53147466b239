// The client library on ports.sock: frames both ways, reconnecting, and clients that die.
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import test from "ava";
import { frameColumns, openPort } from "../../native/index.js";
import { frame, listening, until } from "../support/native-ports.js";

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
  t.is(await client.wait({ timeoutMs: 60_000 }), "reconnected");
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

// --- processes --------------------------------------------------------------------------------------------------------

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
    await until(() => lines.length > 1 + round * 3, "the victim to send");
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
    process.stdout.write("opened\\n");
    setInterval(() => global.gc(), 10);
    process.stdin.resume().on("end", () => process.exit());`;
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", code], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await until(() => hub.ports().length === 0, "the forgotten port to go");
  t.is(child.exitCode, null);
  child.stdin.end();
  hub.stop();
});
