// Live taps by name: on a port that goes and comes, on several, on mirror ports.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import { outcomes } from "../../native/engine.js";
import { tailPort } from "../../switch/tap.js";
import { frame, liveSwitch, textOf, until } from "../support/live-switch.js";
import { openTap, readTap, type TappedFrame, tapped } from "../support/live-taps.js";
import { skip } from "../support/skip.js";
import { hasTool, runTool } from "../support/tools.js";

for (const threads of [1, 2])
  test(`a tap on several ports: those that are there, those that come, and what they refuse (${threads} threads)`, async (t) => {
    const s = await liveSwitch(t, { threads });
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b1", { slots: 16 })];
    const wish = { port: "vale0:b?", out: true };
    const several = openTap(t, s.socket, wish);
    const lost = openTap(t, s.socket, { ...wish, in: false });
    t.deepEqual(s.engine.stats().taps, ["vale0:b?", "vale0:b?"]);
    await b.sendAll([frame(0, 2, "here")]);
    await s.settled();
    const later = s.open("vale0:b2", { slots: 16 });
    await later.sendAll([frame(0, 3, "later")]);
    await s.settled();
    await a.sendAll([frame(0, 1, "other")]);
    await s.settled();
    // What a port of another thread refuses is not told.
    const count = threads === 1 ? 40 : 8;
    for (let i = 0; i < count; i++) await a.sendAll([frame(2, 1, `${i}`)]);
    await s.settled();
    const copiesOf = (text: string) => [`${text} vale0:a vale0:b1`, `${text} vale0:a vale0:b2`];
    const told = (frames: TappedFrame[]) => frames.map(({ text, in: from, out }) => `${text} ${from} ${out}`).sort();
    const numbered = Array.from({ length: count }, (_, i) => `${i} vale0:a vale0:b1`);
    const left = ["later vale0:b2 vale0:b1", ...copiesOf("other"), ...numbered];
    t.deepEqual(told(await tapped(lost, left.length)), left.sort());
    t.deepEqual(told(await tapped(several, left.length + 2)), [...left, "here vale0:b1 *", "later vale0:b2 *"].sort());
    const none = t.throws(() => openTap(t, s.socket, { port: "vale1:*" }));
    t.regex(none!.message, /no such port: there are vale0:a, vale0:b1, vale0:b2/);
    several.close();
    await until(() => s.engine.stats().taps.length === 1, "the tap's end");
  });

test("a tap is on a name: the port goes and comes, others have other names", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  s.engine.attach("vale0:later", "");
  const tap = openTap(t, s.socket, { port: "vale0:later", in: false, out: true });
  for (let life = 0; life < 3; life++) {
    const later = s.open("vale0:later");
    await a.sendAll([frame(0, 1, `life ${life}`)]);
    await s.settled();
    await until(() => later.receive().length > 0, "the frame");
    later.close();
    await until(
      () => s.engine.stats().ports.every(({ name, state }) => name !== "vale0:later" || state !== "up"),
      "gone",
    );
    const other = s.open(`vale0:other${life}`);
    await a.sendAll([frame(0, 1, "for others")]);
    await s.settled();
    other.close();
  }
  t.deepEqual(
    readTap(tap).map(({ text, in: from, out }) => [text, from, out]),
    [0, 1, 2].map((life) => [`life ${life}`, "vale0:a", "vale0:later"]),
  );
});

test("copies for mirror ports show at them, also across threads", async (t) => {
  for (const threads of [1, 3]) {
    const s = await liveSwitch(t, { threads });
    s.engine.attach("vale0:m", "", { mirror: { ports: ["vale0:a"], in: true, out: false } });
    const [a, b, m] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:m")];
    const tap = openTap(t, s.socket, { port: "vale0:m", in: false, out: true });
    const before = BigInt(Date.now()) * 1_000_000n;
    await b.sendAll([frame(1, 2, "other")]);
    await s.settled();
    await a.sendAll([frame(2, 1, "mirrored")]);
    await s.settled();
    await until(() => m.receive().some((each) => textOf(each) === "mirrored"), "the mirrored frame");
    const copies = await tapped(tap);
    t.deepEqual(
      copies.map(({ text, in: from, out }) => [text, from, out]),
      [["mirrored", "vale0:a", "vale0:m"]],
    );
    t.true(copies[0]!.timeNs >= before - 1_000_000n, `of the receive: ${copies[0]!.timeNs}`);
  }
});

test("a reader that is overtaken all the time counts what it missed, and never shows a frame that was written over", async (t) => {
  const s = await liveSwitch(t);
  const frames = Array.from({ length: 200 }, (_, i) =>
    Buffer.concat([frame(0, 1).subarray(0, 14), Buffer.alloc(14 * i + 50, i)]),
  );
  const head = Buffer.from("d4c3b2a1020004000000000000000000ffff000001000000", "hex");
  const records = frames.flatMap((bytes) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1, 0);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    return [record, bytes];
  });
  const path = join(s.folder, "all.pcap");
  writeFileSync(path, Buffer.concat([head, ...records]));
  s.engine.attach("vale0:p", `pcap:${path},speed=max,loop=0`);
  const tap = openTap(t, s.socket, { ringBytes: 512 << 10 });
  let torn = 0;
  let seen = 0;
  // One frame a look is slower than the writer, who goes round in a millisecond: he comes from behind, again and again.
  for (let looks = 0; looks < 500_000 || seen === 0 || tap.state().missed === 0; looks++) {
    const batch = tap.read(1, 1 << 20);
    for (let i = 0; batch && i < batch.count; i++) {
      const start = batch.offsets[i]!;
      const bytes = batch.data.subarray(start, start + batch.capturedLengths[i]!);
      seen++;
      if (!frames[bytes[14]!]?.equals(bytes)) torn++;
    }
    if (looks % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  t.is(torn, 0);
  t.log(`${seen} frames seen, ${tap.state().missed} missed`);
});

test("who ends while the output takes nothing is told what waited", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  const writes: (() => void)[] = [];
  const output = new Writable({ write: (_bytes, _encoding, done) => void writes.push(done) });
  const end = new AbortController();
  const tail = tailPort({ socket: s.socket, port: "any", output, signal: end.signal, dropped: true });
  await until(() => writes.length === 1, "the capture's head");
  writes[0]!();
  await a.sendAll([frame(0, 1, "one")]);
  await until(() => writes.length === 2, "the frame");
  for (let i = 0; i < 7; i++) await a.sendAll([frame(0, 1, `${i}`)]);
  await s.settled();
  end.abort();
  writes[1]!();
  await until(() => writes.length === 3, "the capture's end");
  writes[2]!();
  t.deepEqual(await tail, { frames: 1, seen: 1, missed: 0, unread: 7, ended: "aborted" });
});

test("pcapng says of each frame whether it came in or left, and why it went nowhere", async (t) => {
  if (!hasTool("tshark")) return skip(t, "tshark is not installed");
  const s = await liveSwitch(t);
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  await b.sendAll([frame(0, 2)]); // from now on known to be there
  await s.settled();
  const chunks: Buffer[] = [];
  const output = new Writable({
    write(bytes, _, done) {
      chunks.push(Buffer.from(bytes));
      done();
    },
  });
  const tail = tailPort({ socket: s.socket, port: "any", output, direction: "inout", dropped: true, limit: 5 });
  await until(() => chunks.length > 0, "the capture's head");
  await a.sendAll([frame(2, 1), frame(0, 1), frame(1, 1)]); // to b; to all; back to where it came from
  await tail;
  const path = join(s.folder, "tap.pcapng");
  writeFileSync(path, Buffer.concat(chunks));
  const fields = ["interface_name", "packet_flags_direction", "comment"].flatMap((name) => ["-e", `frame.${name}`]);
  const shown = runTool("tshark", ["-r", path, "-T", "fields", ...fields])!.toString();
  const { sentence } = outcomes().drops.find(({ name }) => name === "hairpin")!;
  t.deepEqual(
    shown.slice(0, -1).split("\n").sort(),
    [
      "vale0:a\t0x00000001\t",
      "vale0:a\t0x00000001\t",
      `vale0:a\t0x00000001\tdropped: ${sentence}`,
      "vale0:b\t0x00000002\t",
      "vale0:b\t0x00000002\t",
    ].sort(),
  );
});
