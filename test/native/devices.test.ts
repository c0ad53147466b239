// What takes a capability: with those of this process, through the broker of the launcher, and without any.
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
import { type Namespace, namespaces } from "../support/namespaces.js";
import {
  capabilitiesOf,
  DeviceProcess,
  devicesAddon,
  type InterfaceInfo,
  launcherPath,
  type TapRequest,
} from "../support/native-devices.js";
import { until } from "../support/native-ports.js";
import { packageRoot, skip } from "../support/skip.js";

const addon = devicesAddon();
const devices = addon.localDevices();
const zero = "0000000000000000";
/** CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_BPF 39; CAP_SYS_PTRACE 19, CAP_SYS_ADMIN 21 (linux/capability.h). */
const deviceBits = (1n << 12n) | (1n << 13n) | (1n << 39n);
const hex = (bits: bigint) => bits.toString(16).padStart(16, "0");
const nobody = 65534;

/** What `ip -d -j` says of an interface. */
const shown = (space: Namespace, name: string) =>
  (JSON.parse(space.ip("-d", "-j", "address", "show", name)) as Record<string, never>[])[0] as unknown as {
    mtu: number;
    address: string;
    flags: string[];
    linkinfo: { info_data: Record<string, unknown> };
    addr_info: { local: string; prefixlen: number }[];
  };

const closed = <T extends { queues: number[] }>(tap: T): T => {
  for (const fd of tap.queues) addon.closeDescriptor(fd);
  return tap;
};

const refused = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  return "it worked";
};

test("an interface is described; one that is not there has index 0", (t) => {
  const lo = devices.interfaceInfo("lo");
  t.is(lo.index, 1);
  t.is(lo.up, true);
  t.is(devices.interfaceInfo("not-there").index, 0);
});

for (const name of ["", "a-name-too-long-", "a/b", "tap%d", "eth0:1", "a b", ".", "..", "tap\0", "tüp"])
  test(`"${name}" is no name of an interface`, (t) => {
    t.regex(
      refused(() => devices.interfaceInfo(name)),
      /^USAGE: interface name ".*": 1 to 15 visible ASCII/s,
    );
    t.regex(
      refused(() => devices.openTap({ name })),
      /^USAGE: interface name /,
    );
  });

const badTaps: [TapRequest, RegExp][] = [
  [{ name: "x", queues: 0 }, /^USAGE: tap:x: 1 to 64 queues, not 0$/],
  [{ name: "x", queues: 65 }, /^USAGE: tap:x: 1 to 64 queues, not 65$/],
  [{ name: "x", mac: "02:00:00:00:00:0" }, /^USAGE: MAC address "02:00:00:00:00:0": write it as /],
  [{ name: "x", mac: "02-00-00-00-00-01" }, /^USAGE: MAC address /],
  [{ name: "x", mac: "03:00:00:00:00:01" }, /^USAGE: MAC address \S+ is a group address/],
  [{ name: "x", address: "10.0.0.1/33" }, /^USAGE: address "10.0.0.1\/33": write it as /],
  [{ name: "x", address: "10.0.0/24" }, /^USAGE: address /],
  [{ name: "x", address: "fd00::1/129" }, /^USAGE: address /],
  [{ name: "x", address: "10.0.0.1/" }, /^USAGE: address /],
];
for (const [request, expected] of badTaps)
  test(`tap ${JSON.stringify(request)} is refused before anything is made`, (t) => {
    t.regex(
      refused(() => devices.openTap(request)),
      expected,
    );
    t.is(devices.interfaceInfo(request.name).index, 0);
  });

test("a TAP device is made as it was asked for, and goes with its last descriptor", (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("tap");
  const tap = devices.openTap({
    name: "t0",
    netns: space.name,
    queues: 2,
    mtu: 9000,
    vnetHeader: true,
    owner: 1,
    group: 2,
    mac: "02:00:00:00:00:09",
    address: "10.9.0.1/24",
  });
  t.like(tap, { mtu: 9000, rxQueues: 2, txQueues: 2, up: true, driver: "tun" });
  t.deepEqual([...tap.mac], [2, 0, 0, 0, 0, 9]);
  t.is(new Set(tap.queues).size, 2);
  const found = shown(space, "t0");
  t.true(found.flags.includes("UP"));
  t.like(found, { mtu: 9000, address: "02:00:00:00:00:09" });
  t.like(found.linkinfo.info_data, { type: "tap", pi: false, vnet_hdr: true, multi_queue: true, persist: false });
  t.like(found.addr_info[0], { local: "10.9.0.1", prefixlen: 24 });
  closed(tap);
  t.is(devices.interfaceInfo("t0", space.name).index, 0);
});

test("a persistent TAP device stays, and is attached to again", (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("keep");
  const first = closed(devices.openTap({ name: "t0", netns: space.name, persist: true, mtu: 1400 }));
  t.like(shown(space, "t0").linkinfo.info_data, { persist: true });
  const again = closed(devices.openTap({ name: "t0", netns: space.name }));
  t.is(again.index, first.index);
  t.is(again.mtu, 1400);
  // Made for many queues by somebody else: one of them will do.
  space.ip("tuntap", "add", "t1", "mode", "tap", "multi_queue");
  t.is(closed(devices.openTap({ name: "t1", netns: space.name })).queues.length, 1);
});

test("a TAP device that cannot be had says why, and what was made for it is gone", (t) => {
  const nets = namespaces(t, "tun", "ip");
  if (!nets) return;
  const space = nets.make("no");
  const netns = space.name;
  space.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
  space.ip("tuntap", "add", "u0", "mode", "tun");
  space.ip("tuntap", "add", "s0", "mode", "tap");
  const open = (request: TapRequest) => refused(() => devices.openTap({ netns, ...request }));
  t.regex(open({ name: "v0" }), /^PORT: tap:v0: name in use by an interface that is no TAP device \(veth\): choose/);
  t.regex(open({ name: "u0" }), /^PORT: tap:u0: name in use by an interface that is no TAP device \(tun, without E/);
  t.regex(open({ name: "s0", queues: 2 }), /^PORT: tap:s0: the device was made for one queue: .*ip link delete s0/);
  t.regex(open({ name: "t0", mtu: 70_000 }), /^PORT: t0: this interface takes no MTU of 70000 bytes$/);
  t.is(devices.interfaceInfo("t0", netns).index, 0);
  const held = devices.openTap({ name: "t1", netns });
  t.regex(open({ name: "t1" }), /^PORT: tap:t1: name in use: another program has this device open$/);
  closed(held);
  const many = devices.openTap({ name: "t2", netns, queues: 3 });
  t.regex(open({ name: "t2" }), /^PORT: tap:t2: name in use: another program has 3 of its queues open$/);
  closed(many);
});

test("AF_XDP sockets, map and link are had, and refused with the reason", (t) => {
  const nets = namespaces(t);
  if (!nets) return;
  const { name: netns, ip } = nets.make("xdp");
  ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
  const open = (request: object) => refused(() => devices.openXdp({ interface: "v0", netns, queues: [0], ...request }));
  t.regex(open({ interface: "v9" }), /^PORT: xdp:v9: there is no such interface in network namespace paste-/);
  t.regex(open({ queues: [] }), /^USAGE: xdp:v0: 1 to 64 queues$/);
  t.regex(open({ queues: [0, 0] }), /^USAGE: xdp:v0: queue 0 is named twice$/);
  t.regex(open({ queues: [1] }), /^PORT: xdp:v0: there is no queue 1: the interface has 1, counted from 0 /);
  const had = devices.openXdp({ interface: "v0", netns, queues: [0] });
  t.is(had.sockets.length, 1);
  t.true(devices.interfaceInfo("v0", netns).up);
  t.regex(open({}), /^PORT: xdp:v0: another XDP program \(id \d+\) is attached to it/);
  for (const fd of [...had.sockets, had.map, had.link]) addon.closeDescriptor(fd);
  t.false(/xdp/.test(ip("link", "show", "v0")));
});

test("a namespace that is none, and a file that is none", (t) => {
  t.regex(
    refused(() => devices.interfaceInfo("lo", "no-such-space")),
    /^PORT: there is no network namespace no-such-space \(\/run\/netns\/no-such-space\): `ip netns add no-such-space`/,
  );
  t.regex(
    refused(() => devices.interfaceInfo("lo", "/dev/null")),
    /^PORT: \/dev\/null is no network namespace/,
  );
  for (const netns of [".", "..", "a\0b"])
    t.regex(
      refused(() => devices.interfaceInfo("lo", netns)),
      /^USAGE: network namespace /,
    );
});

test("only the thread that works in another namespace goes there", (t) => {
  const nets = namespaces(t);
  if (!nets) return;
  const before = readlinkSync("/proc/self/ns/net");
  t.is(devices.interfaceInfo("lo", nets.make("far").name).driver, devices.interfaceInfo("lo").driver);
  for (const thread of readdirSync("/proc/self/task")) t.is(readlinkSync(`/proc/self/task/${thread}/ns/net`), before);
});

test("without netmap's module the error says what to install", (t) => {
  if (existsSync("/dev/netmap")) return skip(t, "there is a /dev/netmap");
  t.regex(
    refused(() => devices.openNetmap()),
    /^PORT: there is no \/dev\/netmap: install netmap's kernel module/,
  );
});

const globs: [string[], string, boolean][] = [
  [["*"], "tap:x", true],
  [["tap:*"], "tap:", true],
  [["tap:*"], "xdp:x", false],
  [["tap:lab?"], "tap:lab1", true],
  [["tap:lab?"], "tap:lab", false],
  [["tap:lab?"], "tap:lab12", false],
  [["xdp:eth*", "tap:a"], "tap:a", true],
  [["xdp:eth*"], "xdp:Eth0", false],
  [["*a*a*a*b"], `tap:${"a".repeat(60)}`, false],
  [["tap:a*c*e"], "tap:abcde", true],
  [["tap:a"], "tap:a\0b", false],
  [[""], "tap:a", false],
  [["netmap:eth0"], "netmap:*", false],
  [["netmap:*"], "netmap:*", true],
];
for (const [list, device, expected] of globs)
  test(`[${list}] ${expected ? "allows" : "refuses"} ${JSON.stringify(device)}`, (t) => {
    t.is(addon.deviceAllowed(list, device), expected);
  });

test("only an allow-list with namespaces keeps CAP_SYS_ADMIN", (t) => {
  for (const list of [["*"], ["netns:blue"], ["tap:x", "n*:x"], ["?etns:x"]])
    t.true(addon.deviceAllowed(list), `${list}`);
  for (const list of [["tap:*"], ["xdp:eth*", "netmap:*"], [""]]) t.false(addon.deviceAllowed(list), `${list}`);
});

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
/** Runs what follows as the user nobody, without capabilities. */
const asNobody = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];

/** Whether nobody could read this package at all. */
const nobodyReads = () => spawnSync(asNobody[0]!, [...asNobody.slice(1), "test", "-r", launcherPath]).status === 0;

test("without capabilities each device names the one it needs, and the command that grants it", async (t) => {
  const nets = namespaces(t, "tun", "setpriv");
  if (!nets) return;
  if (!nobodyReads()) return skip(t, "other users may not read this folder");
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
  if (!nobodyReads()) return skip(t, "other users may not read this folder");
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
  if (!nobodyReads()) return skip(t, "other users may not read this folder");
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
