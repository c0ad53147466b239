// Ports on the real switch: clients of their own processes that are killed, a capture as a source, a daemon that comes back.
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { createEngine } from "../../native/engine.js";
import type { PortClient } from "../../native/port-client.js";
import { engineDefaults, frame, liveSwitch, sumsHold, textOf, until } from "../support/live-switch.js";

const script = join(dirname(fileURLToPath(import.meta.url)), "..", "support", "hostile-client.js");

function startVictim(socket: string, name: string): { child: ChildProcess; lines: string[]; ended: Promise<unknown> } {
  const child = spawn(process.execPath, [script, socket, name], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) => lines.push(line));
  return { child, lines, ended: new Promise((resolve) => child.once("exit", resolve)) };
}

test("clients killed in mid-traffic: ports freed, the sums hold, unicast between others loses nothing", async (t) => {
  const s = await liveSwitch(t);
  const one = s.open("vale0:one");
  // As many slots as there are: the victim's flood must not be the reason for a full ring.
  const two = s.open("vale0:two", { slots: 4096 });
  two.send([frame(0, 2, "learn me")]);
  await s.settled();
  const numbers: number[] = [];
  const take = (client: PortClient) => {
    for (const bytes of client.receive(4096)) {
      const text = textOf(bytes);
      if (client === two && text.startsWith("n=")) numbers.push(Number(text.slice(2)));
    }
  };
  let sent = 0;
  for (let round = 0; round < 5; round++) {
    const victim = startVictim(s.socket, "vale0:victim");
    await until(() => {
      take(one);
      take(two);
      return victim.lines.length > round;
    }, "the victim to attach and send");
    for (let i = 0; i < 40; i++) {
      await one.sendAll([frame(2, 1, `n=${sent++}`)]);
      if (i === 20) victim.child.kill("SIGKILL");
      await until(() => {
        take(one);
        take(two);
        return one.sentAll;
      }, "the switch to take a frame");
    }
    await victim.ended;
    await until(() => {
      take(one);
      take(two);
      return !s.engine.stats().ports.some((port) => port.name === "vale0:victim");
    }, "the victim's port to go");
  }
  await s.settled();
  take(two);
  const stats = s.engine.stats();
  sumsHold(t, stats);
  const counters = stats.ports.find((port) => port.name === "vale0:two")!.counters;
  const refused = counters.refused.full ?? 0;
  t.deepEqual(
    numbers,
    [...new Set(numbers)].sort((x, y) => x - y),
    "in order, none twice",
  );
  t.true(sent - numbers.length <= refused, `${sent} sent, ${numbers.length} received, ${refused} refused`);
  t.true(stats.detached.receivedFrames > 0);
});

/** A classic pcap of Ethernet frames, 1 ms apart. */
function capture(path: string, frames: Buffer[]): void {
  const writer = new PcapWriter();
  const batch = batchOf(frames.map((data, i) => ({ data, timeNs: BigInt(i) * 1_000_000n })));
  writeFileSync(path, Buffer.concat([writer.header(), writer.append(batch)]));
}

for (const speed of ["speed=max", "speed=1"])
  test(`a capture as a port (${speed}): every frame reaches the others, nothing goes to the capture, and it leaves`, async (t) => {
    const s = await liveSwitch(t);
    const a = s.open("vale0:a");
    const b = s.open("vale0:b");
    const frames = [...Array(200).keys()].map((i) => frame(0, 50, `frame ${i}`, 60 + i * 7));
    const path = join(s.folder, "some.pcap");
    capture(path, frames);
    s.engine.attach("vale0:file", `pcap:${path},${speed}`);
    a.send([frame(50, 1, "nobody is there")]);
    const got: Buffer[] = [];
    const others: Buffer[] = [];
    await until(() => {
      got.push(...b.receive().filter((bytes) => textOf(bytes).startsWith("frame")));
      others.push(...a.receive().filter((bytes) => textOf(bytes).startsWith("frame")));
      return got.length >= 200 && others.length >= 200;
    }, "200 frames at two ports");
    t.deepEqual(got, frames);
    t.deepEqual(others, frames);
    await until(() => !s.engine.stats().ports.some((port) => port.name === "vale0:file"), "the file's port to leave");
    const stats = s.engine.stats();
    sumsHold(t, stats);
    t.is(stats.detached.receivedFrames, 200);
    t.is(stats.detached.zeroCopyFrames, 200);
    t.is(stats.detached.intendedCopies, 0);
  });

test("a daemon that comes back finds its clients again: same names, frames flow", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a", { reconnectMs: 60_000 });
  const b = s.open("vale0:b", { reconnectMs: 60_000 });
  a.send([frame(0, 1, "before")]);
  t.is(await b.wait({ timeoutMs: 60_000 }), "ready");
  t.deepEqual(b.receive().map(textOf), ["before"]);
  await s.engine.drain();
  const engine = await createEngine({ ...engineDefaults, portsSocket: s.socket });
  engine.start();
  t.teardown(() => engine.drain());
  t.deepEqual(await Promise.all([a.wait({ timeoutMs: 60_000 }), b.wait({ timeoutMs: 60_000 })]), [
    "reconnected",
    "reconnected",
  ]);
  a.send([frame(0, 1, "after")]);
  t.is(await b.wait({ timeoutMs: 60_000 }), "ready");
  t.deepEqual(b.receive().map(textOf), ["after"]);
  t.deepEqual(
    engine.stats().ports.map((port) => port.name),
    ["vale0:a", "vale0:b"],
  );
});

test("a port detached by its operator is gone for its client, and its name is free", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a", { reconnectMs: 60_000 });
  s.engine.detach("vale0:a");
  t.is(await a.wait({ timeoutMs: 60_000 }), "gone");
  t.deepEqual(s.engine.stats().ports, []);
  s.open("vale0:a");
  t.is(s.engine.stats().ports.length, 1);
});

test("a port goes while its frames are with another thread, and nobody sends any more", async (t) => {
  const s = await liveSwitch(t, { threads: 2 });
  const b = s.open("vale0:b");
  const burst = Array.from({ length: 250 }, (_, number) => frame(0xff, 1, `${number} ${"x".repeat(1200)}`));
  for (let round = 0; round < 100; round++) {
    const a = s.open("vale0:a", { reconnectMs: 0 });
    a.send(burst);
    s.engine.detach("vale0:a"); // returns when both threads are done with the port
    a.close();
    b.receive(4096);
  }
  t.deepEqual(
    s.engine.stats().ports.map((port) => port.name),
    ["vale0:b"],
  );
  sumsHold(t, s.engine.stats());
});
