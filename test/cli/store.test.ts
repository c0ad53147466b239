// The commands about stores, from the command line to the file and back.
import { generateKeyPairSync } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { openCapture } from "../../logger/capture/open-capture.js";
import { indexOf, scanStore } from "../support/native-store.js";
import { DaemonProcess, numberedFrame, receiveFrames, smallStore, testFolder } from "../switch/daemon-process.js";
import { runCli } from "./run-cli.js";

/** A daemon whose store holds 500 frames, numbers 0 to 499, and no more to come. */
async function filled(t: ExecutionContext, ...args: string[]) {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--log", "", ...args]);
  const a = daemon.open(t, "vale0:a");
  const b = daemon.open(t, "vale0:b");
  await a.sendAll(Array.from({ length: 500 }, (_, n) => numberedFrame(1, 2, n, 64 + (n % 1000))));
  t.is((await receiveFrames(b, 500)).length, 500);
  return { folder, daemon, store: join(folder, "s.store") };
}

async function numbers(path: string): Promise<number[]> {
  const capture = await openCapture(path);
  const found: number[] = [];
  for await (const batch of capture)
    for (let i = 0; i < batch.count; i++) found.push(batch.data.readUInt32BE(batch.offsets[i]! + 14));
  return found;
}

test("create, info and verify of a new store", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "new.store");
  const made = await runCli(["store", "create", "--size", "16M", path]);
  t.is(made.status, 0, made.stderr);
  t.regex(made.stderr, /^\S+new\.store: on .+: .+\n$/);
  t.is(statSync(path).size, 16 << 20);
  t.is(statSync(path).mode & 0o777, 0o600);
  const { stdout } = await runCli(["store", "info", path]);
  t.regex(stdout, /^store +\S+new\.store, 16 MiB, version 1, [0-9a-f-]{36}$/m);
  t.regex(stdout, /^state +closed clean$/m);
  t.regex(stdout, /^records +none$/m);
  t.is(JSON.parse((await runCli(["store", "info", "--json", path])).stdout).sizeBytes, 16 << 20);
  t.deepEqual(await runCli(["store", "verify", path]), {
    status: 0,
    stdout: "OK\n",
    stderr: "0 records, 0 frames checked\n",
  });
  const before = readFileSync(path);
  const again = await runCli(["store", "create", "--size", "16M", path]);
  t.is(again.status, 1);
  t.regex(again.stderr, /^paste-switch: \S+new\.store[^\n]*exists[^\n]*\n$/);
  t.true(before.equals(readFileSync(path)));
});

test("export from the running daemon's store, whole, filtered, limited, and to a pipe", async (t) => {
  const { folder, daemon } = await filled(t);
  const all = join(folder, "all.pcapng");
  const whole = await daemon.cli("export", "-w", all);
  t.is(whole.status, 0, whole.stderr);
  t.is(whole.stdout, "");
  t.regex(whole.stderr, /^500 frames, \S+ [KM]iB$/m);
  t.deepEqual(
    await numbers(all),
    Array.from({ length: 500 }, (_, n) => n),
  );
  const few = join(folder, "few.pcap");
  const some = await daemon.cli(
    "export",
    "ether",
    "proto",
    "0x88b5",
    "and",
    "less",
    "70",
    "-F",
    "pcap",
    "-c",
    "5",
    "-w",
    few,
  );
  t.is(some.status, 0, some.stderr);
  t.deepEqual(await numbers(few), [0, 1, 2, 3, 4]);
  const range = join(folder, "range.pcapng");
  const { firstSequence } = JSON.parse((await runCli(["store", "info", "--json", join(folder, "s.store")])).stdout);
  t.is((await daemon.cli("export", "--from", String(firstSequence), "--to", "1", "-w", range)).status, 0);
  t.true((await numbers(range)).length <= 1);
  const named = await runCli(["export", "-r", join(folder, "s.store"), "-r", few, "-w", range]);
  t.regex(named.stderr, /^505 frames, /m);
  const bad = await daemon.cli("export", "tcp", "prot", "80", "-w", range);
  t.is(bad.status, 2);
  t.regex(bad.stderr, /^paste-switch: [^\n]*prot[^\n]*\n$/);
});

test("a store of a daemon that died: read as it is, recovered on request, then clean", async (t) => {
  const { folder, daemon, store } = await filled(t);
  await daemon.end("SIGKILL");
  const before = readFileSync(store);
  t.regex((await runCli(["store", "info", store])).stdout, /^state +its daemon died: /m);
  t.is((await runCli(["store", "verify", store])).status, 0);
  const dry = await runCli(["store", "recover", "--dry-run", store]);
  t.is(dry.status, 0, dry.stderr);
  t.regex(dry.stdout, /^recovery: the last writer died; records 1 to \d+ are there$/m);
  t.regex(dry.stdout, /^recovery: dry run, nothing was written$/m);
  const out = join(folder, "out.pcapng");
  t.is((await runCli(["export", "-r", store, "-w", out])).status, 0);
  t.deepEqual(
    await numbers(out),
    Array.from({ length: 500 }, (_, n) => n),
  );
  t.true(before.equals(readFileSync(store)), "reading must not write");

  const done = await runCli(["store", "recover", store]);
  t.is(done.status, 0, done.stderr);
  t.regex(done.stdout, /^recovery: the last writer died; records 1 to \d+ are there$/m);
  t.regex((await runCli(["store", "info", store])).stdout, /^state +closed clean$/m);
  t.deepEqual(await runCli(["store", "recover", store]), {
    status: 0,
    stdout: "recovery: the store was closed clean, nothing is to be done\n",
    stderr: "",
  });
});

test("trim asks the daemon that has the store open, and trims a closed one itself", async (t) => {
  const { daemon, store } = await filled(t);
  const open = await runCli(["store", "info", "--json", store]);
  t.true(JSON.parse(open.stdout).writerAlive);
  t.regex((await runCli(["store", "recover", store])).stderr, /^paste-switch: \S+s\.store is in use by process \d+/);
  t.regex((await runCli(["store", "recover", "--dry-run", store])).stdout, /^recovery: a daemon has the store open; /);
  const asked = await daemon.cli("store", "trim", "--before", "300", store);
  t.is(asked.status, 0, asked.stderr);
  t.regex(asked.stderr, /^[1-9]\d* blocks? given up\n$/);
  const first = (await daemon.ask((client) => client.call("stats", {}))).store!.firstSequence;
  t.true(first > 1n && first <= 300n, `${first}`);
  const stranger = await runCli([
    "store",
    "trim",
    "--before",
    "300",
    "--control",
    join(daemon.folder, "no.sock"),
    store,
  ]);
  t.is(stranger.status, 1);
  t.regex(stranger.stderr, /is in use by process \d+/);
  t.is(await daemon.end(), 0);
  t.is((await daemon.cli("store", "trim", "--before", "100000", store)).status, 0);
  t.regex((await runCli(["store", "info", store])).stdout, /^records +none$/m);
});

test("verify names what is damaged", async (t) => {
  const { folder, daemon, store } = await filled(t);
  await daemon.end();
  const copy = join(folder, "damaged.store");
  copyFileSync(store, copy);
  const frame = numberedFrame(1, 2, 250, 64 + 250);
  const at = readFileSync(copy).indexOf(frame.subarray(0, 30));
  t.true(at > 0);
  const fd = openSync(copy, "r+");
  writeSync(fd, Buffer.from([0xff]), 0, 1, at + 20);
  closeSync(fd);
  const { status, stdout } = await runCli(["store", "verify", copy]);
  t.is(status, 1);
  t.regex(stdout, /^block \d+, byte \d+: .*payload.*$/m);
  t.regex(stdout, /^[1-9] problems?\n$/m);
  const exported = await runCli(["export", "-r", copy, "-w", join(folder, "x.pcapng")]);
  t.is(exported.status, 1);
  t.regex(
    exported.stderr,
    /^paste-switch: what lay at 1 damaged place of the store is left out: see `paste-switch store verify`$/m,
  );
  t.is((await runCli(["store", "verify", store])).status, 0);
});

test("wrong stores and arguments end in one line", async (t) => {
  const folder = testFolder(t);
  const foreign = join(folder, "foreign.store");
  writeFileSync(foreign, Buffer.alloc(17 << 20, "x"));
  const none = join(folder, "none.store");
  const table: [args: string[], status: number, message: RegExp][] = [
    [["create", none], 2, /required option '--size <size>' not specified/],
    [
      ["create", "--size", "1M", none],
      2,
      /none\.store: 1048576 bytes are too few for a store: at least 16777216 bytes \(16M\)/,
    ],
    [["create", "--size", "nope", none], 2, /^--size: "nope" is no size/],
    [["create", "--size", "16M", "--block", "65K", none], 2, /block/],
    [["create", "--size", "900T", none], 1, /none\.store/],
    [["create", "--size", "16M", join(folder, "no", "such", "x")], 1, /no\/such\/x/],
    [["info", none], 1, /none\.store.*No such file/],
    [["info", foreign], 1, /foreign\.store/],
    [["verify", foreign], 1, /foreign\.store/],
    [["recover", foreign], 1, /foreign\.store/],
    [["recover", "--dry-run", foreign], 1, /foreign\.store/],
    [["trim", "--before", "x", foreign], 2, /^--before: "x" is no sequence: write a whole number below 2\^64$/],
    [["trim", foreign], 2, /required option '--before <sequence>' not specified/],
    [["info", folder], 1, /paste-test-/],
  ];
  for (const [args, status, message] of table) {
    const result = await runCli(["store", ...args], { env: { PASTE_SWITCH_CONTROL: join(folder, "c.sock") } });
    const title = args.join(" ");
    t.is(result.status, status, `${title}: ${result.stderr}`);
    t.is(result.stdout, "", title);
    t.regex(result.stderr, /^paste-switch: [^\n]+\n$/, title);
    t.regex(result.stderr.slice("paste-switch: ".length, -1), message, title);
  }
  t.false(existsSync(none));
  t.true(readFileSync(foreign).equals(Buffer.alloc(17 << 20, "x")));
});

test("a reader that closes the pipe early is no error", async (t) => {
  const { daemon } = await filled(t);
  const { spawnSync } = await import("node:child_process");
  const { cliPath } = await import("./run-cli.js");
  for (const command of ["export -w -", "stats", "rule list", "--help"]) {
    const { status, stderr } = spawnSync(
      "bash",
      ["-c", `set -o pipefail; "${process.execPath}" "${cliPath}" ${command} | head -c 1 >/dev/null`],
      { env: { ...process.env, PASTE_SWITCH_CONTROL: daemon.control }, encoding: "utf8" },
    );
    t.is(status, 0, `${command}: ${stderr}`);
    t.false(/EPIPE|paste-switch:/.test(stderr), `${command}: ${stderr}`);
  }
});

test("import says what it found: an index that is damaged, and that it was made anew; a writer that died", async (t) => {
  const { folder, daemon, store } = await filled(t);
  const capture = join(folder, "one.pcap");
  t.is((await daemon.cli("export", "-F", "pcap", "-w", capture)).status, 0);
  await daemon.end("SIGKILL");
  const recovered = await runCli(["import", "--store", store, "--full", "overwrite", capture]);
  t.regex(
    recovered.stderr,
    /^recovery: the last writer died; records 1 to \d+ are there\n(recovery: .*\n)+500 frames, /,
  );
  const { blocksOffset, blockBytes } = scanStore(store);
  const index = indexOf(store).find(({ sealed }) => sealed); // of one that is not, nobody knows where it would have ended
  const bytes = readFileSync(store);
  bytes[blocksOffset + index!.block * blockBytes + 64 + 8]! ^= 1;
  writeFileSync(store, bytes);
  const again = await runCli(["import", "--store", store, "--full", "overwrite", capture]);
  t.is(again.status, 0);
  t.regex(again.stderr, /^index: 1 block damaged and given up; what they covered was indexed anew\n500 frames, /);
  t.is((await runCli(["store", "verify", store])).status, 0);
});

test("import, export and replay carry the same frames", async (t) => {
  const { folder, daemon, store } = await filled(t);
  const one = join(folder, "one.pcapng");
  t.is((await daemon.cli("export", "-w", one)).status, 0);
  await daemon.end();
  const copy = join(folder, "copy.store");
  const imported = await runCli(["import", "--store", copy, "--size", "16M", one]);
  t.is(imported.status, 0, imported.stderr);
  t.regex(imported.stderr, /^store \S+ made\n500 frames, \S+ KiB\n$/);
  const two = join(folder, "two.pcapng");
  t.is((await runCli(["export", "-r", copy, "-w", two])).status, 0);
  t.deepEqual(await numbers(two), await numbers(one));

  const again = await DaemonProcess.start(t, folder, [], { name: "again" });
  const b = again.open(t, "vale0:b");
  const replayed = await again.cli("replay", "-r", copy, "-i", "vale0:a", "-t", "--stats", "less", "200");
  t.is(replayed.status, 0, replayed.stderr);
  t.is(replayed.stdout, "");
  t.regex(replayed.stderr, /^137 frames, \S+ KiB in /m);
  t.regex(replayed.stderr, /^a full ring was waited for \d+ times$/m);
  t.deepEqual(
    (await receiveFrames(b, 137)).map((frame) => frame.readUInt32BE(14)),
    Array.from({ length: 137 }, (_, n) => n),
  );
  const json = await again.cli("replay", "-r", store, "-i", "vale0:x", "-t", "-L", "7", "--json");
  t.is(JSON.parse(json.stdout).sentFrames, 7, json.stderr);
});

test("wrong captures and paces end in one line, and keep what is good", async (t) => {
  const { folder, daemon } = await filled(t);
  const good = join(folder, "good.pcap");
  t.is((await daemon.cli("export", "-F", "nsecpcap", "-c", "20", "-w", good)).status, 0);
  const cut = join(folder, "cut.pcap");
  writeFileSync(cut, readFileSync(good).subarray(0, 1000));
  const text = join(folder, "text.pcap");
  writeFileSync(text, "this is no capture, but it is long enough to look like one");
  const none = join(folder, "none.pcap");
  const store = join(folder, "i.store");
  t.is((await runCli(["store", "create", "--size", "16M", store])).status, 0);
  const table: [args: string[], status: number, message: RegExp][] = [
    [["import", good], 2, /required option '--store <path>' not specified/],
    [["import", "--store", join(folder, "x.store"), good], 1, /^there is no store \S+x\.store: give its size/],
    [["import", "--store", store, none], 1, /none\.pcap/],
    [["import", "--store", store, text], 1, /text\.pcap/],
    [["import", "--store", store, cut], 1, /cut\.pcap/],
    [["import", "--store", join(folder, "s.store"), good], 1, /s\.store is in use by process \d+/],
    [["import", "--store", store, "--filter", "tcp prot", good], 2, /prot/],
    [["export", "-r", none, "-w", join(folder, "x")], 1, /none\.pcap: no such file: give a store or a capture$/],
    [["export", "-r", text, "-w", join(folder, "x")], 1, /text\.pcap/],
    [["export", "-r", good], 2, /required option '-w, --write <file>' not specified/],
    [["export", "-r", good, "-w", join(folder, "no", "x")], 2, /no\/x: its folder does not exist: make it first$/],
    [["export", "-r", good, "-w", "/dev/full"], 1, /\/dev\/full: stopped after 0 frames/],
    [["export", "-w", "x"], 1, /^nothing to read: name a store or a capture with -r \(no daemon answers at/],
    [["replay", "-r", good], 2, /required option '-i, --interface <port>' not specified/],
    [["replay", "-r", good, "-i", "paste-none0"], 1, /^there is no interface paste-none0; `ip link` lists/],
    [["replay", "-r", good, "-i", "vale0:a", "-x", "2", "-t"], 2, /^-x, -p, -M and -t exclude each other: choose one$/],
    [
      ["replay", "-r", good, "-i", "vale0:a", "-x", "0"],
      2,
      /^-x: "0" is no number above 0: write one such as 0\.5 or 2000$/,
    ],
    [["replay", "-r", good, "-i", "vale0:a", "--map", "x"], 2, /^--map "x": write FROM=TO/],
    [["replay", "-r", good, "-i", "vale0:a"], 1, /ports\.sock|no daemon/],
  ];
  for (const [args, status, message] of table) {
    const result = await runCli(args, {
      env: { PASTE_SWITCH_CONTROL: join(folder, "nobody.sock"), XDG_DATA_HOME: folder },
    });
    const title = args.join(" ");
    t.is(result.status, status, `${title}: ${result.stderr}`);
    t.is(result.stdout, "", title);
    const errors = result.stderr.split("\n").filter((line) => line.startsWith("paste-switch: "));
    t.is(errors.length, 1, `${title}: ${result.stderr}`);
    t.regex(errors[0]!.slice("paste-switch: ".length), message, title);
  }
  const { frames } = JSON.parse((await runCli(["store", "info", "--json", store])).stdout);
  t.true(frames > 0 && frames < 20, `what stands in front of the cut is kept: ${frames}`);
  const tolerant = await runCli(["import", "--store", store, "--allow-truncated", cut]);
  t.is(tolerant.status, 0, tolerant.stderr);
});

test("what does not exist yet cannot be trimmed", async (t) => {
  const { daemon, store } = await filled(t);
  t.is((await daemon.cli("store", "trim", "--before", "99999999", store)).status, 0);
  const { trimmedBefore, durableSequence } = JSON.parse((await daemon.cli("store", "info", "--json", store)).stdout);
  t.true(trimmedBefore > 0 && trimmedBefore <= durableSequence + 1, `${trimmedBefore} of ${durableSequence}`);
});

test("export --sign and store verify --manifest: proved with the key and the store, refused for a changed file and another key", async (t) => {
  const { folder, daemon, store } = await filled(t);
  await daemon.end();
  const [output, pem, pub, other] = ["case.pcapng", "case.pem", "case.pub", "other.pub"].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  writeFileSync(pem, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  writeFileSync(pub, publicKey.export({ type: "spki", format: "pem" }));
  writeFileSync(other, generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }));
  const made = await runCli(["export", "-r", store, "-w", output, "--sign", pem, "-C", "20k"]);
  t.is(made.status, 0, made.stderr);
  t.regex(
    made.stderr,
    /^manifest in \S+case\.pcapng\.manifest\.json and \S+case\.pcapng\.manifest, signed by SHA256:\S+$/m,
  );
  for (const manifest of [`${output}.manifest.json`, `${output}.manifest`]) {
    const good = await runCli(["store", "verify", "--manifest", manifest, "--key", pub, "-r", store]);
    t.deepEqual([good.status, good.stdout], [0, "OK\n"], good.stderr);
    t.regex(
      good.stderr,
      /signed by the key given.*\n.*the manifest lists the records that the store has.*\n500 frames in \d+ files checked\n$/,
    );
    const wrong = await runCli(["store", "verify", "--manifest", manifest, "--key", other]);
    t.is(wrong.status, 1);
    t.regex(wrong.stdout, /^the manifest is signed by another key: [^\n]+\n1 problem\n$/);
  }
  const [one, two] = [readFileSync(output), readFileSync(`${output}1`)];
  writeFileSync(output, two);
  writeFileSync(`${output}1`, one);
  const swapped = await runCli(["store", "verify", "--manifest", `${output}.manifest`, "--key", pub]);
  t.is(swapped.status, 1);
  t.regex(
    swapped.stdout,
    /case\.pcapng: is not the file that was exported[\s\S]*case\.pcapng1: is not the file that was exported/,
  );
});
