// The daemon as a process: start, stop, signals, sockets, rules under traffic, and the sums of its counters.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { DaemonStats } from "../../switch/control-protocol.js";
import { emptyRule } from "../../switch/rules.js";
import { cliPath } from "../cli/run-cli.js";
import { allCounted, sumsHold } from "../support/live-switch.js";
import { until } from "../support/until.js";
import { DaemonProcess, numberedFrame, receiveFrames, smallStore, testFolder } from "./daemon-process.js";

test("starts, says what it stands on, and ends clean on SIGTERM", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--log", "ip"]);
  t.regex(daemon.stderr, /^paste-switch 0\.1\.0, instance default, pid \d+, control \S+\/c\.sock$/m);
  t.regex(daemon.stderr, /^store \S+\/s\.store \(made now\), strict, when full: overwrite$/m);
  t.regex(daemon.stderr, /^medium \S.*: \S/m);
  t.false(/recovery/.test(daemon.stderr));
  t.is(statSync(daemon.control).mode & 0o777, 0o600);
  t.is(statSync(daemon.ports).mode & 0o777, 0o600);
  t.is(await daemon.end("SIGTERM"), 0);
  t.is(daemon.stdout, "ready\n");
  t.false(existsSync(daemon.control));
  t.false(existsSync(daemon.ports));
  const again = await DaemonProcess.start(t, folder, ["--store", "s.store"]);
  t.false(/recovery|made now/.test(again.stderr), again.stderr);
  t.regex(again.stderr, /^no rules: nothing is logged$/m);
  t.is(await again.end("SIGINT"), 0);
});

test("a second daemon on the same socket is refused, and on the same store", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore]);
  const sameSocket = await DaemonProcess.fails(folder, []);
  t.is(sameSocket.status, 1);
  t.is(
    sameSocket.stderr,
    `paste-switch: a daemon is running at ${daemon.control} (pid ${daemon.child.pid}): stop it, or choose another --name or --control\n`,
  );
  const sameStore = await DaemonProcess.fails(folder, ["--store", "s.store"], "other");
  t.is(sameStore.status, 1);
  t.regex(sameStore.stderr, /^paste-switch: .*s\.store.*\n$/);
  t.false(existsSync(join(folder, "other.sock")));
  t.is((await daemon.cli("stats")).status, 0);
});

test("forwards, learns and counts; every sum is exact", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--log", "less 100"]);
  const [a, b, c] = ["vale0:a", "vale0:b", "vale0:c"].map((name) => daemon.open(t, name));
  await a!.sendAll([numberedFrame(1, 0xff, 0), numberedFrame(1, 0xff, 1)]);
  t.is((await receiveFrames(b!, 2)).length, 2);
  t.is((await receiveFrames(c!, 2)).length, 2);
  await b!.sendAll(Array.from({ length: 100 }, (_, n) => numberedFrame(2, 1, n, n % 2 ? 64 : 200)));
  const got = await receiveFrames(a!, 100);
  t.deepEqual(
    got.map((frame) => frame.readUInt32BE(14)),
    Array.from({ length: 100 }, (_, n) => n),
  );
  await c!.sendAll([Buffer.alloc(10)]);
  let stats!: DaemonStats;
  const runts = () => stats.ports.find(({ name }) => name === "vale0:c")!.counters.dropped.runt;
  await until(async () => {
    stats = await daemon.ask((client) => client.call("stats", {}));
    return runts() !== 0 && allCounted(stats);
  }, "every frame accounted for");
  t.is(runts(), 1);
  sumsHold(t, stats);
  t.is(stats.selected, 52);
  t.deepEqual(
    stats.rules.map(({ name, filter, hits }) => ({ name, filter, hits })),
    [{ name: "r1", filter: "less 100", hits: 52 }],
  );
  t.is(stats.macEntries, 2);

  const text = await daemon.cli("stats");
  t.is(text.status, 0);
  t.regex(text.stdout, /^vale0:b +100 += +100 +\+ +0$/m);
  t.regex(text.stdout, /^vale0:c +1 += +0 +\+ +1 +runt 1$/m);
  t.regex(text.stdout, /^total +103 += +102 +\+ +1 +runt 1$/m);
  t.regex(text.stdout, /^log +selected 52 = logged 52 \+ not logged 0$/m);
  const json = JSON.parse((await daemon.cli("stats", "--json")).stdout) as DaemonStats;
  t.is(json.selected, 52);
  t.is(json.ports.length, 3);

  const prometheus = (await daemon.cli("stats", "--prometheus")).stdout;
  t.regex(prometheus, /^paste_switch_dropped_frames_total\{port="vale0:c",reason="runt"\} 1$/m);
  t.regex(prometheus, /^paste_switch_logged_frames_total 52$/m);
  for (const line of prometheus.trimEnd().split("\n"))
    t.regex(line, /^(# (HELP|TYPE) paste_switch_\w+ .+|paste_switch_\w+(\{(\w+="[^"]*",?)+\})? \d+(\.\d+)?)$/);

  const macs = await daemon.cli("mac", "list");
  t.regex(macs.stdout, /^02:00:00:00:00:01 +0 +vale0:a +\S+ \S+ ago$/m);
  t.is((await daemon.cli("mac", "add", "02:00:00:00:00:03", "vale0:c")).stderr, "");
  t.regex((await daemon.cli("mac", "list")).stdout, /^02:00:00:00:00:03 +0 +vale0:c +static$/m);
  t.is((await daemon.cli("mac", "flush")).stderr, "2 forgotten\n");
  t.is((await daemon.cli("mac", "remove", "02:00:00:00:00:03")).status, 0);
  t.deepEqual(JSON.parse((await daemon.cli("mac", "list", "--json")).stdout), []);
  const unknown = await daemon.cli("mac", "list", "--switch", "vale9");
  t.is(unknown.status, 2);
  t.is(unknown.stderr, "paste-switch: no switch vale9: a switch comes with its first port; there is vale0\n");
  t.is(await daemon.end(), 0);
});

test("without rules, and without a store, stats say that nothing is logged", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t), ["--port", "vale0:a"]);
  const { stdout } = await daemon.cli("stats");
  t.regex(stdout, /^store +none: nothing can be logged$/m);
  t.regex(stdout, /^no rules: nothing is logged; add one with `paste-switch rule add FILTER`$/m);
  t.regex(stdout, /^vale0:a +0 += +0 +\+ +0$/m);
});

test("rules change under traffic without losing a frame", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore]);
  const a = daemon.open(t, "vale0:a");
  const b = daemon.open(t, "vale0:b");
  const count = 20_000;
  const send = async () => {
    for (let at = 0; at < count; at += 100) {
      await a.sendAll(Array.from({ length: 100 }, (_, n) => numberedFrame(1, 2, at + n)));
      // Lets the receiver keep up: a full ring would lose copies by right.
      while (received.length < at - 400) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const received: number[] = [];
  const receive = async () => {
    while (received.length < count) {
      for (const frame of b.receive()) received.push(frame.readUInt32BE(14));
      if (received.length < count && (await b.wait({ timeoutMs: 60_000 })) !== "ready") return;
    }
  };
  let changes = 0;
  let busy = true;
  const change = () =>
    daemon.ask(async (client) => {
      while (busy) {
        const { name } = await client.call("ruleAdd", {
          rule: { ...emptyRule, filter: "ether proto 0x88b5" },
          before: "",
          save: false,
        });
        await client.call("ruleRemove", { name, save: false });
        changes += 2;
      }
    });
  const changing = change();
  await Promise.all([send(), receive()]);
  busy = false;
  await changing;
  t.log(`${changes} changes while ${count} frames passed`);
  t.true(changes > 10);
  t.deepEqual(
    received,
    Array.from({ length: count }, (_, n) => n),
  );
});

test("SIGHUP reads the rules again; a bad configuration changes nothing", async (t) => {
  const folder = testFolder(t);
  const config = join(folder, "lab.toml");
  writeFileSync(
    config,
    '[store]\npath = "s.store"\nsize = "16M"\n\n[[port]]\nname = "vale0:a"\n\n[[rule]]\nname = "one"\nfilter = "tcp"\n',
  );
  const daemon = await DaemonProcess.start(t, folder, ["-f", config, "--log", "udp"]);
  const names = async () => (await daemon.ask((client) => client.call("ruleList", {}))).rules.map(({ name }) => name);
  t.deepEqual(await names(), ["one", "r1"]);
  writeFileSync(config, '[[rule]]\nname = "two"\nfilter = "icmp"\n\n[[rule]]\nname = "three"\n');
  daemon.child.kill("SIGHUP");
  await daemon.said("stderr", /^rules read again from \S+lab\.toml: 3 at work$/m);
  t.deepEqual(await names(), ["two", "three", "r1"]);
  writeFileSync(config, '[[rule]]\nname = "four"\nfilter = "tcp prot"\n');
  daemon.child.kill("SIGHUP");
  await daemon.said("stderr", /^rules stay as they were: \S+lab\.toml:3: rule\[1\]\.filter: /m);
  t.deepEqual(await names(), ["two", "three", "r1"]);
  t.is(await daemon.end(), 0);
});

test("ports and rules last until the daemon stops, or for good with --save", async (t) => {
  const folder = testFolder(t);
  const config = join(folder, "lab.toml");
  writeFileSync(config, "# ours\n[daemon]\nthreads = 1\n");
  const daemon = await DaemonProcess.start(t, folder, ["-f", config]);
  t.deepEqual(await daemon.cli("port", "add", "vale0:a", "--save"), { status: 0, stdout: "vale0:a\n", stderr: "" });
  t.is((await daemon.cli("port", "add", "vale0:b")).status, 0);
  t.is((await daemon.cli("rule", "add", "--save", "--name", "web", "tcp", "port", "80")).stdout, "web\n");
  t.is((await daemon.cli("rule", "add", "--before", "web", "--skip", "tcp", "port", "8080")).stdout, "r1\n");
  t.regex((await daemon.cli("rule", "list")).stdout, /^r1 .* skip +tcp port 8080\nweb .* log +tcp port 80$/m);
  t.regex((await daemon.cli("port", "list")).stdout, /^vale0:a +vale /m);
  t.is(
    readFileSync(config, "utf8"),
    '# ours\n[daemon]\nthreads = 1\n\n[[port]]\nname = "vale0:a"\n\n[[rule]]\nname = "web"\nfilter = "tcp port 80"\n',
  );
  t.is(await daemon.end(), 0);
  const again = await DaemonProcess.start(t, folder, ["-f", config]);
  t.deepEqual(
    (await again.ask((client) => client.call("portList", {}))).ports.map(({ name }) => name),
    ["vale0:a"],
  );
  t.is((await again.cli("rule", "remove", "--save", "web")).status, 0);
  t.is((await again.cli("port", "remove", "vale0:a", "--save")).status, 0);
  t.regex((await again.cli("stats")).stdout, /^no ports: /m);
  t.false(/rule|port/.test(readFileSync(config, "utf8")));
});

const mistakes: [title: string, args: string[], status: number, message: RegExp][] = [
  ["a filter", ["rule", "add", "tcp", "prot", "80"], 2, /prot/],
  ["a rule before one that is not there", ["rule", "add", "--before", "zz", "tcp"], 2, /^no rule "zz": there are r1$/],
  ["a rule that is not there", ["rule", "remove", "zz"], 2, /^no rule "zz": there are r1$/],
  [
    "a rule's name twice",
    ["rule", "add", "--name", "r1", "tcp"],
    2,
    /^rule "r1" exists already: names are unique, choose another$/,
  ],
  ["a port's name twice", ["port", "add", "vale0:a"], 1, /vale0:a/],
  ["a port that is not there", ["port", "remove", "vale0:zz"], 1, /vale0:zz/],
  [
    "a capture that is not there",
    ["port", "add", "pcap:/nowhere.pcap"],
    1,
    /^port vale0:nowhere: there is no file \/nowhere\.pcap$/,
  ],
  [
    "a multicast address",
    ["mac", "add", "01:00:00:00:00:01", "vale0:a"],
    2,
    /^01:00:00:00:00:01 is a multicast address: it cannot be behind one port$/,
  ],
  ["no address", ["mac", "add", "1", "vale0:a"], 2, /^"1" is no address: write it as 02:00:00:00:00:01$/],
];
test("mistakes are said in one line and change nothing", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t), ["--port", "vale0:a", "--log", "udp"]);
  for (const [title, args, status, message] of mistakes) {
    const result = await daemon.cli(...args);
    t.is(result.status, status, `${title}: ${result.stderr}`);
    t.is(result.stdout, "", title);
    t.regex(result.stderr, /^paste-switch: [^\n]+\n$/, title);
    t.regex(result.stderr.slice("paste-switch: ".length, -1), message, title);
  }
  const { ports, rules } = await daemon.ask((client) => client.call("stats", {}));
  t.deepEqual([ports.map(({ name }) => name), rules.map(({ name }) => name)], [["vale0:a"], ["r1"]]);
});

test("what it cannot start with is said in one line, and nothing is left behind", async (t) => {
  const folder = testFolder(t);
  writeFileSync(join(folder, "foreign.store"), Buffer.alloc(20 << 20, "x"));
  writeFileSync(join(folder, "empty.store"), "");
  execFileSync("mkfifo", [join(folder, "fifo.toml")]);
  const made = await DaemonProcess.start(t, folder, ["--store", "short.store", "--size", "16M"]);
  await made.end();
  truncateSync(join(folder, "short.store"), 1 << 20);
  const starts: [args: string[], status: number, message: RegExp][] = [
    [
      ["--store", "none.store"],
      1,
      /^there is no store \S+none\.store: give its size \(--size 64M\) to make it, or use `paste-switch store create`$/,
    ],
    [
      ["--store", "tiny.store", "--size", "1M"],
      2,
      /tiny\.store: 1048576 bytes are too few for a store: at least 16777216 bytes \(16M\)$/,
    ],
    [["--store", "x.store", "--size", "lots"], 2, /^--size: "lots" is no size/],
    [["--store", "foreign.store"], 1, /foreign\.store/],
    [["--store", "empty.store"], 1, /empty\.store/],
    [["--store", "short.store"], 1, /short\.store/],
    [["--store", "huge.store", "--size", "500T"], 1, /huge\.store/],
    [["--store", "/proc/none.store", "--size", "16M"], 1, /\/proc/],
    [["--port", "vale0:a", "--port", "vale0:a"], 1, /vale0:a/],
    [["--port", "tap:t0,mode=native"], 2, /unknown option mode: a tap port takes queues/],
    [["--log", "tcp prot 80"], 2, /prot/],
    [["-f", "fifo.toml"], 2, /^configuration \S+fifo\.toml: it is no regular file: write it into one$/],
    [["-f", "none.toml"], 2, /^configuration \S+none\.toml: there is no such file$/],
    [["--group", "no-such-group"], 2, /^group "no-such-group" is not in \/etc\/group/],
    [["--full", "wrap"], 2, /'wrap' is invalid.*overwrite, stop, block/],
    [["--threads", "0"], 2, /^--threads: "0" is no whole number from 1 to 16$/],
  ];
  for (const [args, status, message] of starts) {
    const failed = await DaemonProcess.fails(folder, args);
    const title = args.join(" ");
    t.is(failed.status, status, `${title}: ${failed.stderr}`);
    t.regex(failed.stderr, /^paste-switch: [^\n]+\n$/, title);
    t.regex(failed.stderr.slice("paste-switch: ".length, -1), message, title);
    t.false(existsSync(join(folder, "c.sock")), title);
    t.false(existsSync(join(folder, "c.ports.sock")), title);
    for (const name of ["none", "tiny", "x", "huge"])
      t.false(existsSync(join(folder, `${name}.store`)), `${title}: ${name}.store`);
  }
  t.is(statSync(join(folder, "foreign.store")).size, 20 << 20);
  t.is(statSync(join(folder, "empty.store")).size, 0);
});

test("after a crash the next start recovers by itself and says what it found", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--log", ""]);
  const a = daemon.open(t, "vale0:a");
  const b = daemon.open(t, "vale0:b");
  await a.sendAll(Array.from({ length: 300 }, (_, n) => numberedFrame(1, 2, n)));
  t.is((await receiveFrames(b, 300)).length, 300);
  t.is(await daemon.end("SIGKILL"), "SIGKILL");
  t.true(existsSync(daemon.control));
  const again = await DaemonProcess.start(t, folder, ["--store", "s.store"]);
  t.regex(again.stderr, /^recovery: the last writer died; records \d+ to \d+ are there$/m);
  const { store } = await again.ask((client) => client.call("stats", {}));
  t.true(store!.durableSequence >= 300n, `${store!.durableSequence}`);
  t.is(await again.end(), 0);
});

test("the daemon's own memory, its store aside, stays under 150 MB with 8 ports", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, ["--store", "s.store", "--size", "64M", "--log", ""]);
  const ports = Array.from({ length: 8 }, (_, n) => daemon.open(t, `vale0:p${n}`));
  for (let round = 0; round < 200; round++) {
    for (const [n, port] of ports.entries())
      port.send(Array.from({ length: 64 }, (_, k) => numberedFrame(n, (n + 1) % 8, k, 1000)));
    for (const port of ports) port.receive(1024);
    await new Promise((resolve) => setImmediate(resolve));
  }
  let ownKb = 0;
  let storeKb = 0;
  let inStore = false;
  for (const line of readFileSync(`/proc/${daemon.child.pid}/smaps`, "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) inStore = line.endsWith("s.store");
    const kb = Number(/^Rss: +(\d+) kB/.exec(line)?.[1] ?? 0);
    if (inStore) storeKb += kb;
    else ownKb += kb;
  }
  t.log(`resident: ${(ownKb / 1024).toFixed(0)} MiB of its own, ${(storeKb / 1024).toFixed(0)} MiB of the store`);
  t.true(storeKb > 0);
  t.true(ownKb * 1024 < 150e6);
});

test("a reader that closes the pipe early is no error, and does not end a daemon", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, ["--port", "vale0:a"]);
  daemon.child.stdout!.destroy();
  daemon.child.stderr!.destroy();
  daemon.child.kill("SIGHUP");
  t.is((await daemon.cli("stats")).status, 0);
  t.is(await daemon.end(), 0);
});

test("programs come back by themselves when a daemon that died is started again", async (t) => {
  const folder = testFolder(t);
  const args = [...smallStore, "--log", ""];
  const daemon = await DaemonProcess.start(t, folder, args);
  const a = daemon.open(t, "vale0:a", { reconnectMs: 60_000 });
  const b = daemon.open(t, "vale0:b", { reconnectMs: 60_000 });
  await a.sendAll([numberedFrame(1, 2, 0)]);
  t.is((await receiveFrames(b, 1)).length, 1);
  await daemon.end("SIGKILL");
  const back = Promise.all([a.wait(), b.wait()]);
  const again = await DaemonProcess.start(t, folder, args);
  t.deepEqual(await back, ["reconnected", "reconnected"]);
  await a.sendAll([numberedFrame(1, 2, 1)]);
  t.deepEqual(
    (await receiveFrames(b, 1)).map((frame) => frame.readUInt32BE(14)),
    [1],
  );
  const { ports, store } = await again.ask((client) => client.call("stats", {}));
  t.deepEqual(ports.map(({ name }) => name).toSorted(), ["vale0:a", "vale0:b"]);
  t.true(store!.durableSequence > 1n);
});

test("stats --watch goes on until it is interrupted, or nobody reads it", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t), ["--port", "vale0:a"]);
  for (const end of ["SIGINT", "closed"] as const) {
    const watch = spawn(process.execPath, [cliPath, "stats", "--watch", "--json", "--control", daemon.control]);
    let errors = "";
    watch.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    const ended = new Promise((resolve) => watch.on("close", resolve));
    await new Promise((resolve) => watch.stdout.once("data", resolve));
    if (end === "SIGINT") watch.kill("SIGINT");
    else watch.stdout.destroy();
    t.is(await ended, 0, end);
    t.is(errors, "", end);
  }
});
