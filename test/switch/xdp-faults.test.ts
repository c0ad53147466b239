// AF_XDP ports that cannot be had, and devices that go down, away and come back.
import test from "ava";
import { ping } from "../support/host-traffic.js";
import { connect, downAndUp, type Host, hostsOn, memory, refused } from "../support/hosts.js";
import { rule, type StoreWanted, sumsHold, until } from "../support/live-switch.js";

test.serial(
  "what cannot be: no such interface or queue, one that is a port, an MTU too large, zero-copy without a driver for it",
  async (t) => {
    const made = await hostsOn(t, "xdp", { hosts: 1 }, false);
    if (!made) return;
    const { hub } = made;
    const { end } = made.hosts[0]!;
    const netns = `netns=${hub.name}`;
    refused(t, made, `xdp:nothing0,${netns}`, "PORT", /no interface .*nothing0/);
    refused(t, made, `xdp:${end}@7,${netns}`, "PORT", /no queue 7: the interface has 1, counted from 0/);
    refused(t, made, `xdp:${end},${netns},copy=zero`, "PORT", /no zero-copy mode; use copy=copy/);
    refused(t, made, `xdp:${end},${netns},umem=store`, "RESOURCE", /cannot be in the store: there is no store/);
    refused(t, made, `xdp:lo,${netns}`, "PORT", /MTU is 65536, at most 9198 is possible/);
    refused(t, made, `xdp:${end}@b,${netns}`, "USAGE", /@N for one receive queue/);
    refused(t, made, `xdp:${end},mode=fast,${netns}`, "USAGE", /auto, native or generic/);
    refused(t, made, `xdp:${end},copy=2,${netns}`, "USAGE", /auto, zero or copy/);
    refused(t, made, `xdp:${end},colour=red,${netns}`, "USAGE", /takes mode, copy, umem, netns/);
    made.s.engine.attach("vale0:first", `xdp:${end},${netns}`);
    refused(t, made, `xdp:${end},${netns}`, "PORT", /is port vale0:first already/);
    made.s.engine.detach("vale0:first");
    made.s.engine.attach("vale0:second", `xdp:${end},${netns}`);
    t.pass("a queue that was just left can be bound again");
  },
);

test.serial("an interface that goes down refuses what is meant for it, and takes it again when it is up", async (t) => {
  const made = await hostsOn(t, "xdp");
  if (made) await downAndUp(t, made, ({ end }, state) => made.hub.ip("link", "set", end, state));
});

test.serial("a device that is removed in use is waited for, and its port comes back with it", async (t) => {
  const made = await hostsOn(t, "xdp", { store: memory, engine: { persist: "mark" } });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  made.s.engine.setRules([rule("icmp")], "icmp");
  a.ns.start("ping", "-f", "-q", b.address);
  for (let round = 0; round < 3; round++) {
    await until(() => b.port().counters.deliveredCopies > 100, "traffic");
    made.hub.ip("link", "delete", b.end);
    await until(() => b.port().state === "down", "its port is down");
    connect(made.hub, b);
    await until(() => b.port().state === "up", "its port is back");
  }
  t.true((await ping(a, b.address)).received >= 3);
  await made.s.settled();
  const stats = made.s.engine.stats();
  t.is(stats.logged, stats.selected);
});

test.serial(
  "a switch that is slower than its device: the kernel's drops are told apart from the port's, whose sums hold",
  async (t) => {
    const store: StoreWanted = { on: "memory", sizeBytes: 16 << 20, full: "block", blockTimeoutMs: 60_000 };
    const made = await hostsOn(t, "xdp", { store, engine: { persist: "pack" } });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    t.true((await ping(a, b.address)).received >= 3);
    made.s.engine.setRules([rule("udp")], "udp");
    const flood = `const s=require("dgram").createSocket("udp4"),b=Buffer.alloc(1400);s.on("error",()=>{});s.connect(9,process.argv[1],()=>{
    const more=()=>{for(let i=0;i<64;i++)s.send(b);setImmediate(more)};more()})`;
    const sender = a.ns.start(process.execPath, "-e", flood, b.address);
    const lost = () => a.port().device.noBuffer + a.port().device.ringFull;
    const blocked = () => made.s.engine.stats().ingressBlockedMs > 0;
    await until(
      () => blocked() && lost() > 0,
      "the full store holds the port back, and the kernel has no buffers left",
    );
    sender.kill("SIGKILL");
    // What was taken back is received again when there is room.
    const before = a.port().counters.forwardedFrames;
    await until(() => {
      made.s.engine.trim(BigInt(made.s.engine.stats().logged));
      return a.port().counters.forwardedFrames > before;
    }, "the port goes on");
    await made.s.settled();
    sumsHold(t, made.s.engine.stats());
  },
);
