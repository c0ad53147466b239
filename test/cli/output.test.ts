// Where output goes: a file that may grow no further, and a named pipe.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, createReadStream, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import test from "ava";
import { readAll } from "../logger/capture/read-all.js";
import { storeWith, testFolder } from "../logger/store-tools.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { until } from "../support/until.js";
import { cliPath, runCli } from "./run-cli.js";

/** Less than any of the outputs below; in the blocks of sh. */
const limitBytes = 1024;

const frames = awkwardFrames(91, 300);

test("a file that may grow no further: an error, also where the last write of all was cut short", async (t) => {
  const store = await storeWith(t, frames);
  const folder = testFolder(t);
  const limited = (args: string[], to: string) => {
    const script = `ulimit -f ${limitBytes / 512}; exec "$0" "$@" > "${to}"`;
    return spawnSync("sh", ["-c", script, process.execPath, cliPath, ...args], { encoding: "utf8" });
  };
  const output = join(folder, "output");
  for (const args of [
    ["export", "-r", store, "-F", "pcap", "-w", "-"],
    ["export", "-r", store, "-F", "pcap", "-z", "gzip:0", "-w", "-"],
    ["query", "-r", store],
    ["query", "-r", store, "--flows", "--jsonl"],
    ["help", "query"],
  ]) {
    const { status, stderr } = limited(args, output);
    t.is(status, 1, args.join(" "));
    t.regex(stderr, /standard output: (stopped after 0 frames: )?no file may be larger here: raise the limit/);
    t.is(statSync(output).size, limitBytes);
  }
  const { status, stderr } = limited(["export", "-r", store, "-w", output], "/dev/null");
  t.is(status, 1);
  t.regex(stderr, /output: stopped after 0 frames, the file is empty; no file may be larger here: raise the limit/);
  const made = join(folder, "made.store");
  const created = limited(["store", "create", "--size", "16M", made], output);
  t.is(created.status, 1);
  t.regex(created.stderr, /made\.store: cannot reserve 16777216 bytes: File too large: raise the limit \(ulimit -f\)/);
  t.false(existsSync(made));
});

test("-w takes a named pipe, as tcpdump does: whole, and until its reader goes", async (t) => {
  const store = await storeWith(t, frames);
  const pipe = join(testFolder(t), "pipe");
  t.is(spawnSync("mkfifo", [pipe]).status, 0);
  const chunks: Buffer[] = [];
  const reading = (async () => {
    for await (const chunk of createReadStream(pipe)) chunks.push(chunk as Buffer);
  })();
  const { status, stderr } = await runCli(["export", "-r", store, "-w", pipe]);
  t.is(status, 0, stderr);
  await reading;
  t.is((await readAll(Buffer.concat(chunks))).frames.length, frames.length);

  const head = spawnSync(
    "sh",
    [
      "-c",
      `head -c 100 "${pipe}" | wc -c & "$0" "$@"; echo status $?; wait`,
      process.execPath,
      cliPath,
      "export",
      "-r",
      store,
      "-w",
      pipe,
    ],
    { encoding: "utf8" },
  );
  t.regex(head.stdout, /status 0/);
  t.regex(head.stdout, /^100$/m);
});

test("a named pipe whose reader takes nothing: the second interrupt ends the program", async (t) => {
  // More than a pipe holds.
  const store = await storeWith(t, awkwardFrames(92, 3000));
  const pipe = join(testFolder(t), "pipe");
  t.is(spawnSync("mkfifo", [pipe]).status, 0);
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  t.teardown(() => closeSync(reader));
  const child = spawn(process.execPath, [cliPath, "export", "-r", store, "-w", pipe], { stdio: "ignore" });
  t.teardown(() => child.kill("SIGKILL"));
  await until(() => wasWritten(reader), "the pipe is written");
  await until(() => child.exitCode !== null || !child.kill("SIGINT"), "it ended");
  t.is(child.exitCode, 1);
});

/** Whether there was something in it. */
function wasWritten(reader: number): boolean {
  try {
    return readSync(reader, Buffer.alloc(1)) > 0;
  } catch {
    return false; // nothing yet
  }
}

/** Loaded first: says on descriptor 3 when the program has begun to listen to SIGINT. */
const tellsOfListening = `data:text/javascript,${encodeURIComponent(`
  import { writeSync } from "node:fs";
  process.on("newListener", (name) => name === "SIGINT" && setImmediate(() => writeSync(3, "listens")));
`)}`;

for (const [what, args] of [
  ["export into a pipe that nobody reads", ["export", "-r", "STORE", "-w", "PIPE"]],
  ["tail into one", ["tail", "-r", "STORE", "-w", "PIPE"]],
  ["export from a pipe that nobody writes", ["export", "-r", "PIPE", "-w", "OUT"]],
  ["export from standard input that gives nothing", ["export", "-r", "-", "-w", "OUT"]],
  ["query of a pipe that nobody writes", ["query", "-r", "PIPE"]],
  ["import of one", ["import", "PIPE", "--store", "STORE"]],
] as const)
  test(`the first SIGINT ends it, properly: ${what}`, async (t) => {
    const store = await storeWith(t, [{ data: Buffer.alloc(60), wireLength: 60, timeNs: 1n }]);
    const pipe = join(testFolder(t), "pipe");
    t.is(spawnSync("mkfifo", [pipe]).status, 0);
    const paths = { STORE: store, PIPE: pipe, OUT: `${pipe}.pcapng` } as Record<string, string>;
    const child = spawn(
      process.execPath,
      ["--import", tellsOfListening, cliPath, ...args.map((arg) => paths[arg] ?? arg)],
      { stdio: ["pipe", "ignore", "ignore", "pipe"] },
    );
    t.teardown(() => child.kill("SIGKILL"));
    const ended = once(child, "exit");
    await once(child.stdio[3] as Readable, "data");
    child.kill("SIGINT");
    t.deepEqual(await ended, [0, null]);
  });
