// The demo as a user runs it: on a capture without Ethernet headers, interrupted, and where nothing can be written.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "ava";
import { cliPath, runCli } from "./run-cli.js";

function temporaryFolder(t: { teardown(f: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "ps-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A classic pcap file of raw IPv4 datagrams (link type 101), each from the next of five hosts to the one after it. */
function rawIpCapture(count: number): Buffer {
  const header = Buffer.alloc(24);
  for (const [at, value] of [0xa1b2c3d4, 0x00040002, 0, 0, 65535, 101].entries()) header.writeUInt32LE(value, at * 4);
  const records = Array.from({ length: count }, (_, i) => {
    const record = Buffer.alloc(16 + 28 + (i % 1400));
    const length = record.length - 16;
    for (const [at, value] of [1_700_000_000, i, length, length].entries()) record.writeUInt32LE(value, at * 4);
    record.set([0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, 17, 0, 0], 16);
    record.set([10, 0, 0, 1 + (i % 5), 10, 0, 0, 1 + ((i + 1) % 5)], 28);
    return record;
  });
  return Buffer.concat([header, ...records]);
}

test("the demo plays a capture of raw IP, keeps every promise and leaves what --keep asks for", async (t) => {
  const folder = temporaryFolder(t);
  const capture = join(folder, "raw.pcap");
  writeFileSync(capture, rawIpCapture(1500));
  const { status, stdout, stderr } = await runCli(["demo", capture, "--json", "--keep"], { env: { TMPDIR: folder } });
  t.is(stderr, "");
  t.is(status, 0);
  const { ok, traffic, crash, replay, kept } = JSON.parse(stdout);
  t.teardown(() => rmSync(dirname(kept.store), { recursive: true, force: true }));
  t.true(ok);
  t.deepEqual(traffic.notes, [
    "1500 frames of link type RAW (101) were given Ethernet headers, with addresses made of theirs",
  ]);
  t.true(crash.recovered > 0 && replay.received === replay.played);
  t.true(existsSync(kept.store) && existsSync(kept.export));
});

test("an interrupted demo ends its daemon and leaves nothing behind", async (t) => {
  const folder = temporaryFolder(t);
  const child = spawn(process.execPath, [cliPath, "demo"], { env: { ...process.env, TMPDIR: folder } });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (/^ {4}a program attached/m.test(said)) child.kill("SIGINT");
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  t.is(status, 130);
  const store = /^\$ \S.* store create --size 32M (\S+)$/m.exec(said)?.[1];
  t.truthy(store);
  t.false(existsSync(dirname(store!)));
  t.deepEqual(readdirSync(folder), []);
});

test("a place where nothing can be written, or no socket can be, is refused in one line", async (t) => {
  const nowhere = await runCli(["demo"], { env: { TMPDIR: "/nowhere/at/all" } });
  t.is(nowhere.status, 1);
  t.is(
    nowhere.stderr,
    "paste-switch: /nowhere/at/all: no folder can be made in it (ENOENT): set TMPDIR to one that can be written\n",
  );
  const long = `/tmp/${"l".repeat(100)}`;
  const tooLong = await runCli(["demo"], { env: { TMPDIR: long } });
  t.is(tooLong.status, 2);
  t.is(tooLong.stderr, `paste-switch: ${long}: too long for the path of a socket in it: set TMPDIR to a shorter one\n`);
});
