// Newest first: exactly the frames of the other direction, the other way round.
import { join } from "node:path";
import test from "ava";
import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import { Random } from "../../logger/traffic/random.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { openDriver, storeFolder } from "../support/native-store.js";
import { firstDifference, stopHeartbeat, storedFrames, storeWith } from "./store-tools.js";

for (const [what, options] of [
  ["small blocks, giants across them", { blockBytes: 65536, sizeBytes: 128 << 20 }],
  ["blocks of the default size", { sizeBytes: 128 << 20 }],
] as const)
  test(`newest first is oldest first turned round: ${what}`, async (t) => {
    const frames = awkwardFrames(4, 1500, { giants: true, tiny: true });
    const path = await storeWith(t, frames, options);
    const forward = await storedFrames(path);
    t.is(firstDifference(forward, frames), -1);
    for (const more of [{}, { batchFrames: 7, batchBytes: 1000 }, { verifyPayload: false }]) {
      const backward = await storedFrames(path, { reverse: true, ...more });
      t.is(firstDifference(backward, [...forward].reverse()), -1, JSON.stringify(more));
      t.deepEqual(
        backward.map(({ sequence }) => sequence),
        forward.map(({ sequence }) => sequence).reverse(),
      );
    }
    const [fromSequence, toSequence] = [forward[200]!.sequence, forward[1100]!.sequence];
    const part = { filter: "not tcp", fromSequence, toSequence, snaplen: 80 };
    const expected = await storedFrames(path, part);
    t.true(expected.length > 100);
    t.is(firstDifference(await storedFrames(path, { ...part, reverse: true }), expected.reverse()), -1);
  });

test("newest first over several lanes, one of them with a long frame that its writer left unfinished", async (t) => {
  const path = join(storeFolder(t), "lanes.store");
  await createStore(path, { sizeBytes: 16 << 20, blockBytes: 65536 });
  const random = new Random(5);
  const driver = openDriver(path, { lanes: 3 });
  for (let i = 0; i < 900; i++) {
    const frames = Array.from({ length: random.below(4) }, () => ({
      bytes: random.bytes(random.chance(0.02) ? 40_000 : 60 + random.below(1200)),
      timeNs: BigInt(i),
    }));
    driver.write(random.below(3), frames, random.chance(0.5));
    driver.round();
  }
  for (let lane = 0; lane < 3; lane++) driver.commit(lane);
  const check = async (state: string) => {
    const forward = await storedFrames(path);
    t.true(forward.length > 800, state);
    const backward = await storedFrames(path, { reverse: true });
    t.is(firstDifference(backward, [...forward].reverse()), -1, state);
  };
  await check("while it is open");
  driver.write(1, [{ bytes: random.bytes(60_000), timeNs: 1n }], false);
  await check("a frame under way");
  driver.abandon();
  stopHeartbeat(path);
  await check("its writer gone");
});

test("newest first cannot be followed", async (t) => {
  const path = await storeWith(t, awkwardFrames(1, 10));
  const error = await t.throwsAsync(() => openStore(path).follow({ reverse: true }).next(), { instanceOf: PasteError });
  t.is(error?.code, "USAGE");
});
