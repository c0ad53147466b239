// The daemon as a service: systemd, groups, many ports, stores that are full or on a disk.
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { openStore } from "../../logger/reader.js";
import { emptyRule } from "../../switch/rules.js";
import { total } from "../support/live-switch.js";
import { until } from "../support/until.js";
import { DaemonProcess, numberedFrame, receiveFrames, smallStore, testFolder } from "./daemon-process.js";

test("tells systemd that it is ready, and that it stops", async (t) => {
  const folder = testFolder(t);
  const socket = join(folder, "notify");
  // Node has no datagram sockets of this kind; python3 is there, as the addon is built with it.
  const listener = spawn("python3", [
    "-uc",
    "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint('bound')\nwhile True: print(s.recv(4096).decode())",
    socket,
  ]);
  t.teardown(() => listener.kill());
  let heard = "";
  let look = () => {};
  listener.stdout.setEncoding("utf8").on("data", (text: string) => {
    heard += text;
    look();
  });
  const hears = (text: string) =>
    new Promise<void>((resolve) => {
      look = () => heard.includes(text) && resolve();
      look();
    });
  await hears("bound");
  const daemon = await DaemonProcess.start(t, folder, [], { env: { NOTIFY_SOCKET: socket } });
  await hears(`READY=1\nMAINPID=${daemon.child.pid}\n`);
  t.is(await daemon.end(), 0);
  await hears("STOPPING=1");
  t.pass();
});

/** A FIFO that is full: who writes to it waits. `drain()` makes room, and gives all that was written since. */
function fullPipe(path: string): { drain: () => string; close: () => void } {
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const untilAgain = (step: () => void) => {
    try {
      for (;;) step();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  };
  untilAgain(() => writeSync(fd, " ".repeat(4096)));
  const bytes = Buffer.alloc(65536);
  return {
    drain: () => {
      let text = "";
      untilAgain(() => {
        text += bytes.toString("utf8", 0, readSync(fd, bytes));
      });
      return text.trimStart();
    },
    close: () => closeSync(fd),
  };
}

test("signals before it is ready: the start is finished, and what it made is closed", async (t) => {
  const folder = testFolder(t);
  const pipe = fullPipe(join(folder, "stderr"));
  // What it says before it is ready holds it.
  const before = ["sh", "-c", 'exec "$@" 2>stderr', "sh", process.execPath];
  const daemon = DaemonProcess.begin(t, folder, [...smallStore, "--port", "vale0:a"], { before });
  t.teardown(pipe.close);
  const caught = () => /^SigCgt:\s*(\S+)$/m.exec(readFileSync(`/proc/${daemon.child.pid}/status`, "latin1"))![1]!;
  await until(() => (Number.parseInt(caught().slice(-1), 16) & 1) !== 0, "it listens for SIGHUP");
  daemon.child.kill("SIGHUP");
  daemon.child.kill("SIGTERM");
  let stderr = "";
  const status = daemon.ended.then((code) => {
    clearInterval(draining);
    stderr += pipe.drain();
    return code;
  });
  const draining = setInterval(() => {
    stderr += pipe.drain();
  }, 10);
  t.is(await status, 0, stderr);
  t.is(daemon.stdout, "");
  t.regex(stderr, /^SIGTERM: closed clean, before it was ready; 0 frames selected, 0 logged$/m);
  for (const path of [daemon.control, daemon.ports]) t.false(existsSync(path), path);
  const store = await openStore(join(folder, "s.store"));
  t.true((await store.info()).clean);
  store.close();
});

test("a group may use the sockets and read the store when it is named", async (t) => {
  const folder = testFolder(t);
  const group = String(process.getgid!());
  const daemon = await DaemonProcess.start(t, folder, ["--group", group, ...smallStore]);
  t.is(statSync(daemon.control).mode & 0o777, 0o660);
  t.is(statSync(daemon.ports).mode & 0o777, 0o660);
  t.is(statSync(join(folder, "s.store")).mode & 0o777, 0o640);
  for (const path of [daemon.control, daemon.ports, join(folder, "s.store")]) t.is(statSync(path).gid, Number(group));
});

test("hundreds of ports on several switches are listed whole, and go again", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t));
  await daemon.ask(async (client) => {
    const names = Array.from({ length: 450 }, (_, n) => `vale${n % 3}:p${n}`);
    for (const spec of names) await client.call("portAdd", { spec, save: false });
    const listed = (await client.call("portList", {})).ports.map(({ name }) => name);
    t.deepEqual(listed.toSorted(), names.toSorted());
    t.deepEqual((await client.call("stats", {})).ports.map(({ name }) => name).toSorted(), names.toSorted());
    for (const name of names) await client.call("portRemove", { name, save: false });
    t.deepEqual((await client.call("portList", {})).ports, []);
  });
  t.is(await daemon.end(), 0);
});

test("a full store with the policy stop counts what it does not log, until it is trimmed", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--full", "stop", "--log", ""]);
  const a = daemon.open(t, "vale0:a");
  const b = daemon.open(t, "vale0:b");
  let sent = 0;
  const send = async (count: number) => {
    for (const end = sent + count; sent < end; ) {
      const batch = Array.from({ length: Math.min(500, end - sent) }, () => numberedFrame(1, 2, sent++, 1500));
      await a.sendAll(batch);
      t.is((await receiveFrames(b, batch.length)).length, batch.length, "a full log stops no frame");
    }
  };
  await send(12_000);
  const stats = () => daemon.ask((client) => client.call("stats", {}));
  const full = await stats();
  t.is(full.selected, 12_000);
  t.is(full.selected, full.logged + total(full.notLogged));
  t.true(full.notLogged.store_full! > 0, JSON.stringify(full.notLogged));
  t.is(full.store!.retiredFrames, 0);
  t.regex(
    (await daemon.cli("store", "trim", "--before", "5000", join(folder, "s.store"))).stderr,
    /^[1-9]\d* blocks given up$/m,
  );
  await send(100);
  const after = await stats();
  t.true(after.logged > full.logged, `${after.logged} logged after ${full.logged}`);
  t.is(await daemon.end(), 0);
});

test("a rule's own durability, sampling, length and ports are obeyed", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore]);
  const [a, b] = ["vale0:a", "vale0:b"].map((name) => daemon.open(t, name));
  await daemon.ask(async (client) => {
    const add = (rule: object) => client.call("ruleAdd", { rule: { ...emptyRule, ...rule }, before: "", save: false });
    await add({ name: "skipped", filter: "less 64", skip: true });
    await add({
      name: "sampled",
      filter: "less 100",
      inPorts: ["vale0:a"],
      sample: 10,
      snaplen: 20,
      durability: "relaxed",
    });
    await add({ name: "never", inPorts: ["vale1:*"] });
    await add({ name: "back", inPorts: ["vale0:b"] });
  });
  await a!.sendAll(Array.from({ length: 300 }, (_, n) => numberedFrame(1, 2, n, [60, 80, 200][n % 3])));
  t.is((await receiveFrames(b!, 300)).length, 300);
  await b!.sendAll([numberedFrame(2, 1, 0, 80)]);
  t.is((await receiveFrames(a!, 1)).length, 1);
  const { rules, selected, logged, notLogged } = await daemon.ask((client) => client.call("stats", {}));
  t.deepEqual(
    rules.map(({ name, hits, logged }) => [name, hits, logged]),
    [
      ["skipped", 100, 0],
      ["sampled", 100, 10],
      ["never", 0, 0],
      ["back", 1, 1],
    ],
  );
  t.is(notLogged.sampled_out, 90);
  t.is(selected, logged + total(notLogged));
  await daemon.end();
  const reader = openStore(join(folder, "s.store"));
  const kept: [string, number, number][] = [];
  for await (const batch of reader.frames())
    for (let i = 0; i < batch.count; i++) kept.push([batch.rule(i), batch.bytes(i).length, batch.wireLength(i)]);
  t.is(kept.length, 11);
  for (const [rule, captured, wire] of kept) t.deepEqual([captured, wire], rule === "back" ? [80, 80] : [20, 80]);
});

test("on a disk, what was received before SIGTERM and before SIGKILL is in the store", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "paste-disk-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const store = join(folder, "s.store");
  let received = 0;
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const daemon = await DaemonProcess.start(t, folder, ["--store", store, "--size", "16M", "--log", ""]);
    t.regex(daemon.stderr, /^medium .*: \S/m);
    const a = daemon.open(t, "vale0:a");
    const b = daemon.open(t, "vale0:b");
    const frames = Array.from({ length: 200 }, (_, n) => numberedFrame(1, 2, received + n));
    await a.sendAll(frames);
    const got = await receiveFrames(b, 200);
    t.is(got.length, 200);
    received = got.at(-1)!.readUInt32BE(14) + 1;
    t.is(await daemon.end(signal), signal === "SIGTERM" ? 0 : "SIGKILL");
    const found: number[] = [];
    for await (const batch of openStore(store).frames())
      for (const { bytes } of batch) found.push(Buffer.from(bytes).readUInt32BE(14));
    t.deepEqual(
      found,
      Array.from({ length: received }, (_, n) => n),
      signal,
    );
  }
});

test("a capture that turns out to be damaged says so until its port is removed", async (t) => {
  const folder = testFolder(t);
  const head = Buffer.alloc(24 + 16);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(1, 20);
  head.writeUInt32LE(0x7fffffff, 24 + 8); // a frame longer than any
  head.writeUInt32LE(0x7fffffff, 24 + 12);
  writeFileSync(join(folder, "lying.pcap"), head);
  const daemon = await DaemonProcess.start(t, folder, ["--port", "vale0:l=pcap:lying.pcap"]);
  await daemon.said("stderr", /^port vale0:l is detached, error: capture \S*lying\.pcap[^\n]+$/m);
  const list = await daemon.cli("port", "list");
  t.regex(list.stdout, /^vale0:l +pcap +error .*\n {4}capture \S*lying\.pcap/m);
  t.regex((await daemon.cli("stats")).stdout, /^vale0:l is detached, error: capture \S*lying\.pcap/m);
  t.is((await daemon.cli("port", "remove", "vale0:l")).status, 0);
  t.notRegex((await daemon.cli("port", "list")).stdout, /vale0:l/);
});
