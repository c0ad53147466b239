// The launcher and its broker: devices for processes without capabilities.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { namespaces } from "../support/namespaces.js";
import {
  badTaps,
  capabilitiesOf,
  DeviceProcess,
  devicesAddon,
  type InterfaceInfo,
  launcherPath,
  shown,
} from "../support/native-devices.js";
import { asNobody, nobody, nobodyReads } from "../support/other-user.js";
import { packageRoot, skip } from "../support/skip.js";
import { until } from "../support/until.js";

const addon = devicesAddon();
const zero = "0000000000000000";
/** CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_BPF 39; CAP_SYS_PTRACE 19, CAP_SYS_ADMIN 21 (linux/capability.h). */
const deviceBits = (1n << 12n) | (1n << 13n) | (1n << 39n);
const hex = (bits: bigint) => bits.toString(16).padStart(16, "0");

/** A launched process in a namespace of its own. */
function launched(t: ExecutionContext, launcherArgs: string[] = []) {
  const nets = namespaces(t, "tun");
  if (!nets) return undefined;
  const space = nets.make("box");
  const before = ["ip", "netns", "exec", space.name];
  return { nets, space, process: new DeviceProcess(t, { before, launcherArgs }) };
}

test("what the launcher started has no capability in any thread and opens devices all the same", async (t) => {
  const made = launched(t);
  if (!made) return;
  const { space, process } = made;
  const tap = await process.call<InterfaceInfo & { queues: number[] }>("openTap", { name: "t0", queues: 3, mtu: 2000 });
  t.is(tap.queues.length, 3);
  t.is(tap.mtu, 2000);
  t.true(shown(space, "t0").flags.includes("UP"));
  t.is((await process.call<InterfaceInfo>("interfaceInfo", "t0")).index, tap.index);
  // Another namespace is one more reason to ask the broker.
  const other = made.nets.make("other");
  await process.call("openTap", { name: "t1", netns: other.name });
  t.true((await process.call<InterfaceInfo>("interfaceInfo", "t1", other.name)).up);
  // A container's: this process has capabilities that the broker has not.
  const container = spawn("ip", ["netns", "exec", other.name, "sleep", "600"], { stdio: "ignore" });
  t.teardown(() => container.kill("SIGKILL"));
  const inside = () => execFileSync("ip", ["netns", "pids", other.name], { encoding: "utf8" });
  await until(() => inside().split("\n").includes(String(container.pid)), "a process in the namespace");
  t.true((await process.call<InterfaceInfo>("interfaceInfo", "t1", `/proc/${container.pid}/ns/net`)).up);
  other.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
  const xdp = await process.call<{ sockets: number[]; map: number; link: number }>("openXdp", {
    interface: "v0",
    netns: other.name,
    queues: [0],
  });
  t.is(xdp.sockets.length, 1);
  t.regex(other.ip("link", "show", "v0"), /xdp/);
  // Asked with a socket that is none, the kernel itself answers the broker.
  await t.throwsAsync(process.call("insertSocket", xdp.map, 0, xdp.link), {
    message: /^PORT: queue 0: its socket cannot/,
  });
  t.deepEqual(capabilitiesOf(process.child.pid!), [
    `CapAmb ${zero}`,
    `CapBnd ${zero}`,
    `CapEff ${zero}`,
    `CapInh ${zero}`,
    `CapPrm ${zero}`,
    "NoNewPrivs 1",
    "Uid 0\t0\t0\t0",
  ]);
});

for (const [list, kept] of [
  [[], deviceBits | (1n << 19n) | (1n << 21n)],
  [["--allow", "tap:*"], deviceBits],
] as const)
  test(`the broker keeps what devices need and no more ${list}`, async (t) => {
    const made = launched(t, [...list]);
    if (!made) return;
    await made.process.call("interfaceInfo", "lo");
    const found = capabilitiesOf(made.process.brokerPid());
    t.true(found.includes(`CapPrm ${hex(kept)}`), found.join());
    t.true(found.includes(`CapEff ${hex(deviceBits)}`), found.join());
    for (const set of ["CapBnd", "CapInh", "CapAmb"]) t.true(found.includes(`${set} ${zero}`), found.join());
    t.true(found.includes("NoNewPrivs 1"));
    // Lists of system calls are written for these two.
    const filtered = process.arch === "x64" || process.arch === "arm64";
    t.regex(readFileSync(`/proc/${made.process.brokerPid()}/status`, "utf8"), filtered ? /^Seccomp:\t2$/m : /^Cap/m);
  });

test("the broker opens what the allow-list has, and nothing else", async (t) => {
  const made = launched(t, ["--allow", "tap:lab*", "--allow", "netns:paste-*-box"]);
  if (!made) return;
  const { process, space } = made;
  t.is((await process.call<{ queues: number[] }>("openTap", { name: "lab1" })).queues.length, 1);
  await process.call("openTap", { name: "lab2", netns: space.name });
  const not = /^PRIVILEGE: \S+: not among the devices that this daemon may open: add it to \[daemon\] devices /;
  await t.throwsAsync(process.call("openTap", { name: "la" }), { message: not });
  await t.throwsAsync(process.call("openTap", { name: "lab3", netns: "elsewhere" }), { message: not });
  await t.throwsAsync(process.call("interfaceInfo", "lo", "elsewhere"), { message: not });
  await t.throwsAsync(process.call("openXdp", { interface: "lab1", queues: [0] }), { message: not });
  await t.throwsAsync(process.call("openNetmap"), { message: not });
  t.is((await process.call<InterfaceInfo>("interfaceInfo", "la")).index, 0);
});

test("a namespace's path that goes up is none of the allow-list's, though a star would match it", async (t) => {
  const made = launched(t, ["--allow", "netns:/run/netns/*", "--allow", "netns:/run/*"]);
  if (!made) return;
  const { process, space } = made;
  t.true((await process.call<InterfaceInfo>("interfaceInfo", "lo", `/run/netns/${space.name}`)).index > 0);
  for (const path of ["/run/../proc/self/ns/net", "/run/netns/../../proc/self/ns/net", "/run/.."])
    await t.throwsAsync(process.call("interfaceInfo", "lo", path), { message: /^PRIVILEGE: netns:\S+: not among/ });
});

test("bad requests come back from the broker as they do without one", async (t) => {
  const made = launched(t);
  if (!made) return;
  const { process } = made;
  for (const [request, expected] of badTaps)
    await t.throwsAsync(process.call("openTap", request), { message: expected });
  for (const request of [
    { name: "x".repeat(16) },
    { name: "x", netns: "y".repeat(256) },
    { name: "x", address: "1".repeat(64) },
  ])
    await t.throwsAsync(process.call("openTap", request), { message: /^USAGE: tap:x+: a name, .* is too long$/ });
  await t.throwsAsync(process.call("openXdp", { interface: "x", queues: Array.from({ length: 65 }, (_, n) => n) }), {
    message: /^USAGE: xdp:x: at most 64 queues$/,
  });
});

test("rubbish gets an answer that says so, and the broker goes on", async (t) => {
  const made = launched(t);
  if (!made) return;
  const { process } = made;
  const good = addon.brokerRequest();
  const spoiled = (offset: number, value: number, bytes = 1) => {
    const copy = Buffer.from(good);
    copy.fill(value, offset, offset + bytes);
    return copy;
  };
  // Offsets of struct Request (native/core/devices/broker_protocol.h).
  const cases: [string, Uint8Array, number, RegExp][] = [
    ["magic", spoiled(0, 0), 0, /no request of ours/],
    ["version", spoiled(4, 9), 0, /a request of another version/],
    ["call", spoiled(6, 99), 0, /an unknown request/],
    ["no call", spoiled(6, 0), 0, /an unknown request/],
    ["name without an end", spoiled(16, 0x61, 16), 0, /a text without an end/],
    ["namespace without an end", spoiled(32, 0x61, 256), 0, /a text without an end/],
    ["MAC without an end", spoiled(288, 0x61, 24), 0, /a text without an end/],
    ["address without an end", spoiled(312, 0x61, 64), 0, /a text without an end/],
    ["mode", spoiled(400, 7), 0, /an unknown mode/],
    ["queues", spoiled(404, 65), 0, /too many queues/],
    ["a short one", good.subarray(0, 100), 0, /a request of the wrong size/],
    ["one byte too few", good.subarray(0, good.length - 1), 0, /a request of the wrong size/],
    ["a long one", Buffer.concat([good, good]), 0, /a request of the wrong size/],
    ["one descriptor", good, 1, /wrong descriptors/],
    ["a hundred descriptors", good, 100, /wrong descriptors/],
  ];
  for (const [what, bytes, descriptors, expected] of cases) {
    t.true(await process.call<boolean>("brokerSay", bytes, descriptors), what);
    t.regex(
      (await process.call<string>("brokerHear")) ?? "gone",
      new RegExp(`^1: the broker was sent ${expected.source}`),
      what,
    );
  }
  // Random bodies behind a good head: any answer will do, and no descriptor is lost on them.
  const broker = process.brokerPid();
  let seed = 20_261_122;
  for (let round = 0; round < 200; round++) {
    const bytes = Buffer.from(good);
    for (let at = 6; at < bytes.length; at++) {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      if (seed % 3 === 0) bytes[at] = seed >> 16;
    }
    // Never a device with a good name: what is tried here must not work.
    bytes[6] = round % 7;
    bytes[7] = 0;
    bytes[16] = 0x2f;
    await process.call("brokerSay", bytes, round % 5);
    t.not(await process.call("brokerHear"), null, `round ${round}`);
  }
  t.deepEqual(readdirSync(`/proc/${broker}/fd`).sort(), ["0", "1", "2", "3"]);
  await process.call("openTap", { name: "t0" });
});

test("a broker that was killed is missed with a clear error, and what it opened goes on", async (t) => {
  const made = launched(t);
  if (!made) return;
  const { process: child, space } = made;
  await child.call("openTap", { name: "t0" });
  process.kill(child.brokerPid(), "SIGKILL");
  const gone = /^PRIVILEGE: the broker that opens devices for the daemon is gone \(killed\?\): .*restart the daemon/;
  await t.throwsAsync(child.call("openTap", { name: "t1" }), { message: gone });
  await t.throwsAsync(child.call("openXdp", { interface: "t0", queues: [0] }), { message: gone });
  t.true(shown(space, "t0").flags.includes("LOWER_UP"));
});

for (const signal of ["SIGTERM", "SIGKILL"] as const)
  test(`the broker goes with its daemon: ${signal}`, async (t) => {
    const made = launched(t);
    if (!made) return;
    await made.process.call("interfaceInfo", "lo");
    const broker = made.process.brokerPid();
    // Only the daemon's end is the broker's.
    process.kill(broker, "SIGTERM");
    await made.process.call("openTap", { name: "t0" });
    made.process.child.kill(signal);
    await made.process.ended;
    // An orphan may wait for init to collect it.
    const there = () => existsSync(`/proc/${broker}/exe`) && canRead(`/proc/${broker}/exe`);
    await until(() => !there(), "the broker to end");
    t.pass();
  });

const canRead = (link: string) => {
  try {
    return readlinkSync(link) !== "";
  } catch {
    return false;
  }
};

/** A /dev/net/tun that everybody may open, as most systems have it; `ip netns exec` gives each program mounts of its own. */
const openTun = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200";

test("without capabilities each device names the one it needs, and the command that grants it", async (t) => {
  const nets = namespaces(t, "tun", "setpriv");
  if (!nets) return;
  if (!nobodyReads(t, launcherPath)) return;
  const space = nets.make("user");
  space.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
  const process = new DeviceProcess(t, {
    before: ["ip", "netns", "exec", space.name, "sh", "-c", `${openTun} && exec "$0" "$@"`, ...asNobody],
    launcher: undefined,
  });
  const grants = (capability: string, set = "cap_net_admin,cap_net_raw,cap_bpf") =>
    new RegExp(
      `^PRIVILEGE: .*needs the capability ${capability}: run the daemon as root, or \`sudo setcap ${set}\\+ep ${launcherPath}\`$`,
    );
  await t.throwsAsync(process.call("openTap", { name: "t0" }), { message: grants("CAP_NET_ADMIN") });
  await t.throwsAsync(process.call("openXdp", { interface: "v0", queues: [0] }), { message: grants("CAP_NET_RAW") });
  await t.throwsAsync(process.call("interfaceInfo", "lo", space.name), {
    message: grants("CAP_SYS_ADMIN", "cap_net_admin,cap_net_raw,cap_bpf,cap_sys_admin"),
  });
  // Process 1 has capabilities that this one has not.
  await t.throwsAsync(process.call("interfaceInfo", "lo", "/proc/1/ns/net"), {
    message: grants("CAP_SYS_PTRACE", "cap_net_admin,cap_net_raw,cap_bpf,cap_sys_admin,cap_sys_ptrace"),
  });
  t.is((await process.call<InterfaceInfo>("interfaceInfo", "lo")).index, 1);
});

test("a /dev/net/tun that the user may not open", async (t) => {
  const nets = namespaces(t, "tun", "setpriv");
  if (!nets) return;
  if (!nobodyReads(t, launcherPath)) return;
  const closedTun = ["sh", "-c", `${openTun} && chmod 600 /dev/net/tun && exec "$0" "$@"`, ...asNobody];
  const before = ["ip", "netns", "exec", nets.make("shut").name, ...closedTun];
  const process = new DeviceProcess(t, { before, launcher: undefined });
  await t.throwsAsync(process.call("openTap", { name: "t0" }), {
    message:
      /^PRIVILEGE: tap:t0: \/dev\/net\/tun may not be opened by this user \(`sudo chmod 666 .*CAP_NET_ADMIN: .*setcap/,
  });
});

test("file capabilities let an ordinary user start it, who keeps none of them", async (t) => {
  const nets = namespaces(t, "tun", "setpriv", "setcap");
  if (!nets) return;
  if (!nobodyReads(t, launcherPath)) return;
  const folder = mkdtempSync(join(tmpdir(), "paste-launcher-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o755);
  const launcher = join(folder, "paste-switch-launcher");
  copyFileSync(launcherPath, launcher);
  if (spawnSync("setcap", ["cap_net_admin,cap_net_raw,cap_bpf+ep", launcher]).status !== 0)
    return skip(t, "setcap does not work here");
  const space = nets.make("caps");
  const process = new DeviceProcess(t, {
    before: ["ip", "netns", "exec", space.name, "sh", "-c", `${openTun} && exec "$0" "$@"`, ...asNobody],
    launcher,
  });
  t.is((await process.call<{ queues: number[] }>("openTap", { name: "t0" })).queues.length, 1);
  const found = capabilitiesOf(process.child.pid!);
  for (const set of ["CapAmb", "CapEff", "CapInh", "CapPrm"]) t.true(found.includes(`${set} ${zero}`), found.join());
  t.true(found.includes("NoNewPrivs 1"));
  t.true(found.includes(`Uid ${nobody}\t${nobody}\t${nobody}\t${nobody}`));
  await t.throwsAsync(process.call("openTap", { name: "t1", netns: space.name }), {
    message: new RegExp(
      `^PRIVILEGE: network namespace \\S+: this needs the capability CAP_SYS_ADMIN: .*,cap_sys_admin\\+ep ${launcher}\`$`,
    ),
  });
});

test("the capabilities that examples/paste-switch.service leaves are enough", async (t) => {
  const nets = namespaces(t, "tun", "setpriv");
  if (!nets) return;
  const unit = readFileSync(join(packageRoot, "examples", "paste-switch.service"), "utf8");
  const numbers: Record<string, number> = {
    NET_ADMIN: 12,
    NET_RAW: 13,
    BPF: 39,
    SYS_ADMIN: 21,
    SYS_PTRACE: 19,
    SETUID: 7,
    SETGID: 6,
    SETPCAP: 8,
  };
  const names = /^CapabilityBoundingSet=(.*)$/m
    .exec(unit)![1]!
    .split(" ")
    .map((name) => name.slice("CAP_".length));
  t.deepEqual([...names].sort(), Object.keys(numbers).sort());
  const bounding = ["-all", ...names.map((name) => `+cap_${numbers[name]}`)].join();
  const space = nets.make("unit");
  const process = new DeviceProcess(t, {
    before: ["setpriv", `--bounding-set=${bounding}`, "--no-new-privs"],
    launcherArgs: ["--user", "0:0", "--group", "54321"],
  });
  await process.call("openTap", { name: "t0", netns: space.name });
  await process.call("openXdp", { interface: "t0", netns: space.name, queues: [0] });
  const zeros = ["CapAmb", "CapBnd", "CapEff", "CapInh", "CapPrm"].map((set) => `${set} ${zero}`);
  t.deepEqual(capabilitiesOf(process.child.pid!), [...zeros, "NoNewPrivs 1", "Uid 0\t0\t0\t0"]);
});

test("started without standard descriptors, the launcher leaves their numbers to nobody", (t) => {
  const ask = 'PASTE=$(readlink /proc/$$/fd/0 /proc/$$/fd/2; echo "$PASTE_SWITCH_BROKER"); echo "$PASTE" >"$0"';
  const folder = mkdtempSync(join(tmpdir(), "paste-launcher-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "said");
  const args = ["-c", 'exec "$0" "$@" <&- >&- 2>&-', launcherPath, "--", "/bin/sh", "-c", ask, file];
  t.is(spawnSync("/bin/sh", args).status, 0);
  const [input, errors, broker] = readFileSync(file, "utf8").split("\n");
  t.deepEqual([input, errors], ["/dev/null", "/dev/null"]);
  t.true(Number(broker?.split(":")[1]) > 2 || broker?.endsWith(":-1"), broker);
});

test("the launcher says what is wrong with its command line", (t) => {
  const says = (args: string[]) => spawnSync(launcherPath, args, { encoding: "utf8" });
  for (const [args, expected] of [
    [[], /what to run is missing/],
    [["--"], /what to run is missing/],
    [["--allow"], /--allow: its value is missing/],
    [["--allow", "--", "/bin/true"], /--allow: its value is missing/],
    [["--force", "x", "--", "/bin/true"], /--force: unknown/],
    [["--user", "me", "--", "/bin/true"], /--user me: UID:GID is needed/],
    [["--user", "4294967295:0", "--", "/bin/true"], /--user 4294967295:0: UID:GID is needed/],
    [["--group", "-1", "--", "/bin/true"], /--group -1: a group's number is needed/],
    [["--", "true"], /true: the program's whole path is needed/],
    [["--", "/not/there"], /the launcher cannot run \/not\/there \(No such file or directory\)/],
  ] as const) {
    const { status, stderr } = says([...args]);
    t.is(status, 1);
    t.regex(stderr, expected);
    t.regex(stderr, /^paste-switch: [^\n]+\n$/);
  }
});
