// AF_XDP ports: what passes between hosts, each behind a veth pair whose other end is a port.
import test from "ava";
import { runCli } from "../cli/run-cli.js";
import { arpRequest, checksumsRight, echoes, isTcp, ping, transfer } from "../support/host-traffic.js";
import { disk, type Host, hostsOn, type Made, memory, refused } from "../support/hosts.js";
import { rule, sumsHold, until } from "../support/live-switch.js";
import { frameRecords, scanStore } from "../support/native-store.js";

for (const [mode, queues] of [
  ["native", 1],
  ["generic", 1],
  ["auto", 3],
] as [string, number][])
  test.serial(
    `${mode} mode, ${queues} queues: ping, UDP, TCP with its hash; frames leave from where they came in`,
    async (t) => {
      const made = await hostsOn(t, "xdp", { options: `,mode=${mode}`, queues });
      if (!made) return;
      const [a, b] = made.hosts as [Host, Host];
      t.regex(a.port().detail, mode === "generic" ? /^generic, copy mode/ : /^native, copy mode/);
      t.regex(a.port().detail, queues === 1 ? /, 1 queue/ : /, 3 queues/);
      t.true((await ping(a, b.address)).received >= 3);
      t.is(await echoes(a.ns, b.ns, b.address, 50, 1000), 50);
      const [sent, got] = await transfer(a.ns, b.ns, b.address, 20 << 20);
      t.is(got, sent);
      t.is(sent.length, 64);
      await made.s.settled();
      const stats = made.s.engine.stats();
      sumsHold(t, stats);
      for (const { counters } of stats.ports) t.is(counters.inPlaceCopies, counters.deliveredCopies);
      const { counters } = a.port();
      // Native mode leaves veth no TSO; in generic mode a sender's segments are made here.
      if (mode === "generic") t.true(counters.copiedFrames > 1000);
      else t.is(counters.zeroCopyFrames, counters.receivedFrames);
    },
  );

for (const mode of ["native", "generic"])
  test.serial(
    `what a host leaves to its device is done before a frame is logged or leaves: ${mode} mode`,
    async (t) => {
      const made = await hostsOn(t, "xdp", { options: `,mode=${mode}`, store: memory });
      if (!made) return;
      const [a, b] = made.hosts as [Host, Host];
      made.s.engine.setRules([rule("tcp or udp")], "tcp or udp");
      const [sent, got] = await transfer(a.ns, b.ns, b.address, 4 << 20);
      t.is(got, sent);
      t.is(await echoes(a.ns, b.ns, b.address, 5, 1001), 5);
      await made.s.settled();
      const frames = frameRecords(scanStore(made.s.storePath)).filter(
        (record) => record.bytes.readUInt16BE(12) === 0x0800,
      );
      t.true(frames.filter((frame) => isTcp(frame.bytes)).length > 2800);
      t.is(Math.max(...frames.map((frame) => frame.bytes.length)), 1514);
      t.is(frames.filter((frame) => !checksumsRight(frame.bytes)).length, 0);
    },
  );

test.serial("TCP and UDP in IPv6, whose checksums cover longer addresses", async (t) => {
  const made = await hostsOn(t, "xdp");
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  for (const [i, host] of made.hosts.entries()) {
    await host.ns.run("sysctl", "-qw", `net.ipv6.conf.${host.device}.disable_ipv6=0`);
    host.ns.ip("address", "add", `fd77::${i + 1}/64`, "dev", host.device, "nodad");
  }
  const [sent, got] = await transfer(a.ns, b.ns, "fd77::2", 4 << 20);
  t.is(got, sent);
  t.is(await echoes(a.ns, b.ns, "fd77::2", 10, 1000), 10);
});

/** Frames that the log has, once it has so many: an answer may come after its ping has ended. */
async function recordsOf({ s }: Made, count: number) {
  const records = () => frameRecords(scanStore(s.storePath));
  await until(() => records().length >= count, `${count} records`);
  await s.settled();
  if (records().length !== count) throw new Error(`${records().length} records instead of ${count}`);
  return records();
}

test.serial(
  "a store in memory is the UMEM: frames are marked where the kernel wrote them, and another process reads them",
  async (t) => {
    const made = await hostsOn(t, "xdp", { store: memory, engine: { persist: "mark" } });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    t.regex(a.port().detail, /UMEM in the store/);
    made.s.engine.setRules([rule("icmp")], "icmp");
    const { sent } = await ping(a, b.address, "-s", "1400", "-p", "5a");
    const records = await recordsOf(made, 2 * sent);
    const shown = await runCli(["export", "-r", made.s.storePath, "-F", "pcap", "-w", "-", "icmp"]);
    t.is(shown.status, 0, shown.stderr);
    for (const record of records) {
      t.is(record.flags & 1, 1, "marked");
      t.true(record.bytes.subarray(60).every((byte) => byte === 0x5a));
    }
    t.is(a.port().counters.zeroCopyFrames, a.port().counters.receivedFrames);
  },
);

test.serial(
  "marking goes on or gives way to packing while the log keeps chunks; every frame is logged as it was sent",
  async (t) => {
    const made = await hostsOn(t, "xdp", { store: memory, engine: { persist: "mark" } });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    made.s.engine.setRules([rule("tcp")], "tcp");
    const [sent, got] = await transfer(a.ns, b.ns, b.address, 30 << 20);
    t.is(got, sent);
    await made.s.settled();
    const stats = made.s.engine.stats();
    sumsHold(t, stats);
    const records = frameRecords(scanStore(made.s.storePath));
    t.true(records.some((record) => (record.flags & 1) !== 0));
    t.is(records.filter((record) => isTcp(record.bytes) && !checksumsRight(record.bytes)).length, 0);
  },
);

test.serial("a store on a disk: UMEM in DRAM, frames are packed; umem=store says why it cannot be", async (t) => {
  const made = await hostsOn(t, "xdp", { store: disk, engine: { persist: "mark" } });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  t.regex(a.port().detail, /UMEM in DRAM.*not in the store: .* is on a disk/);
  made.s.engine.setRules([rule("icmp")], "icmp");
  const { sent } = await ping(a, b.address);
  const records = await recordsOf(made, 2 * sent);
  t.true(records.every((record) => (record.flags & 1) === 0));
  made.s.engine.detach(`vale0:${a.end}`);
  refused(t, made, `xdp:${a.end},netns=${made.hub.name},umem=store`, "RESOURCE", /cannot be in the store: .*disk/);
});

test.serial(
  "more ports than the frame memory has rings for, and a log that keeps frames in it: nobody starves",
  async (t) => {
    const made = await hostsOn(t, "xdp", {
      hosts: 6,
      store: memory,
      engine: { persist: "mark", frameMemoryBytes: 1 << 20 },
    });
    if (!made) return;
    made.s.engine.setRules([rule("")], "");
    const tap = made.hub.name;
    made.s.engine.attach("vale0:tap", `tap:tap0,netns=${tap},address=10.77.0.100/24`);
    // Frames to mark: what the log has of the memory does not come back before the store is full.
    const [first] = made.hosts as [Host];
    await first.ns.run("ping", "-q", "-c", "600", "-i", "0.002", "-W", "5", "10.77.0.2");
    for (const host of made.hosts) t.true((await ping(host, "10.77.0.100")).received >= 3);
    t.true((await ping(made.hosts[4]!, made.hosts[5]!.address)).received >= 3);
    await made.s.settled();
    sumsHold(t, made.s.engine.stats());
  },
);

test.serial(
  "umem=dram beside a store in memory: frames are packed, and cross between both memories by copying",
  async (t) => {
    const made = await hostsOn(t, "xdp", { store: memory, engine: { persist: "mark" } }, false);
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    made.s.engine.attach(`vale0:${a.end}`, `xdp:${a.end},netns=${made.hub.name},umem=dram`);
    made.s.engine.attach(`vale0:${b.end}`, `xdp:${b.end},netns=${made.hub.name},umem=store`);
    made.s.engine.setRules([rule("icmp")], "icmp");
    t.regex(a.port().detail, /UMEM in DRAM/);
    t.regex(b.port().detail, /UMEM in the store/);
    t.true((await ping(a, b.address)).received >= 3);
    await made.s.settled();
    for (const { counters } of made.s.engine.stats().ports) t.is(counters.inPlaceCopies, 0);
    t.deepEqual(new Set(frameRecords(scanStore(made.s.storePath)).map((record) => record.flags & 1)), new Set([0, 1]));
  },
);

for (const mode of ["native", "generic"])
  test.serial(`frames of 9000 bytes, in several buffers: ${mode} mode`, async (t) => {
    const made = await hostsOn(t, "xdp", { mtu: 9000, options: `,mode=${mode}` });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    t.regex(a.port().detail, /frames of several buffers/);
    for (const bytes of [1750, 1751, 1792, 2006, 2048, 4000, 8972])
      t.true((await ping(a, b.address, "-M", "do", "-s", String(bytes))).received >= 3, `${bytes} bytes`);
    const [sent, got] = await transfer(a.ns, b.ns, b.address, 8 << 20);
    t.is(got, sent);
    await made.s.settled();
    sumsHold(t, made.s.engine.stats());
  });

test.serial("VLANs: an access port's host answers untagged, and a trunk sees its VLAN", async (t) => {
  const made = await hostsOn(t, "xdp", { hosts: 1, port: [{ vlan: { policy: "access", vid: 7 } }] });
  if (!made) return;
  const host = made.hosts[0]!;
  made.s.engine.attach("vale0:trunk", "", { vlan: { policy: "trunk", vid: 0 } });
  const trunk = made.s.open("vale0:trunk");
  let reply: Buffer | undefined;
  await until(() => {
    trunk.send([arpRequest(host.address, true)]);
    for (const frame of trunk.receive()) if (frame.readUInt16BE(12) === 0x8100 && frame[25] === 2) reply = frame;
    return reply !== undefined;
  }, "the reply, tagged");
  t.is(reply!.readUInt16BE(14), 7);
  t.is(host.port().counters.inPlaceCopies, 0, "a frame whose tag goes is copied");
});

test.serial("a tagged frame of full length passes as it is, and a longer one is refused by name", async (t) => {
  const made = await hostsOn(t, "xdp", { hosts: 1, needs: ["tcpdump"] });
  if (!made) return;
  const host = made.hosts[0]!;
  const dump = host.ns.start("tcpdump", "-i", host.device, "-e", "-n", "-l", "-c", "1", "vlan 7");
  let seen = "";
  dump.stdout!.on("data", (data) => (seen += data));
  await new Promise((resolve) => dump.stderr!.once("data", resolve));
  const port = made.s.open("vale0:local");
  const tagged = Buffer.concat([arpRequest(host.address, true), Buffer.alloc(1518 - 64)]);
  await until(() => {
    port.send([tagged]);
    return seen.includes("\n");
  }, "the frame at the host");
  t.regex(seen, /vlan 7/);
  t.regex(seen, /length 1518/);
  await port.sendAll([Buffer.concat([tagged, Buffer.alloc(1)])]);
  await until(() => host.port().counters.refused.oversize === 1, "refused");
});

test.serial("two forwarding threads: what crosses between them is copied, and all sums hold", async (t) => {
  const made = await hostsOn(t, "xdp", { engine: { threads: 2 }, store: memory });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  t.not(a.port().thread, b.port().thread);
  made.s.engine.setRules([rule("tcp")], "tcp");
  const [sent, got] = await transfer(a.ns, b.ns, b.address, 8 << 20);
  t.is(got, sent);
  await made.s.settled();
  sumsHold(t, made.s.engine.stats());
  t.is(b.port().counters.inPlaceCopies, 0);
});

test.serial("one queue of several: @1 gets its frames, the others go to the kernel", async (t) => {
  const made = await hostsOn(t, "xdp", { queues: 2, hosts: 1 }, false);
  if (!made) return;
  const host = made.hosts[0]!;
  made.s.engine.attach(`vale0:${host.end}`, `xdp:${host.end}@1,netns=${made.hub.name}`);
  t.regex(host.port().detail, /, 1 queue/);
  // The kernel itself has an address on the switch's end. Flows spread over the queues: it answers those that queue 0 brings.
  made.hub.ip("address", "add", "10.77.0.9/24", "dev", host.end);
  const [, mac] = /ether (\S+)/.exec(made.hub.ip("link", "show", host.end))!;
  made.hub.ip("neigh", "replace", host.address, "lladdr", host.mac, "dev", host.end);
  host.ns.ip("neigh", "replace", "10.77.0.9", "lladdr", mac!, "dev", host.device);
  const echo = `const s=require("dgram").createSocket("udp4");s.on("message",(m,r)=>s.send(m,r.port,r.address));
    s.bind(5001,()=>console.log("listening"))`;
  const server = made.hub.start(process.execPath, "-e", echo);
  await new Promise((resolve) => server.stdout!.once("data", resolve));
  const flows = 64;
  const ask = `let answers=0;for(let i=0;i<${flows};i++){const s=require("dgram").createSocket("udp4").bind(20000+i);
    s.on("message",()=>{console.log(++answers)});s.send("x",5001,process.argv[1])}`;
  let answers = 0;
  host.ns.start(process.execPath, "-e", ask, "10.77.0.9").stdout!.on("data", (data) => {
    answers = Number(String(data).trim().split("\n").at(-1));
  });
  await until(() => answers + host.port().counters.receivedFrames === flows, "every flow at one of both");
  t.true(answers > 0 && answers < flows, `${answers} of ${flows} answered by the kernel`);
});
