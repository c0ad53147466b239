// Live taps: what passes a switch, with what became of it, exactly counted, and never before it may be seen.
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import test from "ava";
import { compileFilter } from "../../logger/filter/compile.js";
import type { NativeLiveTap } from "../../native/live-tap.js";
import { tailPort } from "../../switch/tap.js";
import { frame, liveSwitch, rule, sumsHold, threadsAndMedia, total, until } from "../support/live-switch.js";
import { openTap, readTap, type TappedFrame, tapped } from "../support/live-taps.js";
import { connectRaw } from "../support/native-ports.js";
import { errno, request, text } from "../support/ports-request.js";

const short = (frames: TappedFrame[]) =>
  frames.map(({ text, in: from, out, outcome, left }) => [text, from, out, outcome, left ? "left" : "came"].join(" "));

for (const threads of [1, 2])
  test(`what came in, what left, and what went nowhere and why (${threads} threads)`, async (t) => {
    const s = await liveSwitch(t, { threads });
    const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
    const any = openTap(t, s.socket);
    const ofB = openTap(t, s.socket, { port: "vale0:b", out: true });
    const kept = openTap(t, s.socket, { dropped: false });
    await a.sendAll([frame(2, 1, "flood")]);
    await s.settled();
    await b.sendAll([frame(1, 2, "back"), frame(2, 2, "hairpin")]);
    await s.settled();
    await a.sendAll([frame(2, 1, "unicast", 500)]);
    await s.settled();
    const expected = [
      "flood vale0:a * forwarded came",
      "back vale0:b vale0:a forwarded came",
      "hairpin vale0:b  hairpin came",
      "unicast vale0:a vale0:b forwarded came",
    ];
    const frames = await tapped(any, 4);
    t.deepEqual(short(frames), expected);
    t.deepEqual(
      frames.map(({ length, wireLength }) => [length, wireLength]),
      [
        [60, 60],
        [60, 60],
        [60, 60],
        [500, 500],
      ],
    );
    const now = BigInt(Date.now()) * 1_000_000n;
    t.true(
      frames.every(
        ({ timeNs }, i) =>
          timeNs > now - 10_000_000_000n && timeNs <= now + 1_000_000n && timeNs >= frames[i && i - 1]!.timeNs,
      ),
    );
    t.deepEqual(short(await tapped(ofB, 4)), [
      "flood vale0:a vale0:b forwarded left",
      "back vale0:b vale0:a forwarded came",
      "hairpin vale0:b  hairpin came",
      "unicast vale0:a vale0:b forwarded left",
    ]);
    t.deepEqual(
      short(readTap(kept)),
      expected.filter((line) => !line.includes("hairpin")),
    );
    // Not a port: nothing was sent to it, nothing was learned from it.
    const stats = s.engine.stats();
    t.is(stats.macEntries, 2);
    t.deepEqual(stats.ports.map(({ counters }) => counters.intendedCopies).sort(), [1, 2]);
    sumsHold(t, stats);
  });

test("a copy that its only port refuses is a frame that went nowhere, seen at that port with the reason", async (t) => {
  const s = await liveSwitch(t);
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 16 })];
  await b.sendAll([frame(1, 2)]);
  await s.settled();
  const lost = openTap(t, s.socket, { port: "vale0:b", in: false, out: true });
  const quiet = openTap(t, s.socket, { port: "vale0:b", in: false, out: true, dropped: false });
  for (let i = 0; i < 40; i++) await a.sendAll([frame(2, 1, `${i}`)]);
  await s.settled();
  const { counters } = s.engine.stats().ports.find(({ name }) => name === "vale0:b")!;
  t.true(counters.refused.full! > 0);
  const frames = readTap(lost);
  t.deepEqual(
    frames.map(({ text }) => text),
    Array.from({ length: 40 }, (_, i) => `${i}`),
  );
  t.is(frames.filter(({ outcome }) => outcome === "destination_full").length, counters.refused.full!);
  t.is(frames.filter(({ left }) => left).length, counters.deliveredCopies);
  t.is(readTap(quiet).length, counters.deliveredCopies);
});

for (const [threads, on] of threadsAndMedia)
  test(`random overload: what taps saw and missed is what the switch counts (${threads} threads, ${on})`, async (t) => {
    const s = await liveSwitch(t, { threads }, { on, sizeBytes: 64 << 20 });
    s.engine.setRules([rule("")], "[]");
    const slots = [16, 64, 256, 1024];
    const ports = slots.map((n, i) => s.open(`vale0:p${i}`, { slots: n }));
    const ringBytes = 512 << 10;
    const came = ports.map(({ name }) => openTap(t, s.socket, { port: name, ringBytes }));
    const left = ports.map(({ name }) =>
      openTap(t, s.socket, { port: name, in: false, out: true, dropped: false, ringBytes }),
    );
    const seen = new Map<NativeLiveTap, number>();
    const look = (tap: NativeLiveTap) => seen.set(tap, (seen.get(tap) ?? 0) + readTap(tap).length);
    let turn = 0x2545f491;
    const random = (below: number) => {
      turn = (Math.imul(turn, 1103515245) + 12345) >>> 0;
      return (turn >>> 8) % below;
    };
    for (let round = 0; round < 400; round++) {
      const from = random(4);
      const frames = Array.from({ length: random(80) }, () =>
        frame(random(6), from + 1, `${round}`, random(3) ? 60 : 3000),
      );
      await ports[from]!.sendAll(frames);
      ports[random(4)]!.receive(4096);
      const each = random(8);
      // Some are read now and then, some hardly ever.
      if (each > 1) look((random(2) ? came : left)[random(2)]!);
    }
    await s.settled();
    const stats = s.engine.stats();
    sumsHold(t, stats);
    const counted = (tap: NativeLiveTap) => {
      look(tap);
      const { missed, unread } = tap.state();
      return seen.get(tap)! + missed + unread;
    };
    let missed = 0;
    for (const [i, { name }] of ports.entries()) {
      const { counters } = stats.ports.find((port) => port.name === name)!;
      await until(() => counted(came[i]!) >= counters.receivedFrames, `what came in by ${name}`);
      await until(() => counted(left[i]!) >= counters.deliveredCopies, `what left by ${name}`);
      t.is(counted(came[i]!), counters.forwardedFrames + total(counters.dropped), `came in by ${name}`);
      t.is(counted(left[i]!), counters.deliveredCopies, `left by ${name}`);
      missed += came[i]!.state().missed + left[i]!.state().missed;
    }
    t.true(missed > 0, "some were overtaken");
  });

test("strict: no frame that a rule selects shows in a tap before its record is durable", async (t) => {
  const s = await liveSwitch(t, {}, { on: "disk", sizeBytes: 32 << 20 });
  s.engine.setRules([rule("")], "[]");
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b")];
  const taps = [openTap(t, s.socket), openTap(t, s.socket, { port: "vale0:b", in: false, out: true })];
  let seen = 0;
  for (let round = 0; round < 60; round++) {
    await a.sendAll(Array.from({ length: 1 + (round % 7) }, (_, i) => frame(0, 1, `${round}.${i}`)));
    for (const tap of taps) {
      const frames = await tapped(tap);
      const durable = new Set((await s.logged()).map((record) => record.text));
      t.deepEqual(
        frames.filter((each) => !durable.has(each.text)),
        [],
        "seen, and not durable",
      );
      seen += frames.length;
    }
    b.receive(4096);
  }
  t.true(seen >= 120);
});

test("snaplen cuts, the wire length stays; snaplen 0 shows none of the bytes", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  s.open("vale0:b");
  const taps = [20, 0, 9216].map((snaplen) => openTap(t, s.socket, { snaplen }));
  await a.sendAll([frame(0, 1, "abcdefghijkl", 9216)]);
  await s.settled();
  for (const [i, length] of [20, 0, 9216].entries()) {
    const frames = await tapped(taps[i]!);
    t.is(frames[0]!.length, length);
    t.is(frames[0]!.wireLength, 9216);
  }
});

const filterOf = (text: string) => compileFilter(text).bytes;

test("a filter runs in the switch, over whole frames; what it rejects is none of the tap's", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  const b = s.open("vale0:b");
  const wish = { snaplen: 20, ringBytes: 512 << 10 };
  const tap = openTap(t, s.socket, { ...wish, filter: filterOf("ether[200] = 0x78") });
  const copies = openTap(t, s.socket, { ...wish, in: false, out: true, filter: filterOf("greater 301") });
  for (let round = 0; round < 300; round++) {
    await a.sendAll(Array.from({ length: 50 }, (_, i) => frame(0, 1, i % 10 ? "y".repeat(286) : "x".repeat(286))));
    await until(() => b.receive(4096).length > 0, "frames at b");
  }
  await s.settled();
  let seen = 0;
  await until(() => {
    const frames = readTap(tap);
    seen += frames.length;
    if (frames.some(({ text, wireLength }) => text !== "xxxxxx" || wireLength !== 300)) t.fail("another frame");
    return seen + tap.state().missed >= 1500;
  }, "all that it takes");
  t.is(seen + tap.state().missed, 1500);
  const { counters } = s.engine.stats().ports.find(({ name }) => name === "vale0:b")!;
  t.is(counters.deliveredCopies, 15_000);
  t.deepEqual(readTap(copies), [], "none is longer than 300");
  t.is(copies.state().missed, 0);
});

for (const [what, offer, message] of [
  ["no instruction", ["sealed", 0], /1 to 512 instructions/],
  ["half an instruction", ["sealed", 12], /1 to 512 instructions/],
  ["too many", ["sealed", 513 * 8], /1 to 512 instructions/],
  ["one that does not end", ["sealed", 8], /./],
  ["memory that may shrink", ["unsealed", 8], /sealed memory/],
  ["a file", ["file", 8], /sealed memory/],
] as const)
  test(`a tap's filter is refused: ${what}`, async (t) => {
    const s = await liveSwitch(t);
    s.open("vale0:a");
    const raw = connectRaw(s.socket)!;
    const bytes = tapRequest();
    bytes.writeUInt32LE(1, 20);
    raw.say(bytes, ...offer);
    const reply = raw.hear();
    t.not(errno(reply), 0);
    t.regex(text(reply)!, message);
    raw.say(tapRequest());
    t.is(errno(raw.hear()), 0);
    raw.close();
  });

test("what asks for more than bytes is sorted out by the reader, from whole frames; pcapng and lines are cut as asked", async (t) => {
  const s = await liveSwitch(t);
  const a = s.open("vale0:a");
  s.open("vale0:b");
  for (const filter of ['payload "needle"', "ether[100] = 0x6e and after 2000-01-01", "ether[100] = 0x6e"]) {
    const abort = new AbortController();
    const lines: string[] = [];
    const output = new Writable({
      write(chunk, _, done) {
        lines.push(...chunk.toString().split("\n").filter(Boolean));
        done();
      },
    });
    let open = false;
    const ended = tailPort({
      socket: s.socket,
      port: "vale0:a",
      output,
      filter,
      snaplen: 16,
      limit: 2,
      signal: abort.signal,
      print: ({ bytes, wireLength }) => `${bytes.length} ${wireLength}\n`,
      onOpen: () => {
        open = true;
      },
    });
    await until(() => open, "the tap");
    const udp = (text: string) => {
      const bytes = frame(0, 1, "", 200);
      Buffer.from("080045000000000000004011", "hex").copy(bytes, 12);
      bytes.writeUInt16BE(186, 16);
      bytes.writeUInt16BE(166, 38);
      bytes.write(text, 100, "latin1");
      return bytes;
    };
    await a.sendAll([udp("straw"), udp("needle"), udp("straw"), udp("needle")]);
    t.is((await ended).frames, 2, filter);
    t.deepEqual(lines, ["16 200", "16 200"], filter);
  }
});

const tapOpen = 0x101;
/** The request of a tap on any port: in, 4 KiB of each frame, rings of 512 KiB; `words` replaces the body. */
const tapRequest = (words = [1, 4096, 512 << 10, 0], name = "any") => {
  const bytes = request({ reqtype: tapOpen, name });
  bytes.fill(0, 112);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word >>> 0, 112 + 4 * i);
  return bytes;
};

for (const [what, bytes, message] of [
  ["no direction", tapRequest([0, 4096, 512 << 10, 0]), /what comes in/],
  ["unknown flags", tapRequest([9, 4096, 512 << 10, 0]), /what comes in/],
  ["rubbish behind the wish", tapRequest([1, 4096, 512 << 10, 7]), /what comes in/],
  ["a small ring", tapRequest([1, 4096, 256 << 10, 0]), /power of two of bytes from 524288 to 67108864/],
  ["a crooked ring", tapRequest([1, 4096, 3 << 20, 0]), /power of two/],
  ["a huge ring", tapRequest([1, 4096, 128 << 20, 0]), /power of two/],
  ["no ring", tapRequest([1, 4096, 0, 0]), /power of two/],
  ["another port", tapRequest(undefined, "vale0:x"), /no such port: there are vale0:a/],
] as const)
  test(`a tap is refused with words, and the connection stays: ${what}`, async (t) => {
    const s = await liveSwitch(t);
    s.open("vale0:a");
    const raw = connectRaw(s.socket)!;
    raw.say(bytes);
    const reply = raw.hear();
    t.not(errno(reply), 0);
    t.regex(text(reply)!, message);
    raw.say(tapRequest());
    t.is(errno(raw.hear()), 0);
    raw.say(tapRequest());
    t.regex(text(raw.hear())!, /has a tap already/);
    raw.close();
  });

test("sixteen taps, not one more; each that closes makes room", async (t) => {
  const s = await liveSwitch(t);
  const taps = Array.from({ length: 16 }, () => openTap(t, s.socket, { ringBytes: 512 << 10 }));
  t.throws(() => openTap(t, s.socket), { message: /no room for another tap: 16 are open/ });
  taps[3]!.close();
  await until(() => {
    try {
      openTap(t, s.socket);
      return true;
    } catch {
      return false;
    }
  }, "room for another");
  t.throws(() => openTap(t, `${s.socket}.nobody`), { message: /no daemon answers there/ });
});

test("a closed tap whose memory its client keeps is still one of the sixteen", async (t) => {
  const s = await liveSwitch(t);
  const raw = connectRaw(s.socket)!;
  raw.say(tapRequest());
  t.is(errno(raw.hear()), 0);
  raw.close();
  await until(() => s.engine.stats().taps.length === 0, "the tap is closed");
  for (let i = 0; i < 15; i++) openTap(t, s.socket, { ringBytes: 512 << 10 });
  t.throws(() => openTap(t, s.socket), {
    message: /no room for another tap: 16 are open \(1 closed, their memory kept by clients\); close one/,
  });
  raw.closeDoorbell(); // the one descriptor that came
  openTap(t, s.socket);
  t.is(s.engine.stats().taps.length, 16);
});

test("a hostile tap: its memory cannot be written, shortened, or emptied, and what it does stops nobody", async (t) => {
  const s = await liveSwitch(t);
  const [a, b] = [s.open("vale0:a"), s.open("vale0:b", { slots: 1024 })];
  const raw = connectRaw(s.socket)!;
  raw.say(tapRequest());
  t.is(errno(raw.hear()), 0);
  raw.isMemory();
  const refused = [raw.mapWritable(), raw.truncate(4096), raw.addSeals(), raw.punchHole()];
  t.deepEqual(refused, [1, 1, 1, 1], "EPERM");
  const fd = raw.memoryFd();
  t.throws(() => writeSync(fd, Buffer.alloc(64), 0, 64, 0), { code: "EPERM" });
  const again = openSync(`/proc/self/fd/${fd}`, "r+");
  t.throws(() => writeSync(again, Buffer.alloc(64), 0, 64, 0), { code: "EPERM" });
  closeSync(again);
  if (spawnSync("fallocate", ["--version"]).status === 0)
    t.not(spawnSync("fallocate", ["-p", "-o", "0", "-l", "4096", `/proc/${process.pid}/fd/${fd}`]).status, 0);
  // It never reads: the switch goes round.
  const honest = openTap(t, s.socket);
  let seen = 0;
  for (let round = 0; round < 400; round++) {
    await a.sendAll(Array.from({ length: 100 }, (_, i) => frame(0, 1, `${round}.${i}`)));
    await until(() => b.receive(4096).length > 0 || b.pending === 0, "frames at b");
    seen += readTap(honest).length;
  }
  await s.settled();
  const passed = () => {
    seen += readTap(honest).length;
    return seen + honest.state().missed;
  };
  await until(() => passed() >= 40_000, "all of them");
  t.is(seen + honest.state().missed, 40_000);
  const head = Buffer.alloc(8);
  readSync(fd, head, 0, 8, 0);
  t.is(head.toString("latin1"), "LIVE_TAP");
  raw.close();
  await a.sendAll([frame(0, 1, "after")]);
  await s.settled();
  sumsHold(t, s.engine.stats());
  t.deepEqual(
    (await tapped(honest)).map((each) => each.text),
    ["after"],
  );
});
