// Ports on devices whose interfaces are missing, go down, vanish and come back, as a user of the daemon sees them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { PortInfo } from "../../native/engine.js";
import { runCli } from "../cli/run-cli.js";
import { type Namespace, namespaces } from "../support/namespaces.js";
import { until } from "../support/until.js";
import { DaemonProcess, numberedFrame, testFolder } from "./daemon-process.js";

/** What is pinned counts for all daemons of one user, and may be limited. */
const little = '[switch]\nframeMemory = "1M"\n';

/** The port as `port list` shows it once it is as wanted; fails with what it was at last. */
async function portBecomes(daemon: DaemonProcess, name: string, is: (port: PortInfo) => boolean): Promise<PortInfo> {
  let port: PortInfo | undefined;
  const look = async () => {
    const { ports } = await daemon.ask((client) => client.call("portList", {}));
    port = ports.find((candidate) => candidate.name === name);
    return port !== undefined && is(port);
  };
  await until(look, `${name} as it should be`).catch((error) => {
    throw new Error(`${error.message}; it is ${JSON.stringify(port)}: ${daemon.stderr}`);
  });
  return port!;
}

/** What runs a daemon in a namespace. */
const inside = ({ name }: Namespace) => ["ip", "netns", "exec", name, process.execPath];

/** A veth pair: `near` in the daemon's namespace, `far` beside it in another. */
function plug(home: Namespace, away: Namespace): void {
  home.ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", away.name);
  away.ip("link", "set", "far", "up");
  home.ip("link", "set", "near", "up");
}

const framesAt = async (space: Namespace, interfaceName: string) =>
  Number(await space.run("cat", `/sys/class/net/${interfaceName}/statistics/rx_packets`));

/** Sends one frame to everybody and waits until the interface at the other end has it. */
async function reaches(daemon: DaemonProcess, t: ExecutionContext, space: Namespace, name = "far"): Promise<void> {
  const before = await framesAt(space, name);
  const port = daemon.open(t, "vale0:client");
  port.send([numberedFrame(1, 0xff, 1)]);
  await until(async () => (await framesAt(space, name)) > before, "the frame at the other end");
  port.close();
}

/** A classic capture of these frames, all of one moment. */
function capture(frames: Uint8Array[]): Buffer {
  const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
  const records = frames.flatMap((frame) => [words(0, 0, frame.length, frame.length), frame]);
  return Buffer.concat([words(0xa1b2c3d4, 0x0004_0002, 0, 0, 65535, 1), ...records]);
}

test("frames that a configured port has at once wait for the ports behind it in the configuration", async (t) => {
  const spaces = namespaces(t);
  if (!spaces) return;
  const [home, away] = [spaces.make("home"), spaces.make("away")];
  const folder = testFolder(t);
  const frames = Array.from({ length: 100 }, (_, number) => numberedFrame(1, 0xff, number));
  writeFileSync(join(folder, "first.pcap"), capture(frames));
  writeFileSync(join(folder, "c.toml"), `${little}[[port]]\nspec = "pcap:first.pcap"\n[[port]]\nspec = "xdp:near"\n`);
  plug(home, away);
  const daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"], { before: inside(home) });
  const stats = () => daemon.ask((client) => client.call("stats", {}));
  await until(async () => (await stats()).detached.receivedFrames >= frames.length, "all of its frames");
  const { ports } = await stats();
  // Its kernel may not call it running yet, and refuse them: that is another matter.
  t.is(ports.find(({ name }) => name === "vale0:near")?.counters.intendedCopies, frames.length);
});

const kinds: [kind: PortInfo["kind"], spec: string][] = [["xdp", "xdp:near"]];

for (const [kind, spec] of kinds) {
  test(`${kind}: a configured port waits for its interface, follows it, and comes back`, async (t) => {
    const spaces = namespaces(t);
    if (!spaces) return;
    const [home, away] = [spaces.make("home"), spaces.make("away")];
    const folder = testFolder(t);
    writeFileSync(join(folder, "c.toml"), `${little}[[port]]\nspec = "${spec}"\n[[rule]]\nname = "all"\n`);
    const args = ["-f", "c.toml", "--store", "s.store", "--size", "64M"];
    let daemon = await DaemonProcess.start(t, folder, args, { before: inside(home) });
    await daemon.said("stderr", /^port vale0:near is down: there is no interface near;/m);
    const missing = await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
    t.is(missing.kind, kind);
    t.is(missing.interface, "near");
    t.regex(missing.detail, /no interface near/);

    plug(home, away);
    const up = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    t.not(up.detail, "");
    await daemon.said("stderr", /^port vale0:near is up again$/m);
    await reaches(daemon, t, away);

    home.ip("link", "set", "near", "down");
    const down = await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
    t.is(down.id, up.id, "it stays attached");
    t.regex(down.detail, /^interface near is down or has no carrier: bring it, or its other end, up/);
    home.ip("link", "set", "near", "up");
    t.is((await portBecomes(daemon, "vale0:near", ({ state }) => state === "up")).id, up.id);
    await reaches(daemon, t, away);

    home.ip("link", "delete", "near");
    const removed = await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
    t.regex(removed.detail, /near/);
    plug(home, away);
    const back = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    t.not(back.id, up.id, "it is another attachment");
    await reaches(daemon, t, away);

    await daemon.end("SIGKILL");
    daemon = await DaemonProcess.start(t, folder, args, { before: inside(home) });
    await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    await reaches(daemon, t, away);
    t.is(await daemon.end(), 0);
    const verified = await runCli(["store", "verify", join(folder, "s.store")]);
    t.is(verified.status, 0, verified.stderr);
  });

  test(`${kind}: a port of another namespace is followed, too`, async (t) => {
    const spaces = namespaces(t);
    if (!spaces) return;
    const [home, away] = [spaces.make("home"), spaces.make("away")];
    const folder = testFolder(t);
    writeFileSync(join(folder, "c.toml"), little);
    const daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"]);
    const add = await daemon.cli("port", "add", `vale0:near=${spec},netns=${home.name},access=5`);
    t.is(add.status, 1);
    t.regex(add.stderr, /no interface/);
    t.deepEqual((await daemon.ask((client) => client.call("portList", {}))).ports, []);

    plug(home, away);
    const added = await daemon.cli("port", "add", `vale0:near=${spec},netns=${home.name},access=5`);
    t.is(added.status, 0, added.stderr);
    const up = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    t.is(up.interface, `${home.name}/near`);
    t.is(up.vlan, "access 5");
    home.ip("link", "set", "near", "down");
    await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
    home.ip("link", "set", "near", "up");
    await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    home.ip("link", "delete", "near");
    await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
    plug(home, away);
    const back = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
    t.not(back.id, up.id);
    t.is(back.vlan, "access 5", "what it was told holds for every attachment");

    t.is((await daemon.cli("port", "remove", "vale0:near")).status, 0);
    t.deepEqual((await daemon.ask((client) => client.call("portList", {}))).ports, []);
    home.ip("link", "set", "near", "down");
    t.is((await daemon.cli("port", "add", `${spec},netns=${home.name}`)).status, 0, "its device is free again");
  });
}

test("tap: a port whose device is deleted makes it again, follows it, and comes back after a crash", async (t) => {
  const spaces = namespaces(t, "tun");
  if (!spaces) return;
  const home = spaces.make("home");
  const folder = testFolder(t);
  const client = '[[port]]\nname = "vale0:client"\naccess = 5\n';
  const tap = '[[port]]\nspec = "tap:near,mtu=1400"\ntrunk = [5, "7-9"]\nnative = 5\n';
  writeFileSync(join(folder, "c.toml"), little + client + tap);
  let daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"], { before: inside(home) });
  const first = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
  t.is(first.interface, "near");
  t.is(first.vlan, "trunk 5+7-9, native 5");
  await reaches(daemon, t, home, "near");

  home.ip("link", "set", "near", "down");
  const down = await portBecomes(daemon, "vale0:near", ({ state }) => state === "down");
  t.is(down.id, first.id);
  home.ip("link", "set", "near", "up");
  await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
  await reaches(daemon, t, home, "near");

  home.ip("link", "delete", "near");
  const second = await portBecomes(daemon, "vale0:near", ({ id, state }) => state === "up" && id !== first.id);
  t.is(second.vlan, first.vlan);
  t.regex(home.ip("link", "show", "near"), /mtu 1400/);
  await reaches(daemon, t, home, "near");

  await daemon.end("SIGKILL");
  t.throws(() => home.ip("link", "show", "near"), { message: /does not exist/ }, "it went with the daemon");
  daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"], { before: inside(home) });
  await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
  await reaches(daemon, t, home, "near");
  const list = await daemon.cli("port", "list");
  t.regex(list.stdout, /^vale0:near +tap +up .*\n {4}near; 1 queue.*; trunk 5\+7-9, native 5$/m);
});

test("tap: a device that is moved to another namespace works on there", async (t) => {
  const spaces = namespaces(t, "tun");
  if (!spaces) return;
  const [home, away] = [spaces.make("home"), spaces.make("away")];
  const folder = testFolder(t);
  writeFileSync(join(folder, "c.toml"), `${little}[[port]]\nspec = "tap:near"\n`);
  const daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"], { before: inside(home) });
  const { id } = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
  home.ip("link", "set", "near", "netns", away.name);
  away.ip("link", "set", "near", "up");
  await reaches(daemon, t, away, "near");
  const there = await portBecomes(daemon, "vale0:near", ({ state }) => state === "up");
  t.is(there.id, id, "it is the same attachment");
});

test("a device's name is taken, even while the device is away", async (t) => {
  const spaces = namespaces(t);
  if (!spaces) return;
  const home = spaces.make("home");
  const folder = testFolder(t);
  writeFileSync(join(folder, "c.toml"), '[[port]]\nspec = "xdp:near"\n');
  const daemon = await DaemonProcess.start(t, folder, ["-f", "c.toml"], { before: inside(home) });
  t.regex((await daemon.cli("port", "add", "vale0:near")).stderr, /vale0:near is attached already/);
  t.throws(() => daemon.open(t, "vale0:near"), { message: /in use/ });
  const again = await daemon.cli("port", "add", "vale0:other=xdp:near");
  t.is(again.stderr, "paste-switch: interface near is port vale0:near already\n");
  t.regex((await daemon.cli("stats")).stdout, /^vale0:near is down: there is no interface near;/m);
  t.regex((await daemon.cli("stats", "--prometheus")).stdout, /^paste_switch_port_up\{port="vale0:near"\} 0$/m);
  t.is((await daemon.cli("port", "remove", "vale0:near")).status, 0);
  daemon.open(t, "vale0:near");
});

test("a start with a device that is missing, and not configured, fails", async (t) => {
  const spaces = namespaces(t);
  if (!spaces) return;
  const home = spaces.make("home");
  const failed = await DaemonProcess.fails(testFolder(t), ["--port", "xdp:near"], "c", inside(home));
  t.is(failed.status, 1);
  t.regex(failed.stderr, /no interface near/);
});
