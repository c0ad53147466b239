// `paste-switch tail` over a daemon in another process: the log, a port, and a daemon that goes and comes.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { readAll } from "../logger/capture/read-all.js";
import { until } from "../support/until.js";
import { DaemonProcess, numberedFrame, testFolder } from "../switch/daemon-process.js";
import { cliPath, runCli } from "./run-cli.js";

interface Tail {
  stdout: string;
  stderr: string;
  child: ChildProcess;
  ended: Promise<number | null>;
}

function startTail(t: ExecutionContext, daemon: { control: string }, ...args: string[]): Tail {
  const child = spawn(process.execPath, [cliPath, "tail", ...args], {
    env: { ...process.env, PASTE_SWITCH_CONTROL: daemon.control },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const tail: Tail = { stdout: "", stderr: "", child, ended };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    tail.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    tail.stderr += text;
  });
  return tail;
}

const lines = ({ stdout }: Tail) => stdout.split("\n").filter((line) => line !== "");
const start = (t: ExecutionContext, folder: string, ...args: string[]) =>
  DaemonProcess.start(t, folder, ["--store", join(folder, "s.store"), "--size", "32M", "--log", "", ...args]);

test("the log as JSON lines: what was there on request, then what comes, also from the next daemon; ^C prints the count", async (t) => {
  const folder = testFolder(t);
  const first = await start(t, folder);
  const [a] = [first.open(t, "vale0:a"), first.open(t, "vale0:b")];
  await a!.sendAll([1, 2, 3, 4, 5].map((number) => numberedFrame(1, 2, number, 60 + number)));
  await until(() => a!.sentAll, "sent");
  const tail = startTail(t, first, "--jsonl", "-n", "2");
  await until(() => lines(tail).length >= 2, `the last two: ${tail.stderr}`);
  await a!.sendAll([numberedFrame(1, 2, 6, 66)]);
  await until(() => lines(tail).length >= 3, "the next");
  await first.end();
  await until(() => /^no daemon writes the store: waiting for one$/m.test(tail.stderr), "told that it is gone");
  const second = await start(t, folder);
  const c = second.open(t, "vale0:c");
  second.open(t, "vale0:d");
  await c.sendAll([numberedFrame(3, 4, 7, 67)]);
  await until(() => lines(tail).length >= 4, "one of the next daemon");
  await until(() => /^a daemon writes the store again$/m.test(tail.stderr), "told that it is back");
  const found = lines(tail).map((line) => JSON.parse(line));
  t.deepEqual(
    found.map(({ wire_length, in_iface, outcome }) => [wire_length, in_iface, outcome]),
    [
      [64, "vale0:a", "forwarded"],
      [65, "vale0:a", "forwarded"],
      [66, "vale0:a", "forwarded"],
      [67, "vale0:c", "forwarded"],
    ],
  );
  tail.child.kill("SIGINT");
  t.is(await tail.ended, 0);
  t.regex(tail.stderr, /^4 frames$/m);
});

test("--until-stop ends with the daemon; -w writes a whole capture; a filter asks for records", async (t) => {
  const folder = testFolder(t);
  const daemon = await start(t, folder);
  const [a] = [daemon.open(t, "vale0:a"), daemon.open(t, "vale0:b")];
  const file = join(folder, "t.pcapng");
  const tails = [
    startTail(t, daemon, "--from", "0", "--until-stop", "-w", file),
    startTail(t, daemon, "--from", "0", "--until-stop", "dropped"),
  ];
  await a!.sendAll([numberedFrame(1, 2, 1), numberedFrame(2, 1, 2), numberedFrame(1, 2, 3)]);
  await until(() => lines(tails[1]!).length > 0, `the dropped one: ${tails[1]!.stderr}`);
  await until(() => existsSync(file) && statSync(file).size > 0, `the capture: ${tails[0]!.stderr}`);
  await daemon.end();
  for (const tail of tails) t.is(await tail.ended, 0, tail.stderr);
  const { frames, error } = await readAll(file);
  t.is(error, null);
  t.is(frames.length, 3);
  t.regex(tails[0]!.stderr, /^3 frames$/m);
  t.true(lines(tails[1]!).length > 0);
});

test("a port: in, out, dropped with reasons, a filter, and the next daemon", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder);
  const [a, b] = [daemon.open(t, "vale0:a"), daemon.open(t, "vale0:b")];
  const any = startTail(t, daemon, "-i", "any", "--dropped");
  const ofB = startTail(t, daemon, "-i", "vale0:b", "-Q", "out", "-c", "2", "-w", join(folder, "b.pcapng"));
  const few = startTail(t, daemon, "-i", "any", "ether src 02:00:00:00:00:02");
  for (const tail of [any, ofB, few]) await until(() => /listening on/.test(tail.stderr), `open: ${tail.stderr}`);
  await a!.sendAll([numberedFrame(1, 2, 1)]);
  await until(() => lines(any).some((line) => line.includes("[vale0:a > *]")), "the first");
  await b!.sendAll([numberedFrame(2, 1, 2), numberedFrame(2, 2, 3)]);
  await until(() => lines(any).some((line) => line.includes("[vale0:b > nowhere, dropped hairpin]")), "the last");
  t.true(lines(any).some((line) => line.includes("[vale0:b > vale0:a]")));
  await a!.sendAll([numberedFrame(1, 2, 4)]);
  t.is(await ofB.ended, 0);
  const { frames, reader } = await readAll(join(folder, "b.pcapng"));
  t.deepEqual(
    frames.map(({ data, interface: at }) => [data.readUInt32BE(14), reader!.interfaces[at]!.name]),
    [
      [1, "vale0:b"],
      [4, "vale0:b"],
    ],
  );
  await until(() => /\[vale0:b > vale0:a\]/.test(few.stdout), "the filtered one");
  t.false(few.stdout.includes("vale0:a > "));
  await daemon.end();
  await until(() => /the daemon is gone: waiting/.test(any.stderr), "told");
  const next = await DaemonProcess.start(t, folder);
  await until(() => any.stderr.match(/listening on any/g)!.length === 2, "found again");
  const c = next.open(t, "vale0:c");
  next.open(t, "vale0:d");
  await c.sendAll([numberedFrame(3, 4, 9)]);
  await until(() => lines(any).some((line) => line.includes("[vale0:c > *]")), "one of the next daemon");
  any.child.kill("SIGINT");
  t.is(await any.ended, 0);
  t.regex(any.stderr, /^5 frames of 5 frames seen, 0 frames missed$/m);
});

const wrong: [string, string[], RegExp][] = [
  ["--dropped without -i", ["--dropped"], /--dropped goes with -i/],
  ["-n with -i", ["-i", "any", "-n", "3"], /--lines goes with what is logged/],
  ["a direction that is none", ["-i", "any", "-Q", "up"], /Allowed choices are in, out, inout/],
  ["words about records with -i", ["-i", "any", "rule", "web"], /"rule" asks for a record at column 1/],
  ["two kinds of dumps", ["-i", "any", "-x", "-A"], /-x, -X and -A exclude each other: choose one/],
  ["a filter that is none", ["-i", "any", "tcp", "prt", "80"], /prt/],
];
for (const [what, args, message] of wrong)
  test(`wrong usage is told: ${what}`, async (t) => {
    const { status, stderr } = await runCli(["tail", "--control", "/nonexistent/c.sock", ...args]);
    t.is(status, 2, stderr);
    t.regex(stderr, message);
  });

test("no daemon, no such port", async (t) => {
  const folder = testFolder(t);
  const nobody = await runCli(["tail", "-i", "any", "--control", join(folder, "x.sock")]);
  t.is(nobody.status, 1);
  t.regex(
    nobody.stderr,
    /no daemon answers there \(No such file or directory\): start one with `paste-switch daemon`$/m,
  );
  const daemon = await DaemonProcess.start(t, folder);
  const none = await daemon.cli("tail", "-i", "vale0:x");
  t.is(none.status, 1);
  t.regex(none.stderr, /port vale0:x .*no such port, and no other/);
  await daemon.cli("port", "add", "vale0:waiting");
  daemon.open(t, "vale0:open");
  t.regex((await daemon.cli("tail", "-i", "vale0:x")).stderr, /no such port: there are vale0:open, vale0:waiting$/m);
  t.true(existsSync(daemon.ports));
});
