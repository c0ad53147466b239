import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { locateInstance } from "../../switch/instance.js";
import { preloadEnvironment } from "../../switch/preload.js";
import { Programs } from "../support/programs.js";
import { DaemonProcess, testFolder } from "../switch/daemon-process.js";
import { runCli } from "./run-cli.js";

const folder = mkdtempSync(join(tmpdir(), "paste-run-"));
const programs = new Programs();
test.after.always(() => {
  rmSync(folder, { recursive: true });
  programs.remove();
});

/** An ELF header of this machine's kind with one program header, of `type`; not to be executed. */
function elf(name: string, { type = 1, machine = process.arch === "arm64" ? 183 : 62, interpreter = "" } = {}): string {
  const bytes = Buffer.alloc(256);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(type, 64);
  bytes.writeBigUInt64LE(128n, 64 + 8);
  bytes.writeBigUInt64LE(BigInt(interpreter.length + 1), 64 + 32);
  bytes.write(interpreter, 128, "latin1");
  return file(name, bytes);
}

function file(name: string, content: string | Buffer, mode = 0o755): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const refused: [string, () => string[], RegExp][] = [
  ["no command", () => [], /missing required argument 'command'/],
  ["an empty command", () => [""], /^paste-switch: the command is empty$/m],
  ["a command that is not in PATH", () => ["no-such-command-here"], /no-such-command-here: no such program in PATH$/m],
  ["a path that is not there", () => [join(folder, "nothing")], /nothing: no such program$/m],
  ["a file that is not executable", () => [file("plain", "x", 0o644)], /plain: not executable: chmod \+x/],
  ["a static program", () => [elf("static")], /static: statically linked: no library can be preloaded/],
  [
    "a program for musl",
    () => [elf("musl", { type: 3, interpreter: "/lib/ld-musl-x86_64.so.1" })],
    /musl: linked with musl/,
  ],
  ["another machine's program", () => [elf("other", { machine: 8 })], /other: built for another architecture/],
  ["a script of a static program", () => [file("script", `#!${elf("inner")}\n`)], /inner: statically linked/],
];

for (const [what, command, message] of refused)
  test(`refused, with the reason: ${what}`, async (t) => {
    const { status, stdout, stderr } = await runCli(["run", "--control", join(folder, "c.sock"), "--", ...command()]);
    t.is(status, 2, stderr);
    t.is(stdout, "");
    t.regex(stderr, message);
  });

test("without a daemon: says so, before the program starts", async (t) => {
  const { status, stdout, stderr } = await runCli([
    "run",
    "--control",
    join(folder, "c.sock"),
    "--",
    "echo",
    "started",
  ]);
  t.is(status, 1);
  t.is(stdout, "");
  t.regex(stderr, /no daemon/);
});

test("the program's arguments, output, environment and exit status are its own", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t));
  const script = 'echo "$0 $1 $2"; echo "$PASTE_SWITCH_PORTS" >&2; exit 7';
  const result = await runCli(["run", "--control", daemon.control, "--", "sh", "-c", script, "-x", "--help", "-i"]);
  t.deepEqual(result, {
    status: 7,
    stdout: "-x --help -i\n",
    stderr: `${locateInstance({ control: daemon.control }).ports}\n`,
  });
});

test("a signal that ends the program ends the command", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t));
  const { status } = await runCli(["run", "--control", daemon.control, "--", "sh", "-c", "kill -TERM $$"]);
  t.is(status, null);
});

test("a netmap program runs, through a script and by its name in PATH", async (t) => {
  const daemon = await DaemonProcess.start(t, testFolder(t));
  const program = programs.compile("descriptors.c");
  const script = file("through", `#!/bin/sh\nexec "$@"\n`);
  for (const command of [[program], [script, program]]) {
    const { status, stderr } = await runCli(["run", "--control", daemon.control, "--", ...command, "open-twice"]);
    t.is(stderr, "");
    t.is(status, 0);
  }
  const env = { PATH: `${programs.folder}:${process.env.PATH}` };
  t.is((await runCli(["run", "--control", daemon.control, "--", "descriptors-c", "open-twice"], { env })).status, 0);
});

test("what was preloaded already stays", (t) => {
  t.is(preloadEnvironment("/l/p.so", "/r/ports.sock", {}).LD_PRELOAD, "/l/p.so");
  t.is(preloadEnvironment("/l/p.so", "/r/ports.sock", { LD_PRELOAD: "/x.so" }).LD_PRELOAD, "/l/p.so:/x.so");
});
