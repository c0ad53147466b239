// query, trace and mac list --at as their users run them: on a daemon with ports and traffic, and on its store when it is gone.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PacketText, type PacketTextOptions } from "../../logger/print/packet-text.js";
import { createStore, StoreAppender } from "../../logger/store.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { cliPath, runCli } from "../cli/run-cli.js";
import { DaemonProcess, numberedFrame, receiveFrames, testFolder } from "../switch/daemon-process.js";

/** A daemon that logs everything, with two hosts that know each other and one whom nobody asked for. */
async function livelySwitch(t: Parameters<typeof testFolder>[0]) {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [
    "--store",
    "s.store",
    "--size",
    "32M",
    "--log",
    "ether proto 0x88b5 or vlan",
  ]);
  const [a, b] = ["vale0:a", "vale0:b"].map((name) => daemon.open(t, name));
  await a!.sendAll([numberedFrame(1, 2, 1)]);
  await receiveFrames(b!, 1);
  await b!.sendAll([numberedFrame(2, 1, 2)]);
  await receiveFrames(a!, 1);
  await a!.sendAll([3, 4, 5].map((number) => numberedFrame(1, 2, number)));
  await receiveFrames(b!, 3);
  return { daemon, store: join(folder, "s.store"), a: a!, b: b! };
}

test("query asks the running daemon's store: lines, JSON, sums, and the switch's own words", async (t) => {
  const { daemon } = await livelySwitch(t);
  const lines = await daemon.cli("query", "-e", "-n", "-t");
  t.is(lines.status, 0, lines.stderr);
  const headers = lines.stdout.split("\n").filter((line) => line.startsWith("["));
  t.is(headers.length, 5);
  t.is(
    headers[0],
    "[vale0:a > *, rule r1] 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype Unknown (0x88b5), length 64: ",
    lines.stdout,
  );
  t.true(headers[1]!.startsWith("[vale0:b > vale0:a, rule r1] "), headers[1]);
  const json = JSON.parse((await daemon.cli("query", "--json", "out-port", "vale0:b")).stdout);
  t.is(json.length, 3);
  t.deepEqual(
    [json[0].in_iface, json[0].out_iface, json[0].outcome, json[0].wire_length],
    ["vale0:a", "vale0:b", "forwarded", 64],
  );
  t.regex((await daemon.cli("query", "--count")).stdout, /^5 packets, 320 bytes\n$/);
  const flows = await daemon.cli("query", "--flows");
  t.regex(
    flows.stderr,
    /^5 packets \(320 B\) belong to no row: they are not IP behind Ethernet, VLAN tags, MPLS labels or PPPoE, /,
  );
  t.regex(
    (await daemon.cli("query", "--top", "in-port", "--rows", "1")).stderr,
    /^\d packets? \(\d+ B\) left out: of rows that were met when there were 1, which may be larger than those; keep more with --rows /,
  );
  const top = await daemon.cli("query", "--top", "in-port", "--jsonl");
  t.deepEqual(
    top.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .map((row) => [row["in-port"], row.packets]),
    [
      ["vale0:a", 4],
      ["vale0:b", 1],
    ],
  );
  const reverse = await daemon.cli("query", "--jsonl", "--reverse", "-c", "2");
  const sequences = reverse.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).seq);
  t.deepEqual(sequences, [json[2].seq, json[1].seq]);
  t.regex(
    (await daemon.cli("query", "--explain", "--count", "ether host 02:00:00:00:00:01")).stderr,
    /looked at, 5 taken/,
  );
});

test("trace tells a frame's story, and what is no frame", async (t) => {
  const { daemon, a, b } = await livelySwitch(t);
  const rows = (await daemon.cli("query", "--jsonl")).stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const flooded = await daemon.cli("trace", String(rows[0].seq));
  t.is(flooded.status, 0, flooded.stderr);
  t.regex(flooded.stdout, new RegExp(`^Frame ${rows[0].seq}\n`));
  t.regex(flooded.stdout, /^from +vale0:a \(vale, attached in the store's epoch 1\)$/m);
  t.regex(flooded.stdout, /^destination +02:00:00:00:00:02, which the table did not know$/m);
  t.regex(flooded.stdout, /^went to +every other port: 1 copy reserved, 0 refused$/m);
  t.regex(flooded.stdout, /^kept by +rule r1 \(ether proto 0x88b5 or vlan\), rule set 1; strict: /m);
  t.regex(flooded.stdout, /^ +#\d+ +\+\S+ \S+ +02:00/m);
  t.regex(flooded.stdout, /^\t0x0000: {2}0200 0000 0002 0200 0000 0001 88b5 0000 {2}/m);
  const json = JSON.parse((await daemon.cli("trace", "--json", String(rows[2].seq))).stdout);
  t.is(json.egress.name, "vale0:b");
  t.is(json.destination.port, "vale0:b");
  t.is(json.before.length, 2);
  const tag = Buffer.from("81000014", "hex");
  const plain = numberedFrame(1, 2, 6);
  await a.sendAll([Buffer.concat([plain.subarray(0, 12), tag, plain.subarray(12)])]);
  await receiveFrames(b, 1);
  const [tagged] = JSON.parse((await daemon.cli("query", "--json", "vlan", "20")).stdout);
  const unknown = await daemon.cli("trace", String(tagged.seq));
  t.regex(unknown.stdout, /^source +02:00:00:00:00:01, which the table did not know in VLAN 20$/m);
  const event = await daemon.cli("trace", "1");
  t.is(event.status, 1);
  t.regex(event.stderr, /record 1 is no frame but the start of a writer/);
  t.is((await daemon.cli("trace", "999999")).status, 1);
  t.is((await daemon.cli("trace", "one")).status, 2);
});

test("mac list --at shows the table as it was, also when the daemon is gone", async (t) => {
  const { daemon, store } = await livelySwitch(t);
  const before = await daemon.cli("mac", "list", "--at", "now", "--json");
  const then = JSON.parse(before.stdout);
  t.true(then.complete, before.stdout);
  t.deepEqual(
    then.entries.map(({ mac, port }: { mac: string; port: string }) => [mac, port]),
    [
      ["02:00:00:00:00:01", "vale0:a"],
      ["02:00:00:00:00:02", "vale0:b"],
    ],
  );
  await daemon.end();
  const offline = await runCli(["mac", "list", "--at", then.entries[0].since, "-r", store]);
  t.is(offline.status, 0, offline.stderr);
  t.regex(offline.stdout, /^02:00:00:00:00:01 +0 +vale0:a +learned /m);
  t.false(offline.stdout.includes("02:00:00:00:00:02"));
  t.is((await runCli(["mac", "list", "--at", "1980-01-01", "-r", store])).stdout.split("\n").length, 2);
  t.is((await runCli(["mac", "list", "--at", "whenever", "-r", store])).status, 2);
  const mistyped = await runCli(["mac", "list", "--at", "now", "-r", store, "--switch", "val0"]);
  t.is(mistyped.status, 2);
  t.regex(mistyped.stderr, /--switch "val0": the log names no port of it: did you mean "vale0"\?\n$/);
});

test("query ends quietly when its reader goes, with counts on SIGINT, and refuses what makes no sense", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "s.store");
  await createStore(path, { sizeBytes: 64 << 20 });
  const appender = await StoreAppender.open(path);
  appender.addInterface("en0");
  const { batch } = generateTraffic({ seed: 3, frames: 60_000 });
  await appender.append({ ...batch, interfaces: new Uint16Array(batch.count) });
  await appender.close();
  const piped = spawn("/bin/sh", ["-c", `"${process.execPath}" "${cliPath}" query -r "${path}" --utc | head -n 3`], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaint = "";
  piped.stdout.on("data", (data: Buffer) => (output += data));
  piped.stderr.on("data", (data: Buffer) => (complaint += data));
  await new Promise((resolve) => piped.on("close", resolve));
  const printer = new PacketText({ utc: true });
  const first = [0, 1, 2].map((i) => {
    const bytes = batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!);
    return printer.text({ bytes, timeNs: batch.timesNs[i]!, wireLength: batch.wireLengths[i]! });
  });
  t.is(output, `${first.join("\n")}\n`);
  t.false(/paste-switch:/.test(complaint), complaint);
  const slow = spawn(process.execPath, [cliPath, "query", "-r", path], { stdio: ["ignore", "pipe", "pipe"] });
  let told = "";
  slow.stderr.on("data", (data: Buffer) => (told += data));
  await new Promise((resolve) => slow.stdout.once("readable", resolve)); // and nothing is read: it waits for the pipe
  slow.kill("SIGINT");
  slow.stdout.resume();
  const status = await new Promise((resolve) => slow.on("close", resolve));
  t.is(status, 0, told);
  t.regex(told, /packets, .*, interrupted\n$/);
  const capture = join(folder, "c.pcap");
  const writer = new PcapWriter({ nanoseconds: true });
  writeFileSync(capture, Buffer.concat([writer.header(), writer.append(batch)]));
  const explained = await runCli(["query", "-r", capture, "--explain", "--count", "udp"]);
  t.regex(explained.stderr, /^captures, which have no index: 60,000 frames looked at\n\d[\d,]* packets, .*\n$/);
  const both = await runCli(["query", "-r", capture, "-r", path, "--explain", "--count", "udp"]);
  t.regex(both.stderr, /^index: .*\n(.*\n)+log read: .*\n.* records looked at, .*\ncaptures, which have no index: /);
  for (const args of [
    ["--count", "--flows"],
    ["--json", "--jsonl"],
    ["--sort", "last"],
    ["-x", "-X"],
    ["--top", "colour"],
    ["-c", "0"],
    ["-r", "/nothing"],
  ]) {
    const refused = await runCli(["query", "-r", path, ...args]);
    t.true(refused.status === 2 || args[0] === "-r", `${args.join(" ")}: ${refused.stderr}`);
    t.regex(refused.stderr, /^paste-switch: .+\n$/, args.join(" "));
    t.is(refused.stdout, "");
  }
});

test("tcpdump's letters mean what they mean there, however often they are given", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "s.pcap");
  const { batch } = generateTraffic({ seed: 5, frames: 40 });
  const writer = new PcapWriter({ nanoseconds: true });
  writeFileSync(path, Buffer.concat([writer.header(), writer.append(batch)]));
  const packets = Array.from({ length: batch.count }, (_, i) => ({
    bytes: batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!),
    timeNs: batch.timesNs[i]!,
    wireLength: batch.wireLengths[i]!,
  }));
  const cases: [string[], PacketTextOptions][] = [
    [["-t"], { style: "none" }],
    [["-tt", "-n", "-S"], { style: "seconds", absoluteSequences: true }],
    [["-ttt", "-x"], { style: "since-previous", hex: "x" }],
    [["-tttt", "-XX", "-e"], { style: "date", hex: "XX", linkHeader: true }],
    [["-ttttt", "-A", "--nano"], { style: "since-first", hex: "A", nanoseconds: true }],
  ];
  for (const [args, options] of cases) {
    const { stdout, status } = await runCli(["query", "-r", path, "--utc", ...args]);
    const printer = new PacketText({ ...options, utc: true });
    t.is(status, 0);
    t.is(stdout, packets.map((packet) => `${printer.text(packet)}\n`).join(""), args.join(" "));
  }
});
