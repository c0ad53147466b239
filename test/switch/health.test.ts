// What a daemon says by itself, from the numbers that its engine gives: each thing when it becomes so, and once.
import test from "ava";
import type { PortInfo } from "../../native/engine.js";
import type { StoreCounters } from "../../native/store.js";
import { Health } from "../../switch/health.js";

/** What is said at each look. */
function said(looks: readonly { store?: Partial<StoreCounters>; ports?: readonly Partial<PortInfo>[] }[]): string[][] {
  let now: string[] = [];
  const health = new Health((text) => now.push(text));
  return looks.map(({ store = {}, ports = [] }) => {
    now = [];
    const numbers = {
      indexDamaged: 0,
      indexSkippedBlocks: 0,
      blocksHollow: 0,
      syncFailed: false,
      failure: "",
      ...store,
    };
    health.look({ store: numbers as StoreCounters, ports: ports as PortInfo[] });
    return now;
  });
}

const damaged = (blocks: number) =>
  `index: ${blocks} of its blocks damaged and given up; what they covered is indexed anew`;
const behind = "index: it does not keep up, or has no room; blocks without an index are read by queries whole";

test("an index that falls behind, and one that was damaged", (t) => {
  const look = (indexSkippedBlocks: number, indexDamaged = 0) => ({ store: { indexSkippedBlocks, indexDamaged } });
  t.deepEqual(said([look(0), look(3), look(4), look(4), look(5)]), [[], [behind], [], [], [behind]]);
  // What was to be indexed anew was overwritten before: not for want of speed. Then it falls behind.
  t.deepEqual(said([look(1, 2), look(1, 2), look(2, 2), look(2, 3)]), [[damaged(2)], [], [behind], [damaged(1)]]);
});

test("a store that failed, and ports that are down", (t) => {
  const failed = { syncFailed: true, failure: "the disk is gone" };
  t.deepEqual(said([{}, { store: failed }, { store: failed }]), [[], ["FAILED: the disk is gone"], []]);
  const ports = [{ name: "vale0:t", id: 1, state: "down", detail: "t0 is not there" }];
  t.deepEqual(said([{ ports }, { ports }])[0], ["port vale0:t is down: t0 is not there"]);
  t.deepEqual(said([{ ports }, { ports }])[1], []);
});
