// One frame's story, told from the log of a switch whose ports, table and rules are known here.
import test from "ava";
import { openStore } from "../../logger/reader.js";
import { type FrameStory, traceFrame } from "../../logger/trace.js";
import { frame, type LiveSwitch, liveSwitch, rule } from "../support/live-switch.js";
import { ringStore, storeWith } from "./store-tools.js";

/** The records of frames whose payload begins with this text, in the order in which they came. */
async function sequencesOf(s: LiveSwitch, text: string): Promise<bigint[]> {
  const reader = openStore(s.storePath);
  const found: bigint[] = [];
  for await (const batch of reader.frames())
    for (let i = 0; i < batch.count; i++)
      if (Buffer.from(batch.bytes(i)).toString("latin1", 14).startsWith(text)) found.push(batch.sequence(i));
  reader.close();
  return found;
}

async function storyOf(s: LiveSwitch, text: string, neighbours = 3): Promise<FrameStory> {
  const [sequence] = await sequencesOf(s, text);
  return traceFrame(s.storePath, sequence!, { neighbours });
}

async function toldSwitch(t: Parameters<typeof liveSwitch>[0]) {
  const s = await liveSwitch(t, {}, { on: "memory" });
  s.engine.setRules([rule("", { name: "all", durability: "strict" })], "[]");
  const [a, b, c] = ["vale0:a", "vale0:b", "vale0:c"].map((name) => s.open(name));
  const say = async (port: typeof a, ...frames: Buffer[]) => {
    await port!.sendAll(frames);
    await s.settled();
  };
  await say(a, frame(2, 1, "unknown"));
  await say(b, frame(1, 2, "answer"));
  await say(a, frame(2, 1, "known"));
  await say(a, frame(1, 3, "hairpin"));
  await say(c, frame(0, 4, "broadcast"));
  return { s, say, ports: [a, b, c] as const };
}

test("a flooded frame: nobody knew its destination, and the log knows that", async (t) => {
  const { s } = await toldSwitch(t);
  const story = await storyOf(s, "unknown");
  t.true(story.flooded);
  t.is(story.egress, undefined);
  t.is(story.copiesReserved, 2);
  t.is(story.outcome.name, "forwarded");
  t.deepEqual(story.ingress, { name: "vale0:a", kind: "vale", epoch: 1, id: story.ingress.id });
  t.deepEqual(story.destination, { known: false, why: "unknown" });
  t.deepEqual(story.remarks, []);
  t.deepEqual(story.rule && { ...story.rule, ruleSet: 0 }, { name: "all", filter: "", ruleSet: 0 });
  t.true(story.strict);
});

test("a frame to a known address: where the table had it, and since when", async (t) => {
  const { s } = await toldSwitch(t);
  const story = await storyOf(s, "known");
  t.is(story.egress?.name, "vale0:b");
  t.is(story.copiesReserved, 1);
  for (const [address, port] of [
    [story.source, "vale0:a"],
    [story.destination, "vale0:b"],
  ] as const) {
    t.true("entry" in address);
    if ("entry" in address) {
      t.is(address.entry.port, port);
      t.is(address.entry.how, "learned");
      t.true(address.entry.sequence < story.packet.sequence!);
    }
  }
});

test("an address learned in the frame's own batch: what became of the frame shows it, the log tells it later", async (t) => {
  const { s, say, ports } = await toldSwitch(t);
  await say(ports[0], frame(2, 5, "first"), frame(1, 6, "second"), frame(5, 6, "to a fresh one"));
  const story = await storyOf(s, "to a fresh one");
  t.is(story.outcome.name, "hairpin");
  t.deepEqual(story.destination, { known: true, shownBehind: "vale0:a" });
});

test("a frame that went nowhere: the reason, as a sentence", async (t) => {
  const { s } = await toldSwitch(t);
  const story = await storyOf(s, "hairpin");
  t.is(story.outcome.name, "hairpin");
  t.regex(story.outcome.sentence, /behind the port the frame came from/);
  t.is(story.copiesReserved, 0);
  t.is(story.egress, undefined);
});

test("a broadcast: a group is in no table", async (t) => {
  const { s } = await toldSwitch(t);
  t.deepEqual((await storyOf(s, "broadcast")).destination, { known: false, why: "group" });
});

test("neighbours are the nearest frames between the same two, before and after", async (t) => {
  const { s, say, ports } = await toldSwitch(t);
  for (let i = 0; i < 8; i++) await say(ports[0], frame(2, 1, `n${i}`), frame(0, 1, "other"));
  const all = [
    ...(await sequencesOf(s, "unknown")),
    ...(await sequencesOf(s, "answer")),
    ...(await sequencesOf(s, "known")),
  ];
  all.push(...(await sequencesOf(s, "n")));
  const sorted = all.toSorted((a, b) => (a < b ? -1 : 1));
  const at = sorted.indexOf((await sequencesOf(s, "n4"))[0]!);
  const story = await storyOf(s, "n4", 2);
  t.deepEqual(
    story.before.map(({ sequence }) => sequence),
    sorted.slice(at - 2, at),
  );
  t.deepEqual(
    story.after.map(({ sequence }) => sequence),
    sorted.slice(at + 1, at + 3),
  );
  const alone = await storyOf(s, "n4", 0);
  t.is(alone.before.length + alone.after.length, 0);
});

test("a record that is no frame, one that is not there yet, and numbers that never were", async (t) => {
  const { s } = await toldSwitch(t);
  const next = (await (async () => {
    const reader = openStore(s.storePath);
    const info = await reader.info();
    reader.close();
    return info.nextSequence;
  })())!;
  await t.throwsAsync(traceFrame(s.storePath, 1n), {
    code: "STORE",
    message: /record 1 is no frame but the start of a writer .*it holds 1 to/,
  });
  await t.throwsAsync(traceFrame(s.storePath, next + 5n), {
    code: "STORE",
    message: /not there yet: it holds 1 to \d+, from \S+ to \S+$/,
  });
  await t.throwsAsync(traceFrame(s.storePath, 0n), { code: "USAGE", message: /begin with 1/ });
  await t.throwsAsync(traceFrame("/dev/null", 1n), { code: "STORE" });
});

test("a frame that was overwritten is gone, and what the store still holds is said", async (t) => {
  const { path, write, close } = await ringStore(t, 5);
  await write(20);
  await close();
  const { firstSequence, nextSequence } = await openStore(path).info();
  t.true(firstSequence > 2n);
  await t.throwsAsync(traceFrame(path, 2n), {
    code: "STORE",
    message: new RegExp(`record 2 is gone, overwritten: it holds ${firstSequence} to ${nextSequence - 1n}, from `),
  });
});

test("an imported frame: no rule, nobody it was sent to", async (t) => {
  const path = await storeWith(t, [{ data: frame(2, 1, "x"), wireLength: 60, timeNs: 5n }], { ports: ["en0"] });
  const story = await traceFrame(path, 2n);
  t.is(story.rule, undefined);
  t.is(story.ingress.name, "en0");
  t.is(story.ingress.kind, "import");
  t.deepEqual(story.destination, { known: false, why: "no-table" });
  t.deepEqual(story.remarks, []);
  t.is(story.copiesReserved, 0);
});
