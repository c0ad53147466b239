// The daemon without capabilities: what it gave up, what works all the same, and what is said where nothing was to give up.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { cliPath } from "../cli/run-cli.js";
import { namespaces } from "../support/namespaces.js";
import { capabilitiesOf, launcherPath } from "../support/native-devices.js";
import { asNobody, nobody, nobodyReads } from "../support/other-user.js";
import { skip } from "../support/skip.js";
import { DaemonProcess, receiveFrames, smallStore, testFolder } from "./daemon-process.js";

const zero = "0000000000000000";
const bare = (uid: number) => [
  ...["CapAmb", "CapBnd", "CapEff", "CapInh", "CapPrm"].map((set) => `${set} ${zero}`),
  "NoNewPrivs 1",
  `Uid ${uid}\t${uid}\t${uid}\t${uid}`,
];

const asRoot = (t: ExecutionContext) => {
  if (process.getuid!() === 0) return true;
  skip(t, "only root has capabilities to give up");
  return false;
};

/** The broker of a daemon. */
function brokerOf(daemon: DaemonProcess): number {
  const pid = daemon.child.pid!;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8") === "paste-broker\n"));
}

/** A datagram to a neighbour that does not answer: the kernel asks for it by ARP, out of the interface. */
const speak = "const s = require('dgram').createSocket('udp4'); s.send('x', 9, '10.9.0.2', () => s.close())";

test("no thread has a capability while a TAP port works that was added at run time", async (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("tap");
  const daemon = await DaemonProcess.start(t, testFolder(t), [...smallStore, "--log", "arp"]);
  t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(0));
  const listener = daemon.open(t, "vale0:listener");
  const added = await daemon.cli("port", "add", `tap:t0,netns=${space.name},address=10.9.0.1/24,mac=02:00:00:00:00:09`);
  t.is(added.stderr, "");
  t.true(JSON.parse(space.ip("-j", "link", "show", "t0"))[0].flags.includes("LOWER_UP"));
  await space.run(process.execPath, "-e", speak);
  const [frame] = await receiveFrames(listener, 1);
  t.is(frame?.readUInt16BE(12), 0x0806);
  t.is(frame?.subarray(6, 12).toString("hex"), "020000000009");
  t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(0));
  t.is(daemon.stdout, "ready\n");
  t.is(await daemon.end(), 0);
});

test("an environment that says a broker is there keeps no capability", async (t) => {
  if (!asRoot(t)) return;
  const claim = ["sh", "-c", 'PASTE_SWITCH_BROKER=$$:9 exec "$0" "$@"', process.execPath];
  const daemon = await DaemonProcess.start(t, testFolder(t), [], { before: claim });
  t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(0));
});

test("a configuration that names devices: others are refused, and the daemon goes on", async (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("list");
  const folder = testFolder(t);
  const config = join(folder, "lab.toml");
  writeFileSync(config, '[daemon]\ndevices = ["tap:lab*", "netns:paste-*"]\n');
  const daemon = await DaemonProcess.start(t, folder, ["-f", config]);
  t.is((await daemon.cli("port", "add", `tap:lab1,netns=${space.name}`)).stderr, "");
  const { status, stderr } = await daemon.cli("port", "add", `tap:other,netns=${space.name}`);
  t.is(status, 1);
  t.regex(stderr, /^paste-switch: .*tap:other: not among the devices that this daemon may open: .*\n$/);
  t.is((await daemon.cli("port", "list")).status, 0);
  const broker = capabilitiesOf(brokerOf(daemon));
  t.true(broker.includes("CapEff 0000008000003000"), broker.join());
});

test("with its broker killed the daemon forwards, and says why no device can be added", async (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("kill");
  const daemon = await DaemonProcess.start(t, testFolder(t), [
    "--port",
    `tap:t0,netns=${space.name},address=10.9.0.1/24`,
  ]);
  t.notRegex(daemon.stderr, /broker/);
  process.kill(brokerOf(daemon), "SIGKILL");
  await daemon.said("stderr", /^FAILED: the broker that opens devices is gone .*; restart the daemon/m);
  const { status, stderr } = await daemon.cli("port", "add", `tap:t1,netns=${space.name}`);
  t.is(status, 1);
  t.regex(stderr, /the broker that opens devices for the daemon is gone \(killed\?\)/);
  const listener = daemon.open(t, "vale0:listener");
  await space.run(process.execPath, "-e", speak);
  t.is((await receiveFrames(listener, 1))[0]?.readUInt16BE(12), 0x0806);
  t.is(await daemon.end(), 0);
});

test("--group opens sockets and store to a group, without the capability to give files away", async (t) => {
  if (!asRoot(t)) return;
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, ["--group", "54321", ...smallStore]);
  for (const path of [daemon.control, daemon.ports, join(folder, "s.store")]) t.is(statSync(path).gid, 54_321, path);
  t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(0));
});

test("--user: the daemon is that user, its files too, and root still talks to it", async (t) => {
  const nets = namespaces(t, "tun");
  if (!nets) return;
  const space = nets.make("user");
  const folder = testFolder(t);
  chownSync(folder, nobody, nobody);
  if (!nobodyReads(t, cliPath)) return;
  const daemon = await DaemonProcess.start(t, folder, [
    ...["--user", `${nobody}:${nobody}`, ...smallStore],
    ...["--port", `tap:t0,netns=${space.name}`],
  ]);
  t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(nobody));
  for (const path of [daemon.control, daemon.ports, join(folder, "s.store")]) t.is(statSync(path).uid, nobody, path);
  t.is((await daemon.cli("port", "add", `tap:t1,netns=${space.name}`)).stderr, "");
  t.is(await daemon.end(), 0);
});

test("an instance in its usual place goes to a user, and back to root", async (t) => {
  if (!nobodyReads(t, cliPath)) return;
  const name = `test-${process.pid}-user`;
  t.teardown(() => rmSync(join("/run/paste-switch", name), { recursive: true, force: true }));
  const folder = testFolder(t);
  const control = join("/run/paste-switch", name, "control.sock");
  for (const [args, uid] of [
    [["--user", `${nobody}:${nobody}`], nobody],
    [[], 0],
  ] as const) {
    const daemon = await DaemonProcess.start(t, folder, [...args, "--control", control]);
    for (const path of [control, dirname(control), `${control}.lock`]) t.is(statSync(path).uid, uid, path);
    t.deepEqual(capabilitiesOf(daemon.child.pid!), bare(uid));
    t.is(await daemon.end(), 0);
  }
});

test("another user is told what opens a daemon to him", async (t) => {
  if (!nobodyReads(t, cliPath)) return;
  const folder = testFolder(t);
  chmodSync(folder, 0o755);
  const { control, ports } = await DaemonProcess.start(t, folder, [...smallStore]);
  const store = join(folder, "s.store");
  const connect = "start that daemon with --group and a group of yours, or act as its user";
  const open = "act as its owner, or have its daemon started with --group";
  for (const [args, told] of [
    [["stats", "--control", control], `not allowed to connect to ${control}: ${connect}`],
    [["tail", "-i", "any", "--control", control], `port any at ${ports}: not allowed to connect: ${connect}`],
    [["store", "info", store], `${store}: cannot open the store: Permission denied: ${open}`],
  ] as const) {
    const { status, stderr } = spawnSync(asNobody[0], [...asNobody.slice(1), process.execPath, cliPath, ...args], {
      encoding: "utf8",
    });
    t.is(stderr, `paste-switch: ${told}\n`);
    t.is(status, 1);
  }
});

test("root without capabilities says why another user's store cannot be opened", async (t) => {
  if (!asRoot(t)) return;
  const folder = testFolder(t);
  mkdirSync(join(folder, "theirs"));
  chmodSync(join(folder, "theirs"), 0o700);
  chownSync(join(folder, "theirs"), nobody, nobody);
  const { status, stderr } = await DaemonProcess.fails(folder, ["--store", "theirs/s.store", "--size", "16M"]);
  t.is(status, 1);
  t.regex(stderr, /^paste-switch: .*theirs.*\(the daemon is root without capabilities, .* or --user their owner\)\n$/);
});

test("a user without capabilities runs a daemon whose devices name what is missing", async (t) => {
  const nets = namespaces(t, "tun", "setpriv");
  if (!nets) return;
  const folder = testFolder(t);
  chownSync(folder, nobody, nobody);
  if (!nobodyReads(t, cliPath)) return;
  const before = [...asNobody, process.execPath];
  const daemon = await DaemonProcess.start(t, folder, [], { before });
  t.true(capabilitiesOf(daemon.child.pid!).includes(`CapEff ${zero}`));
  const missing = new RegExp(
    `CAP_NET_ADMIN: run the daemon as root, or \`sudo setcap cap_net_admin,.*\\+ep ${launcherPath}\``,
  );
  const { status, stderr } = await daemon.cli("port", "add", `tap:${nets.interfaceName("t")}`);
  t.is(status, 1);
  t.regex(stderr, missing);
  t.is((await daemon.cli("port", "add", "vale0:a")).status, 0);
  const other = await DaemonProcess.fails(folder, ["--user", "root"], "other", before);
  t.is(other.status, 1);
  t.is(other.stderr, "paste-switch: --user root: only root can become another user\n");
});
