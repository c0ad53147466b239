import { closeSync, ftruncateSync, openSync, readFileSync, statSync, truncateSync, writeSync } from "node:fs";
import test from "ava";
import { PasteError } from "../../logger/errors.js";
import { openStore } from "../../logger/reader.js";
import { storeWith } from "./store-tools.js";

const frames = Array.from({ length: 15_000 }, (_, i) => ({
  data: Buffer.alloc(600, i),
  wireLength: 600,
  timeNs: 1n,
}));

test("a file that shrinks under the reader ends in an error, not in a signal", async (t) => {
  const path = await storeWith(t, frames);
  const reader = openStore(path);
  const error = await t.throwsAsync(
    async () => {
      let first = true;
      for await (const _ of reader.frames({ batchBytes: 65536 })) {
        if (first) truncateSync(path, 1 << 20);
        first = false;
      }
    },
    { instanceOf: PasteError },
  );
  t.is(error?.code, "STORE");
  t.regex(error!.message, /shorter while it was read/);
});

test("an index that is cut off under the reader ends in an error, too", async (t) => {
  const path = await storeWith(t, frames);
  const reader = openStore(path);
  t.teardown(() => reader.close());
  const ask = async () => {
    for await (const _ of reader.frames({ filter: "ether src 02:00:00:00:00:77" })) t.fail("nobody sent this");
  };
  await ask();
  t.true(reader.counters.runsRead > 0 && reader.counters.blocksScanned === 0, "the index answered alone");
  truncateSync(path, 1 << 20);
  const error = await t.throwsAsync(ask, { instanceOf: PasteError });
  t.is(error?.code, "STORE");
  t.regex(error!.message, /shorter while it was read/);
});

test("reading a copy that left out what was zero makes no pages in its holes", async (t) => {
  const path = await storeWith(t, frames);
  const bytes = readFileSync(path);
  const copy = `${path}.copy`;
  const file = openSync(copy, "wx");
  ftruncateSync(file, bytes.length);
  const page = 4096;
  for (let at = 0; at < bytes.length; at += page)
    if (bytes.subarray(at, at + page).some((byte) => byte !== 0)) writeSync(file, bytes, at, page, at);
  closeSync(file);
  const { blocks } = statSync(copy);
  t.true(blocks * 512 < bytes.length, "it has holes");
  const reader = openStore(copy);
  t.teardown(() => reader.close());
  let count = 0;
  for await (const batch of reader.frames({ index: false })) count += batch.count;
  t.is(count, frames.length);
  t.is(statSync(copy).blocks, blocks);
});

test("more readers than can be protected from a shrinking file read all the same", async (t) => {
  const frames = Array.from({ length: 300 }, (_, i) => ({ data: Buffer.alloc(600, i), wireLength: 600, timeNs: 1n }));
  const path = await storeWith(t, frames);
  const readers = Array.from({ length: 80 }, () => openStore(path));
  t.teardown(() => {
    for (const reader of readers) reader.close();
  });
  for (const reader of readers) {
    let count = 0;
    for await (const batch of reader.frames()) count += batch.count;
    t.is(count, 300);
  }
});
