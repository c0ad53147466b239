import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { batchOf } from "../../logger/capture/frame-columns.js";
import { openCapture } from "../../logger/capture/open-capture.js";
import { PcapWriter } from "../../logger/capture/pcap-writer.js";
import { PasteError } from "../../logger/errors.js";
import { replayFrames } from "../../logger/replay.js";
import { frame, until } from "../support/live-switch.js";
import { namespaces } from "../support/namespaces.js";
import { packageRoot } from "../support/skip.js";
import { testFolder } from "./store-tools.js";

const cli = join(packageRoot, "dist/cli/main.cjs");
const frames = Array.from({ length: 200 }, (_, i) => frame(0, 1, `frame ${i}`, 60 + (i % 7) * 200));

function captureOf(folder: string): string {
  const path = join(folder, "in.pcap");
  const writer = new PcapWriter();
  const batch = batchOf(frames.map((data, i) => ({ data, wireLength: data.length, timeNs: BigInt(i) * 1000n })));
  writeFileSync(path, Buffer.concat([writer.header(), writer.append(batch)]));
  return path;
}

async function framesOf(path: string): Promise<Buffer[]> {
  const capture = await openCapture(path);
  const found: Buffer[] = [];
  for await (const batch of capture)
    for (let i = 0; i < batch.count; i++)
      found.push(Buffer.from(batch.data.subarray(batch.offsets[i]!, batch.offsets[i]! + batch.capturedLengths[i]!)));
  await capture.close();
  return found;
}

for (const kind of ["an interface", "AF_XDP", "TAP"])
  test(`a replay into ${kind} needs no daemon: every frame in order`, async (t) => {
    const made = namespaces(t, "tcpdump", ...(kind === "TAP" ? ["tun"] : []));
    if (!made) return;
    const space = made.make("replay");
    const [near, far] = [made.interfaceName("near"), made.interfaceName("far")];
    if (kind === "TAP") {
      space.ip("tuntap", "add", "dev", far, "mode", "tap");
      space.ip("link", "set", far, "up", "mtu", "9000");
    } else {
      space.ip("link", "add", near, "mtu", "3000", "type", "veth", "peer", "name", far, "mtu", "3000");
      for (const name of [near, far]) space.ip("link", "set", name, "up");
    }
    const folder = testFolder(t);
    const arrived = join(folder, "out.pcap");
    const listener = space.start(
      "tcpdump",
      "-U",
      "-B",
      "8192",
      "--immediate-mode",
      "-s", // at once, libpcap has room for so many slots of this size only: of its default a few dozen
      "2048",
      "-i",
      far,
      "-w",
      arrived,
      "-Z",
      "root",
      "-c",
      `${frames.length}`,
    );
    await new Promise<void>((resolve) => {
      listener.stderr!.on("data", (text: Buffer) => text.includes("listening") && resolve());
    });
    const port = { "an interface": near, AF_XDP: `xdp:${near}`, TAP: `tap:${far}` }[kind]!;
    const args = ["replay", "-r", captureOf(folder), "-i", port, "-p", "2000", "--json"];
    const report = JSON.parse(await space.run(process.execPath, cli, ...args));
    t.is(report.sentFrames, frames.length);
    t.is(report.refused, 0);
    await until(() => listener.exitCode === 0, "every frame at the other end");
    const seen = await framesOf(arrived);
    t.is(seen.length, frames.length);
    t.is(
      seen.findIndex((each, i) => !each.equals(frames[i]!)),
      -1,
      "in order, byte for byte",
    );
  });

test("no such interface, no such kind", async (t) => {
  const path = captureOf(testFolder(t));
  const error = async (port: string) =>
    t.throwsAsync(replayFrames({ sources: [path], ports: [port], topSpeed: true }), { instanceOf: PasteError });
  t.regex((await error("nosuch0"))!.message, /there is no interface nosuch0/);
  t.is((await error("xdp:nosuch0"))!.code, "PORT");
  t.regex(
    (await error("pcap:out.pcap"))!.message,
    /"pcap:out\.pcap" is no device: write .*tap:.* or a port such as vale0:a/,
  );
});

for (const [gap, framesPerSecond, first] of [
  ["a millisecond", "1000", 20],
  ["a quarter of an hour", "0.001", 1],
] as const)
  test(`an interface that goes in mid-replay ends it, and says after how many frames: ${gap} apart`, async (t) => {
    const made = namespaces(t);
    if (!made) return;
    const space = made.make("replay");
    const [near, far] = [made.interfaceName("near"), made.interfaceName("far")];
    space.ip("link", "add", near, "type", "veth", "peer", "name", far);
    for (const name of [near, far]) space.ip("link", "set", name, "up");
    const path = captureOf(testFolder(t));
    const args = ["-r", path, "-i", near, "-p", framesPerSecond, "-l", "0"];
    const child = space.start(process.execPath, cli, "replay", ...args);
    let said = "";
    child.stderr!.on("data", (text: Buffer) => {
      said += text;
    });
    const exit = new Promise((resolve) => child.once("close", resolve)); // behind what it said
    const sent = () =>
      Number(space.ip("-s", "-j", "link", "show", near).match(/"tx":\{[^}]*"packets":(\d+)/)?.[1] ?? 0);
    await until(() => sent() >= first, "frames on their way");
    space.ip("link", "delete", near);
    t.is(await exit, 1);
    t.regex(said, new RegExp(`port ${near} disappeared after \\d+ frames? w\\w+ sent`));
  });

test("an interface without carrier takes nothing: its frames are refused, not waited for", async (t) => {
  const made = namespaces(t);
  if (!made) return;
  const space = made.make("replay");
  const [near, far] = [made.interfaceName("near"), made.interfaceName("far")];
  space.ip("link", "add", near, "type", "veth", "peer", "name", far);
  space.ip("link", "set", near, "up");
  const args = ["replay", "-r", captureOf(testFolder(t)), "-i", near, "-t", "--json"];
  const report = JSON.parse(await space.run(process.execPath, cli, ...args));
  t.deepEqual([report.sentFrames, report.refused], [frames.length, frames.length]);
});
