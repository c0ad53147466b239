// Real hosts at the switch: network namespaces behind TAP devices and, over veth, behind AF_XDP sockets. Whatever they do to each
// other passes through the daemon, and is held against what the daemon counted and what the store gives back.
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { openStore } from "../../logger/reader.js";
import { TrafficGenerator } from "../../logger/traffic/traffic-generator.js";
import { ControlClient } from "../../switch/control-client.js";
import type { DaemonStats } from "../../switch/control-protocol.js";
import { DaemonProcess, runCommand } from "../../switch/demo/command.js";
import { ping } from "../support/host-traffic.js";
import { sumsHold } from "../support/live-switch.js";
import { type Namespace, namespaces } from "../support/namespaces.js";
import { until } from "../support/until.js";

type Kind = "tap" | "xdp";

interface Lab {
  folder: string;
  env: Record<string, string>;
  red: Namespace;
  blue: Namespace;
  redInterface: string;
  daemonArgs: string[];
  store: string;
  daemon: DaemonProcess;
  stats(): Promise<DaemonStats>;
}

const redAddress = "10.77.0.1";
const blueAddress = "10.77.0.2";

/** Two hosts and a daemon between them; undefined when this machine cannot (the test was skipped then). */
async function lab(t: ExecutionContext, kind: Kind, tools: string[], log = "", options = ""): Promise<Lab | undefined> {
  const nets = namespaces(t, "tun", ...tools);
  if (!nets) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-networks-"));
  const red = nets.make("red");
  const blue = nets.make("blue");
  const redInterface = nets.interfaceName("red");
  const blueInterface = nets.interfaceName("blue");
  const store = join(folder, "lab.store");
  const env = { PASTE_SWITCH_CONTROL: join(folder, "control.sock") };
  const ports =
    kind === "tap"
      ? [
          `vale0:red=tap:${redInterface},netns=${red.name},address=${redAddress}/24,persist${options}`,
          `vale0:blue=tap:${blueInterface},netns=${blue.name},address=${blueAddress}/24,persist${options}`,
        ]
      : veths(nets.make("switch"), [
          { host: red, name: redInterface, port: "red", address: redAddress },
          { host: blue, name: blueInterface, port: "blue", address: blueAddress },
        ]);
  // The configuration holds the ports, as a machine's would: a daemon that comes back attaches them again.
  const config = join(folder, "lab.toml");
  writeFileSync(config, ports.map((spec) => `[[port]]\nspec = "${spec}"\n`).join("\n"));
  const daemonArgs = ["daemon", "-f", config, "--store", store, "--size", "512M", "--log", log];
  const made: Lab = {
    folder,
    env,
    red,
    blue,
    redInterface,
    daemonArgs,
    store,
    daemon: await DaemonProcess.start(daemonArgs, env),
    async stats() {
      const control = await ControlClient.connect(env.PASTE_SWITCH_CONTROL);
      try {
        return await control.call("stats", {});
      } finally {
        control.close();
      }
    },
  };
  t.teardown(async () => {
    await made.daemon.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  return made;
}

/** A veth pair for each host: one end in its namespace, the other in the switch's, where the daemon's socket listens. */
function veths(middle: Namespace, ends: { host: Namespace; name: string; port: string; address: string }[]): string[] {
  return ends.map(({ host, name, port, address }) => {
    const outer = `sw${name}`.slice(0, 15);
    middle.ip("link", "add", outer, "type", "veth", "peer", "name", name, "netns", host.name);
    middle.ip("link", "set", outer, "up");
    host.ip("addr", "add", `${address}/24`, "dev", name);
    host.ip("link", "set", name, "up");
    return `vale0:${port}=xdp:${outer},netns=${middle.name}`;
  });
}

/** The counters once no frame is on its way: the same twice, a moment apart. */
async function settled(net: Lab): Promise<DaemonStats> {
  const sums = ({ ports, selected }: DaemonStats) => JSON.stringify([selected, ports.map(({ counters }) => counters)]);
  let stats = await net.stats();
  await until(async () => {
    const before = sums(stats);
    await new Promise((resolve) => setTimeout(resolve, 300));
    stats = await net.stats();
    return sums(stats) === before;
  }, "no frame is on its way");
  return stats;
}

/** The three sums of the contract. Gives what they were. */
async function settledSums(t: ExecutionContext, net: Lab): Promise<DaemonStats> {
  const stats = await settled(net);
  sumsHold(t, stats);
  return stats;
}

const pinged = async (host: Namespace, address: string) =>
  host.run("ping", "-c", "1", "-W", "1", address).then(
    () => true,
    () => false,
  );

for (const kind of ["tap", "xdp"] as const) {
  test.serial(`${kind}: ping, and each of its frames is in the store when the answer is seen`, async (t) => {
    const net = await lab(t, kind, ["ping"], "icmp");
    if (!net) return;
    await until(() => pinged(net.red, blueAddress), "an answer to a ping");
    const before = await framesIn(net.store);
    const { sent, received } = await ping({ ns: net.red }, blueAddress, "-c", "5", "-s", "1400");
    const kept = (await framesIn(net.store)) - before;
    t.true(
      received >= 5 && kept >= 2 * received,
      `${received} answers seen, ${kept} frames read while the daemon runs`,
    );
    await until(async () => (await framesIn(net.store)) - before >= 2 * sent, "each request and answer");
    t.is((await framesIn(net.store)) - before, 2 * sent, "once");
    await settledSums(t, net);
  });

  test.serial(`${kind}: 100 MB by HTTP arrive as they were`, async (t) => {
    const net = await lab(t, kind, ["ping", "curl", "python3"], "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0");
    if (!net) return;
    const bytes = randomBytes(100_000_000);
    writeFileSync(join(net.folder, "file"), bytes);
    net.blue.start("python3", "-m", "http.server", "--directory", net.folder, "--bind", blueAddress, "8000");
    await until(() => pinged(net.red, blueAddress), "an answer to a ping");
    const copy = join(net.folder, "copy");
    await net.red.run(
      "curl",
      "--silent",
      "--fail",
      "--retry-connrefused",
      "--retry",
      "20",
      "--retry-delay",
      "1",
      "-o",
      copy,
      `http://${blueAddress}:8000/file`,
    );
    const { stdout } = await runCommand(["stats", "--json"], net.env);
    const hash = createHash("sha256").update(bytes).digest("hex");
    t.is((await net.red.run("sha256sum", copy)).split(" ")[0], hash);
    t.true((JSON.parse(stdout) as DaemonStats).logged >= 3);
    await settledSums(t, net);
  });

  test.serial(`${kind}: iperf3 in both directions, TCP and UDP`, async (t) => {
    const net = await lab(t, kind, ["ping", "iperf3"], "port 5201");
    if (!net) return;
    const server = net.blue.start("iperf3", "-s", "--forceflush");
    await new Promise((resolve) => server.stdout!.once("data", resolve));
    await until(() => pinged(net.red, blueAddress), "an answer to a ping");
    for (const direction of [[], ["-R"]]) {
      const report = JSON.parse(await net.red.run("iperf3", "-c", blueAddress, "-n", "100M", "-J", ...direction));
      const received: number = report.end.sum_received.bytes;
      t.log(
        `${(report.end.sum_received.bits_per_second / 1e9).toFixed(2)} Gb/s, ${report.end.sum_sent.retransmits} retransmits`,
      );
      t.true(received >= 99_000_000, `${received} bytes arrived`);
    }
    const udp = JSON.parse(
      await net.red.run("iperf3", "-c", blueAddress, "-u", "-b", "50M", "-n", "10M", "-l", "1400", "-J"),
    );
    t.true(udp.end.sum.packets > 7000);
    await settledSums(t, net);
  });
}

async function framesIn(store: string): Promise<number> {
  const reader = openStore(store);
  try {
    let frames = 0;
    for await (const batch of reader.frames()) frames += batch.count;
    return frames;
  } finally {
    reader.close();
  }
}

// A client that opens every connection, says its number on each and wants it back; prints how many answered right.
const echoServer = `
require("node:net").createServer({ noDelay: true }, (socket) => { socket.on("error", () => {}); socket.pipe(socket); })
  .listen({ port: 7000, host: "${blueAddress}", backlog: 4096 }, () => console.log("listening"));`;
const echoClients = `
let right = 0, ended = 0, opened = 0;
const all = 10000;
const open = () => {
  const number = String(opened++);
  const socket = require("node:net").connect({ port: 7000, host: "${blueAddress}" }, () => socket.write(number));
  let told = "";
  socket.on("data", (data) => { told += data; if (told === number) { right++; next(); } });
  socket.on("error", () => next());
};
// Connections stay open until the last one has answered: ten thousand at once.
const next = () => { if (++ended === all) { console.log(right); process.exit(); } else if (opened < all) open(); };
for (let i = 0; i < 200; i++) open();`;

test.serial("ten thousand TCP connections at once through two TAP devices", async (t) => {
  const net = await lab(t, "tap", ["ping"], "tcp[tcpflags] & tcp-syn != 0");
  if (!net) return;
  await until(() => pinged(net.red, blueAddress), "an answer to a ping");
  const many = (script: string) => ["-c", 'ulimit -n 30000; exec "$0" -e "$1"', process.execPath, script];
  const server = net.blue.start("sh", ...many(echoServer));
  await new Promise((resolve) => server.stdout!.once("data", resolve));
  t.is((await net.red.run("sh", ...many(echoClients))).trim(), "10000");
  const stats = await settledSums(t, net);
  t.true(stats.logged >= 20_000, "each connection's SYN and SYN+ACK");
});

test.serial("an interface that flaps under traffic: the port says so, and goes on by itself", async (t) => {
  const net = await lab(t, "tap", ["ping"], "icmp");
  if (!net) return;
  await until(() => pinged(net.red, blueAddress), "an answer to a ping");
  const load = net.blue.start("ping", "-i", "0.002", "-q", redAddress);
  const red = async () => (await net.stats()).ports.find(({ name }) => name === "vale0:red");
  let before = 0;
  const refused = async () => (await red())!.counters.refused.down!;
  for (let i = 0; i < 10; i++) {
    net.red.ip("link", "set", net.redInterface, "down");
    await until(async () => (await red())?.state === "down", "the port is down");
    await until(async () => (await refused()) > before, "traffic goes on, and is refused");
    net.red.ip("link", "set", net.redInterface, "up");
    await until(async () => (await red())?.state === "up", "the port is up");
    before = await refused();
  }
  await until(() => pinged(net.red, blueAddress), "an answer to a ping");
  load.kill("SIGINT");
  await settledSums(t, net);
});

for (const kind of ["tap", "xdp"] as const)
  test.serial(
    `${kind}: the daemon is killed under load and started again: hosts go on, nothing acknowledged is lost`,
    async (t) => {
      const net = await lab(t, kind, ["ping"], "icmp");
      if (!net) return;
      await until(() => pinged(net.red, blueAddress), "an answer to a ping");
      const gaps: number[] = [];
      for (let round = 0; round < 3; round++) {
        // -D stamps each answer.
        const ping = net.red.start("ping", "-D", "-n", "-i", "0.01", blueAddress);
        let said = "";
        ping.stdout!.on("data", (data: Buffer) => {
          said += data;
        });
        const answers = () => [...said.matchAll(/^\[(\d+\.\d+)\] \d+ bytes/gm)].map((match) => Number(match[1]));
        await until(() => answers().length > 50, "answers");
        const seen = answers().length;
        await net.daemon.kill();
        net.daemon = await DaemonProcess.start(net.daemonArgs, net.env);
        await until(() => answers().length > seen + 50, "answers from the new daemon");
        ping.kill("SIGINT");
        const times = answers();
        gaps.push(Math.max(...times.slice(1).map((time, i) => time - times[i]!)) * 1000);
        // Strict: an answer that the host saw crossed the switch twice, request and answer, and both are in the store.
        t.true((await framesIn(net.store)) >= 2 * times.length);
      }
      t.log(`outage from SIGKILL to the next answer: ${gaps.map((gap) => `${gap.toFixed(0)} ms`).join(", ")}`);
      await settledSums(t, net);
    },
  );

test.serial("an hour of traffic in two minutes: what the hosts' kernels counted is what the switch says", async (t) => {
  t.timeout(300_000);
  // Without offloads: segments that leave in one write are one packet to the kernel's counter.
  const net = await lab(t, "tap", [], "", ",offload=off");
  if (!net) return;
  const capture = join(net.folder, "hour.pcap");
  const writer = new PcapWriter({ nanoseconds: true });
  writeFileSync(capture, writer.header());
  const generator = new TrafficGenerator({ seed: 60, hosts: 300, framesPerSecond: 100 });
  const frames = 360_000;
  for (let left = frames; left > 0; left -= 10_000) appendFileSync(capture, writer.append(generator.next(10_000)));
  const received = (host: Namespace) => {
    const [link] = JSON.parse(host.ip("-s", "-j", "link", "show", "type", "tun"));
    return link.stats64.rx.packets + link.stats64.rx.dropped;
  };
  const before = [received(net.red), received(net.blue)];
  await runCommand(["port", "add", `vale0:hour=pcap:${capture},speed=30`], net.env);
  const startMs = performance.now();
  while ((await net.stats()).ports.some(({ name }) => name === "vale0:hour") && performance.now() - startMs < 240_000)
    await new Promise((resolve) => setTimeout(resolve, 1000));
  t.log(`played in ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
  const stats = await settledSums(t, net);
  t.is(stats.logged, frames);
  for (const [index, host] of [net.red, net.blue].entries()) {
    const { counters } = stats.ports.find(({ name }) => name === ["vale0:red", "vale0:blue"][index])!;
    t.is(received(host) - before[index]!, counters.deliveredCopies, "the kernel behind the TAP got every copy");
    t.is(
      counters.deliveredCopies + Object.values(counters.refused).reduce((sum, n) => sum + n, 0),
      counters.intendedCopies,
    );
  }
});
