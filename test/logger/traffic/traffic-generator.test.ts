import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import type { CaptureBatch } from "../../../logger/capture/capture.js";
import { PcapngWriter } from "../../../logger/capture/pcapng-writer.js";
import { readTestSequence } from "../../../logger/traffic/frame-writer.js";
import { generateTraffic, TrafficGenerator } from "../../../logger/traffic/traffic-generator.js";
import { skip } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { framesOf } from "../capture/read-all.js";

const seed = 5;

function capture(t: { teardown(end: () => void): void }, batch: CaptureBatch, ports: number): string {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-traffic-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const writer = new PcapngWriter();
  const interfaces = Array.from({ length: ports }, (_, i) => ({ name: `port${i}`, linkType: 1, snaplen: 0 }));
  writeFileSync(join(folder, "traffic.pcapng"), Buffer.concat([writer.header(interfaces), writer.append(batch)]));
  return join(folder, "traffic.pcapng");
}

test("traffic follows from its seed, however it is taken", (t) => {
  const whole = framesOf(generateTraffic({ seed, frames: 3000 }).batch);
  const generator = new TrafficGenerator({ seed });
  const parts = [1000, 1, 1999].flatMap((frames) => framesOf(generator.next(frames)));
  t.deepEqual(parts, whole);
  t.notDeepEqual(framesOf(generateTraffic({ seed: seed + 1, frames: 3000 }).batch), whole);
});

test("every host has one address and one port, and enters there", (t) => {
  const { batch, hosts } = generateTraffic({ seed, hosts: 25, ports: 3, frames: 5000 });
  const ports = new Map(hosts.map((host) => [host.mac.toString("hex"), host.port]));
  t.is(ports.size, 25);
  t.deepEqual(new Set(ports.values()), new Set([0, 1, 2]));
  const seen = new Set<string>();
  for (const frame of framesOf(batch)) {
    const source = frame.data.toString("hex", 6, 12);
    seen.add(source);
    t.is(frame.interface, ports.get(source)!);
    t.true(frame.data.length >= 60 && frame.data.length <= 1518);
    t.is(frame.wireLength, frame.data.length);
  }
  t.is(seen.size, 25);
});

test("every VLAN reaches over more than one port", (t) => {
  const { hosts } = generateTraffic({ seed, hosts: 32, ports: 4, frames: 1 });
  for (const vlan of [0, 10, 20])
    t.true(new Set(hosts.filter((host) => host.vlan === vlan).map((host) => host.port)).size > 1);
});

test("times advance, at about the rate that was asked for", (t) => {
  const { batch } = generateTraffic({ seed, frames: 20_000, framesPerSecond: 50_000, startNs: 1_000_000_000n });
  t.true(batch.timesNs.every((time, i) => i === 0 || time >= batch.timesNs[i - 1]!));
  const seconds = Number(batch.timesNs.at(-1)! - 1_000_000_000n) / 1e9;
  t.true(seconds > 0.38 && seconds < 0.42, `${seconds} s for 20000 frames at 50000 per second`);
});

test("test sequence numbers are at the end of many frames, in order and without gaps", (t) => {
  const { batch } = generateTraffic({ seed, frames: 10_000, firstSequence: 100n });
  const sequences = framesOf(batch)
    .map((frame) => readTestSequence(frame.data))
    .filter((sequence) => sequence !== null);
  t.true(sequences.length > 4000, `${sequences.length} of 10000`);
  t.deepEqual(
    sequences,
    sequences.map((_, i) => 100n + BigInt(i)),
  );
});

test("tshark finds every kind of conversation, and no checksum that is wrong", (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const file = capture(t, generateTraffic({ seed, frames: 10_000 }).batch, 4);
  const layers = ["ip", "tcp", "udp"].flatMap((layer) => ["-o", `${layer}.check_checksum:TRUE`]);
  const statuses = ["ip", "tcp", "udp", "icmp", "icmpv6"].map((layer) => `${layer}.checksum.status`);
  const count = (filter: string): number =>
    runTool("tshark", ["-r", file, ...layers, "-Y", filter])!
      .toString()
      .split("\n").length - 1;
  t.is(count(statuses.map((status) => `${status} == 0`).join(" || ")), 0, "wrong checksums");
  t.is(count("_ws.malformed"), 0, "malformed");
  const lines = runTool("tshark", ["-r", file, "-q", "-z", "io,phs"])!.toString();
  for (const layer of ["arp", "vlan", "ip", "ipv6", "tcp", "udp", "dns", "mdns", "icmp", "icmpv6"])
    t.regex(lines, new RegExp(`^ +${layer} +frames:`, "m"), layer);
});

const wrong = [
  { title: "too few hosts", options: { seed, hosts: 3 }, message: /hosts is 3: give a whole number from 4/ },
  { title: "too many ports", options: { seed, ports: 255 }, message: /ports is 255/ },
  { title: "no rate", options: { seed, framesPerSecond: 0 }, message: /framesPerSecond is 0/ },
];
for (const { title, options, message } of wrong)
  test(`wrong options are refused: ${title}`, (t) => {
    t.throws(() => new TrafficGenerator(options), { code: "USAGE", message });
  });
