// TAP ports between network namespaces: what the kernel's own stack sends and gets through the switch.
import { createHash } from "node:crypto";
import test from "ava";
import type { NativePortOptions } from "../../native/engine.js";
import { arpRequest, checksumsRight, isTcp, ping, transfer } from "../support/host-traffic.js";
import { disk, downAndUp, type Host, hostsOn, memory, refused } from "../support/hosts.js";
import { rule, type StoreWanted, sumsHold, until } from "../support/live-switch.js";
import { frameRecords, scanStore } from "../support/native-store.js";

for (const options of ["", ",offload=off", ",queues=4", ",queues=3,offload=off"])
  test(`two hosts ping each other and move 20 MB through tap:IF${options}`, async (t) => {
    const made = await hostsOn(t, "tap", { options });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    t.true((await ping(a, b.address)).received >= 3);
    const [sent, got] = await transfer(a.ns, b.ns, b.address, 20 << 20);
    t.is(got, sent);
    t.is(sent.length, 64);
    const counters = a.port().counters;
    t.is(counters.dropped.bad_offload, 0);
    t.true(counters.zeroCopyFrames > 0 && counters.receivedBytes > 20 << 20);
    await made.s.settled();
    sumsHold(t, made.s.engine.stats());
  });

for (const [what, store, marked] of [
  ["in memory are marked where the kernel wrote them", memory, true],
  ["on a disk are packed", disk, false],
] as [string, StoreWanted, boolean][])
  test(`frames of a TAP port whose store lies ${what}; each is logged as it was forwarded`, async (t) => {
    const made = await hostsOn(t, "tap", { store, engine: { persist: "mark", durability: "strict" } });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    made.s.engine.setRules([rule("tcp")], "tcp");
    const [sent, got] = await transfer(a.ns, b.ns, b.address, 4 << 20);
    t.is(got, sent);
    await made.s.settled();
    t.regex(a.port().detail, marked ? /frames in the store/ : /frames in DRAM: .* is on a disk/);
    const records = frameRecords(scanStore(made.s.storePath));
    const placed = records.filter((record) => (record.flags & 1) !== 0).length;
    if (marked) {
      // Later ones are packed while the store makes fresh blocks ready.
      t.true(records.slice(0, 2000).every((record) => (record.flags & 1) !== 0));
      t.log(`${placed} of ${records.length} marked in place`);
    } else t.is(placed, 0);
    t.is(a.port().counters.copiedFrames, 0);
    const stream = records.filter((record) => isTcp(record.bytes) && record.bytes.readUInt32BE(26) === 0x0a4d0001);
    const pieces = new Map<number, Buffer>();
    for (const { bytes } of stream) {
      const start = 34 + (bytes[46]! >> 4) * 4;
      const data = bytes.subarray(start, 14 + bytes.readUInt16BE(16));
      if (data.length > 0) pieces.set(bytes.readUInt32BE(38), data);
    }
    const order = [...pieces.keys()].sort((x, y) => (x - y) | 0);
    const hash = createHash("sha256");
    for (const at of order) hash.update(pieces.get(at)!);
    t.is(hash.digest("hex"), sent, "the stream as the log has it");
  });

test("a sender that leaves segmentation to its device: what leaves the switch has the wire's length and right checksums", async (t) => {
  const made = await hostsOn(t, "tap", { store: memory, options: ",offload=on" });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  made.s.engine.setRules([rule("tcp")], "tcp");
  const [sent, got] = await transfer(a.ns, b.ns, b.address, 8 << 20);
  t.is(got, sent);
  await made.s.settled();
  const frames = frameRecords(scanStore(made.s.storePath)).filter((record) => isTcp(record.bytes));
  t.true(frames.length > 5000, `${frames.length} frames`);
  t.is(Math.max(...frames.map((frame) => frame.payloadLength)), 1514);
  t.deepEqual(frames.filter((frame) => !checksumsRight(frame.bytes)).length, 0);
});

test("without offloads the kernel finishes checksums and segments", async (t) => {
  const made = await hostsOn(t, "tap", { store: memory, options: ",offload=off" });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  made.s.engine.setRules([rule("tcp")], "tcp");
  await transfer(a.ns, b.ns, b.address, 1 << 20);
  await made.s.settled();
  const frames = frameRecords(scanStore(made.s.storePath)).filter((record) => isTcp(record.bytes));
  t.true(frames.length > 700);
  t.true(frames.every((frame) => frame.payloadLength <= 1514 && checksumsRight(frame.bytes)));
});

for (const options of [",mtu=9000", ",mtu=9000,offload=off"])
  test(`frames of 9000 bytes pass tap:IF${options} whole`, async (t) => {
    const made = await hostsOn(t, "tap", { options });
    if (!made) return;
    const [a, b] = made.hosts as [Host, Host];
    for (const bytes of [1958, 1960, 2006, 2008, 8972])
      t.true((await ping(a, b.address, "-M", "do", "-s", String(bytes))).received >= 3, `${bytes} bytes`);
    const [sent, got] = await transfer(a.ns, b.ns, b.address, 8 << 20);
    t.is(got, sent);
    t.true(a.port().counters.copiedFrames > 100, "put together in long buffers");
  });

test("a frame longer than the switch takes is dropped by name, and the port goes on", async (t) => {
  const made = await hostsOn(t, "tap");
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  // What it knows then need not be asked for: the next frame that it sends is a long one.
  t.true((await ping(a, b.address)).received >= 3);
  a.ns.ip("link", "set", a.device, "mtu", "20000");
  await t.throwsAsync(ping(a, b.address, "-M", "do", "-s", "15000", "-w", "1"));
  await until(() => a.port().counters.dropped.oversize! >= 1, "dropped as oversize");
  t.true((await ping(a, b.address)).received >= 3);
});

for (const [what, port, tagged] of [
  ["an access port's host answers untagged, and a trunk sees its VLAN", { vlan: { policy: "access", vid: 7 } }, false],
  ["a trunk's host in its native VLAN answers untagged", { vlan: { policy: "trunk", vid: 7 } }, false],
  ["a transparent port's host sees the tag", {}, true],
] as [string, NativePortOptions, boolean][])
  test(`VLANs: ${what}`, async (t) => {
    const made = await hostsOn(t, "tap", { hosts: 1, port: [port], needs: ["tcpdump"] });
    if (!made) return;
    const host = made.hosts[0]!;
    const dump = host.ns.start(
      "tcpdump",
      "-i",
      host.device,
      "-e",
      "-n",
      "-l",
      "-Q",
      "in",
      "-c",
      "1",
      "arp or (vlan and arp)",
    );
    let seen = "";
    dump.stdout!.on("data", (data) => (seen += data));
    await new Promise((resolve) => dump.stderr!.once("data", resolve));
    made.s.engine.attach("vale0:trunk", "", { vlan: { policy: "trunk", vid: 0 } });
    const trunk = made.s.open("vale0:trunk");
    await until(() => {
      trunk.send([arpRequest(host.address, true)]);
      return seen.includes("\n");
    }, "the request at the host");
    t.is(/vlan 7/.test(seen), tagged, seen);
    if (tagged) return;
    let reply: Buffer | undefined;
    await until(() => {
      for (const frame of trunk.receive()) if (frame.readUInt16BE(12) === 0x8100 && frame[25] === 2) reply = frame;
      return reply !== undefined;
    }, "the reply, tagged");
    t.is(reply!.readUInt16BE(14), 7);
    t.is(reply!.subarray(6, 12).toString("hex"), "027700000001");
  });

test("an interface that goes down refuses what is meant for it, and takes it again when it is up", async (t) => {
  const made = await hostsOn(t, "tap");
  if (made) await downAndUp(t, made, ({ ns, device }, state) => ns.ip("link", "set", device, state));
});

test("a full store that blocks holds frames back in their port; they come again in order, and none twice", async (t) => {
  const store: StoreWanted = { on: "memory", sizeBytes: 16 << 20, full: "block", blockTimeoutMs: 20 };
  const made = await hostsOn(t, "tap", { store, engine: { persist: "pack" } });
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  made.s.engine.setRules([rule("tcp")], "tcp");
  const [sent, got] = await transfer(a.ns, b.ns, b.address, 20 << 20);
  t.is(got, sent);
  await made.s.settled();
  const stats = made.s.engine.stats();
  t.true(stats.notLogged.block_timeout! > 0 && stats.ingressBlockedMs > 0, "it was full, and it waited");
  sumsHold(t, stats);
});

test("a device that is deleted in use comes back with its port", async (t) => {
  const made = await hostsOn(t, "tap");
  if (!made) return;
  const [a, b] = made.hosts as [Host, Host];
  const flood = a.ns.start("ping", "-f", "-q", b.address);
  await until(() => b.port().counters.deliveredCopies > 100, "traffic");
  const id = b.port().id;
  b.ns.ip("link", "delete", b.device);
  await until(() => b.port().id !== id && b.port().state === "up", "a new attachment");
  flood.kill("SIGKILL");
  t.true((await ping(a, b.address)).received >= 3);
  await made.s.settled();
  sumsHold(t, made.s.engine.stats());
});

test("names: in use by another interface, by another port, and options that are wrong", async (t) => {
  const made = await hostsOn(t, "tap", { hosts: 1 });
  if (!made) return;
  const { ns, device } = made.hosts[0]!;
  refused(t, made, `tap:lo,netns=${ns.name}`, "PORT", /name in use by an interface that is no TAP device/);
  refused(t, made, `tap:${device},netns=${ns.name}`, "PORT", /is port vale0:.* already/);
  refused(t, made, "tap:", "USAGE", /name is missing/);
  refused(t, made, "tap:x,queues=65", "USAGE", /queues is a number from 1 to 64/);
  refused(t, made, "tap:x,mtu=9199", "USAGE", /68 to 9198/);
  refused(t, made, "tap:x,offload=maybe", "USAGE", /offload is on or off/);
  refused(t, made, "tap:x,owner=nobody-of-that-name", "USAGE", /owner is a user/);
  refused(t, made, "tap:x,netns=", "USAGE", /value is missing/);
  refused(t, made, "tap:x,colour=red", "USAGE", /takes queues/);
});
