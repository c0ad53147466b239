// A reading that asks the index gives exactly what one that looks at every record gives, in either direction.
import test from "ava";
import fc from "fast-check";
import { type FrameOptions, openStore, type StoreReader } from "../../logger/reader.js";
import { seed } from "./filter/frames.js";
import { compiledOrRefused } from "./filter/random-filter.js";
import { variedFilter, variedStore } from "./filter/varied-store.js";
import { testFolder } from "./store-tools.js";

async function sequences(reader: StoreReader, options: FrameOptions): Promise<bigint[]> {
  const list: bigint[] = [];
  for await (const batch of reader.frames(options)) for (let i = 0; i < batch.count; i++) list.push(batch.sequence(i));
  return list;
}

for (const [what, options] of Object.entries({
  "whole frames, one lane": { lanes: 1, snaplen: 1 << 18 },
  "short frames, three lanes": { lanes: 3, snaplen: 96 },
  "a writer that died": { lanes: 2, snaplen: 1 << 18, abandoned: true },
}))
  test(`with an index and without: ${what}`, async (t) => {
    t.timeout(180_000);
    t.log(`seed ${seed}`);
    const reader = openStore(await variedStore(testFolder(t), { seed, count: 900, ...options }));
    t.teardown(() => reader.close());
    let [indexed, saved] = [0, 0];
    await fc.assert(
      fc.asyncProperty(variedFilter, fc.nat(2000), async (text, from) => {
        const filter = compiledOrRefused(text, { record: "store" });
        if (!filter) return;
        const expected = await sequences(reader, { filter, index: false });
        const scanned = reader.counters.records;
        t.deepEqual(await sequences(reader, { filter }), expected, text);
        if (reader.counters.blocksIndexed > 0) indexed++;
        if (reader.counters.records < scanned) saved++;
        const part = { filter, fromSequence: BigInt(from), toSequence: BigInt(from + 500) };
        t.deepEqual(await sequences(reader, part), await sequences(reader, { ...part, index: false }), text);
        if (filter.tests.some(({ of }) => of === "port")) return;
        t.deepEqual(await sequences(reader, { filter, reverse: true }), expected.toReversed(), `${text}, newest first`);
      }),
      { numRuns: 200, seed },
    );
    // An index that nobody asked would pass, too.
    t.true(indexed > 50 && saved > 20, `${indexed} asked an index, ${saved} read fewer records`);
  });

test("any port cannot be asked newest first", async (t) => {
  const reader = openStore(await variedStore(testFolder(t), { seed, count: 30, lanes: 1, snaplen: 96 }));
  t.teardown(() => reader.close());
  await t.throwsAsync(sequences(reader, { filter: "any port 53", reverse: true }), {
    code: "USAGE",
    message: /"any port" cannot be asked newest first: .* keep the last ones/,
  });
});
