// What takes a capability, with those of this process; launcher.test.ts has processes without.
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import test from "ava";
import { namespaces } from "../support/namespaces.js";
import { badTaps, devicesAddon, shown, type TapRequest } from "../support/native-devices.js";
import { skip } from "../support/skip.js";

const addon = devicesAddon();
const devices = addon.localDevices();

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
