// Wireshark's view of paste-switch: what it asks, what it is given, and tshark itself doing both.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { packageRoot } from "../../native/load.js";
import { locateInstance } from "../../switch/instance.js";
import { readAll } from "../logger/capture/read-all.js";
import { storeWith } from "../logger/store-tools.js";
import { skip } from "../support/skip.js";
import { hasTool } from "../support/tools.js";
import { until } from "../support/until.js";
import { DaemonProcess, numberedFrame, smallStore, testFolder } from "../switch/daemon-process.js";
import { runCli } from "./run-cli.js";

const entry = join(packageRoot(), "dist", "cli", "extcap-main.cjs");

function ask(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], { encoding: "utf8" });
  return { status, stderr, lines: stdout.split("\n").slice(0, -1) };
}

/** "arg {number=0}{call=--x}" as its word and its fields. */
function parsed(line: string): [string, Record<string, string>] {
  const [, word = "", rest = ""] = /^(\w+) (.*)$/.exec(line) ?? [];
  const fields = [...rest.matchAll(/\{(\w+)=([^{}]*)\}/g)];
  return [word, Object.fromEntries(fields.map(([, name, value]) => [name, value]))];
}

test("the entry imports nothing but Node's core before it captures", (t) => {
  const imports = [...readFileSync(entry, "utf8").matchAll(/ = require\("(.*)"\);$/gm)].map(([, from]) => from!);
  t.true(imports.length > 0);
  t.deepEqual(
    imports.filter((from) => !from.startsWith("node:")),
    [],
  );
});

test("an answer that nobody reads, or that cannot be written, ends without a stack trace", async (t) => {
  const args = [entry, "--extcap-interface", "paste-switch-tail", "--extcap-config"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  t.is(await new Promise((resolve) => child.on("close", resolve)), 0, said);
  t.is(said, "");
  const full = openSync("/dev/full", "w");
  const { status, stderr } = spawnSync(process.execPath, args, { stdio: ["ignore", full, "pipe"], encoding: "utf8" });
  closeSync(full);
  t.is(status, 1);
  t.regex(stderr, /^paste-switch: ENOSPC[^\n]*\n$/);
});

test("interfaces, link type and dialogs, as extcap(4) wants them", (t) => {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"));
  const found = ask("--extcap-interfaces", "--extcap-version=4.0").lines.map(parsed);
  t.is(found[0]![0], "extcap");
  t.is(found[0]![1].version, version);
  t.deepEqual(
    found.slice(1).map(([word, { value }]) => [word, value]),
    [
      ["interface", "paste-switch-tail"],
      ["interface", "paste-switch-query"],
    ],
  );
  for (const name of ["paste-switch-tail", "paste-switch-query"]) {
    t.deepEqual(ask("--extcap-interface", name, "--extcap-dlts").lines.map(parsed), [
      ["dlt", { number: "1", name: "EN10MB", display: "Ethernet" }],
    ]);
    const config = ask("--extcap-interface", name, "--extcap-config").lines.map(parsed);
    const fields = config.filter(([word]) => word === "arg").map(([, field]) => field);
    t.deepEqual(
      fields.map(({ number }) => number),
      fields.map((_, i) => `${i}`),
    );
    t.true(fields.every(({ call, display, type }) => call!.startsWith("--") && display && type));
    const selectors = fields.filter(({ type }) => type === "selector");
    for (const { number } of selectors) {
      const values = config.filter(([word, { arg }]) => word === "value" && arg === number).map(([, value]) => value);
      t.is(values.filter((value) => value.default === "true").length, 1, `one default of ${number}`);
    }
  }
});

test("running instances can be chosen", async (t) => {
  const runtime = testFolder(t);
  const env = { ...process.env, XDG_RUNTIME_DIR: runtime };
  const folder = process.getuid!() === 0 ? "/run/paste-switch" : join(runtime, "paste-switch");
  const name = `extcap-test-${process.pid}`;
  mkdirSync(join(folder, name), { recursive: true });
  t.teardown(() => rmSync(join(folder, name), { recursive: true }));
  writeFileSync(join(folder, name, "control.sock"), "");
  const { stdout } = spawnSync(
    process.execPath,
    [entry, "--extcap-interface", "paste-switch-tail", "--extcap-config"],
    {
      encoding: "utf8",
      env,
    },
  );
  t.true(stdout.includes(`{arg=0}{value=${name}}`));
});

test("a capture filter is checked: silence when it is right, one line when it is wrong", (t) => {
  const right = ask("--extcap-interface", "paste-switch-query", "--extcap-capture-filter", "tcp port 80 and dropped");
  t.deepEqual(right, { status: 0, lines: [], stderr: "" });
  const wrong = ask("--extcap-interface=paste-switch-query", "--extcap-capture-filter=tcp prt 80");
  t.is(wrong.lines.length, 1);
  t.regex(wrong.lines[0]!, /prt/);
  t.regex(wrong.stderr, /^paste-switch: .*prt/);
});

test("what it cannot do is said", (t) => {
  const output = join(testFolder(t), "output");
  for (const [args, message] of [
    [["--extcap-interface", "eth0", "--extcap-dlts"], /no interface "eth0": there are paste-switch-tail and/],
    [["--extcap-interface", "paste-switch-tail"], /nothing to do/],
    [["--extcap-interface", "paste-switch-tail", "--capture"], /--capture needs --fifo/],
    [
      ["--extcap-interface", "paste-switch-query", "--capture", "--fifo", output, "--from", "teatime"],
      /^paste-switch: From "teatime": write /,
    ],
    [
      [
        "--extcap-interface",
        "paste-switch-query",
        "--capture",
        "--fifo",
        output,
        "--to",
        "14:00",
        "--filter",
        "tcp prt 4",
      ],
      /^paste-switch: filter: unknown word "prt" at column 5/,
    ],
  ] as const) {
    const { status, lines, stderr } = ask(...args);
    t.is(status, 1);
    t.deepEqual(lines, []);
    t.regex(stderr, message);
  }
});

test("what is missing is named by the dialog's fields, not by a command's options", async (t) => {
  const folder = testFolder(t);
  const output = join(folder, "output");
  const asked = (name: string, instance: string, ...args: string[]) => {
    const base = ["--capture", "--extcap-interface", `paste-switch-${name}`, "--instance", instance, "--fifo", output];
    const { status, stderr } = ask(...base, ...args);
    t.is(status, 1);
    t.notRegex(stderr, / -/, stderr);
    return stderr;
  };
  const nobody = `paste-switch: no daemon answers at ${join(folder, "c.sock")}: start one, or choose another as "Switch"`;
  t.is(asked("tail", join(folder, "c.sock")), `${nobody}\n`);
  t.is(asked("tail", join(folder, "c.sock"), "--source", "ports"), `${nobody}\n`);
  t.is(asked("query", join(folder, "c.sock")), `${nobody}, or a file as "Store"\n`);
  const { control } = await DaemonProcess.start(t, folder);
  const storeless = "paste-switch: this daemon runs without a store: choose";
  t.is(asked("tail", control), `${storeless} "as they pass the ports" as "Frames"\n`);
  t.is(asked("query", control), `${storeless} a file as "Store"\n`);
  t.regex(asked("query", control, "--count", "x"), /^paste-switch: Frames at most: "x" is no whole number from 0 to/);
});

test("install, install again, uninstall; what is not ours stays", async (t) => {
  const folder = join(testFolder(t), "it's a folder");
  const path = join(folder, "paste-switch");
  for (let i = 0; i < 2; i++) {
    const { status, stdout } = await runCli(["extcap", "--install", "--dir", folder]);
    t.is(status, 0);
    t.is(stdout, `${path}\n`);
    t.is(statSync(path).mode & 0o777, 0o755);
  }
  const { stdout } = spawnSync(path, ["--extcap-interfaces"], { encoding: "utf8", env: {} });
  t.regex(stdout, /paste-switch-tail/, "found without PATH");
  t.is((await runCli(["extcap", "--uninstall", "--dir", folder])).status, 0);
  t.false(existsSync(path));
  t.is((await runCli(["extcap", "--uninstall", "--dir", folder])).status, 2);
  writeFileSync(path, "#!/bin/sh\n");
  for (const way of ["--install", "--uninstall"]) {
    const { status, stderr } = await runCli(["extcap", way, "--dir", folder]);
    t.is(status, 2);
    t.regex(stderr, /is not ours/);
  }
  t.is(readFileSync(path, "utf8"), "#!/bin/sh\n");
  t.is((await runCli(["extcap"])).status, 2);
});

/** tshark in a home of its own, with our interfaces installed. */
async function tsharkHome(t: ExecutionContext): Promise<NodeJS.ProcessEnv> {
  const home = mkdtempSync(join(tmpdir(), "paste-extcap-"));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  chmodSync(home, 0o755);
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, ".config") };
  const { status, stderr } = await runCli(["extcap", "--install"], {
    env: { HOME: home, XDG_CONFIG_HOME: env.XDG_CONFIG_HOME },
  });
  t.is(status, 0, stderr);
  return env;
}

function tshark(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync("tshark", args, { encoding: "utf8", env, timeout: 60_000 });
  return { status, lines: stdout.split("\n").filter((line) => line !== ""), stderr };
}

test("tshark: both interfaces are there; a store's frames by filter, time and count", async (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const env = await tsharkHome(t);
  const listed = tshark(env, "-D").lines.join("\n");
  t.regex(listed, /paste-switch-tail/);
  t.regex(listed, /paste-switch-query/);
  const frames = Array.from({ length: 30 }, (_, i) => ({
    data: numberedFrame(1, 2, i, 64 + i),
    wireLength: 64 + i,
    timeNs: BigInt(i + 1) * 1_000_000_000n,
    interface: i % 2,
  }));
  const store = await storeWith(t, frames, { ports: ["vale0:a", "vale0:b"] });
  const set = (name: string, value: string | number) => ["-o", `extcap.paste_switch_query.${name}:${value}`];
  const lengths = (...args: string[]) => {
    const { status, lines, stderr } = tshark(
      env,
      "-i",
      "paste-switch-query",
      ...args,
      ...set("store", store),
      "-T",
      "fields",
      "-e",
      "frame.len",
    );
    t.is(status, 0, stderr);
    return lines.map(Number);
  };
  const all = frames.map(({ wireLength }) => wireLength);
  t.deepEqual(lengths(), all);
  t.deepEqual(lengths("-f", "greater 90"), all.slice(26));
  t.deepEqual(lengths(...set("filter", "in-port vale0:b"), ...set("count", 3)), [65, 67, 69]);
  t.deepEqual(lengths(...set("from", 11), ...set("to", 14)), [74, 75, 76]);
  const wrong = tshark(env, "-i", "paste-switch-query", ...set("store", store), ...set("from", "25:00"));
  t.is(wrong.status, 1, "tshark does not wait for frames that never come");
  t.regex(wrong.stderr, /paste-switch: From "25:00": write /);
});

test("tshark: frames as they are logged, and as they pass a port, from a running daemon", async (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const env = await tsharkHome(t);
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [
    "--store",
    join(folder, "s.store"),
    "--size",
    "32M",
    "--log",
    "less 100",
  ]);
  env.PASTE_SWITCH_CONTROL = daemon.control;
  const [a] = [daemon.open(t, "vale0:a"), daemon.open(t, "vale0:b", { slots: 4096 })];
  const set = (name: string, value: string) => ["-o", `extcap.paste_switch_tail.${name}:${value}`];
  for (const [args, expected] of [
    [[], (length: number) => length < 100],
    [
      [...set("source", "ports"), ...set("port", "vale0:b"), ...set("direction", "out")],
      (length: number) => length === 90 || length === 120,
    ],
  ] as const) {
    const child = spawn(
      "tshark",
      ["-l", "-i", "paste-switch-tail", ...args, "-c", "10", "-T", "fields", "-e", "frame.len"],
      {
        env,
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    t.teardown(() => child.kill("SIGKILL"));
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    let over = false;
    ended.then(() => {
      over = true;
    });
    // Traffic until tshark has its ten: when it began to listen is its affair.
    while (!over) {
      await a!.sendAll([numberedFrame(1, 2, 0, 90), numberedFrame(1, 2, 1, 120)]);
      await until(() => a!.sentAll, "taken");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    t.is(await ended, 0, stderr);
    const lengths = stdout.trim().split("\n").map(Number);
    t.is(lengths.length, 10, stderr);
    t.true(lengths.every(expected));
  }
});

test("frames as they come, without a daemon: those that were asked for, then an error that says why there are no more", async (t) => {
  const data = join(testFolder(t), "data");
  const frames = Array.from({ length: 30 }, (_, i) => ({
    data: numberedFrame(1, 2, i, 64),
    wireLength: 64,
    timeNs: BigInt(i + 1),
  }));
  const env = { ...process.env, XDG_DATA_HOME: data, XDG_RUNTIME_DIR: data, PASTE_SWITCH_CONTROL: "" };
  const name = `extcap-alone-${process.pid}`;
  const { store } = locateInstance({ name }, env);
  mkdirSync(dirname(store), { recursive: true });
  t.teardown(() => rmSync(store, { force: true }));
  copyFileSync(await storeWith(t, frames), store);
  const output = join(data, "out.pcapng");
  mkdirSync(data, { recursive: true });
  const capture = ["--capture", "--extcap-interface", "paste-switch-tail", "--instance", name, "--fifo", output];
  const { status, stderr } = spawnSync(process.execPath, [entry, ...capture, "--last", "7"], {
    encoding: "utf8",
    env,
    timeout: 60_000,
  });
  t.is(status, 1);
  t.regex(stderr, /^paste-switch: no daemon runs \(any more\): start one and capture again; [^\n]*\n$/);
  t.is((await readAll(output)).frames.length, 7);
});

test("frames as they come end when the daemon ends", async (t) => {
  const folder = testFolder(t);
  for (const source of ["log", "ports"]) {
    const daemon = await DaemonProcess.start(t, folder, [...smallStore, "--port", "vale0:a"]);
    const args = ["--capture", "--extcap-interface", "paste-switch-tail", "--instance", daemon.control];
    const output = join(folder, `${source}.pcapng`);
    const child = spawn(process.execPath, [entry, ...args, "--source", source, "--fifo", output]);
    t.teardown(() => child.kill("SIGKILL"));
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    await until(() => existsSync(output) && statSync(output).size > 0, "it captures");
    await daemon.end();
    t.is(await ended, 1, source);
    t.regex(stderr, /^paste-switch: no daemon runs/, source);
  }
});

test("a folder that cannot be made is an error, also where Node's own way of making it would not end", async (t) => {
  const { status, stderr } = await runCli(["extcap", "--install", "--dir", "/proc/none-such/extcap"]);
  t.is(status, 1);
  t.regex(stderr, /cannot be written \(E[A-Z]+\): choose another folder with --dir/);
});
