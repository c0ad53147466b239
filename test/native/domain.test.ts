import { randomBytes } from "node:crypto";
import { closeSync, existsSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { pmem } from "../support/native-pmem.js";
import { skip } from "../support/skip.js";

test("streams and stores of every width leave exactly the given lines", (t) => {
  for (const [lines, at] of [
    [1, 0],
    [1, 3],
    [2, 1],
    [7, 5],
    [33, 9],
    [100, 64],
  ] as const) {
    const data = randomBytes(lines * 64);
    const expected = Buffer.alloc(64 << 10);
    data.copy(expected, at * 64);
    for (const variant of pmem.streamVariants(data, at)) {
      t.true(variant.streamed.equals(expected), `${variant.name}: stream of ${lines} lines at ${at}`);
      t.true(variant.stored.equals(expected), `${variant.name}: store of ${lines} lines at ${at}`);
    }
  }
});

test("what stands in for NVMM says so", (t) => {
  for (const { name } of pmem.streamVariants(Buffer.alloc(64), 0))
    t.regex(name, /DRAM stands for NVMM|without write-back/);
});

test("a disk that is full is a final failure: every later sync says the same", (t) => {
  if (!existsSync("/dev/full")) return skip(t, "no /dev/full");
  const [first, second, third] = pmem.syncTo("/dev/full");
  t.regex(first ?? "", /\/dev\/full: writing 4096 bytes at 0: No space left.*nothing is acknowledged any more/);
  t.is(second, first);
  t.is(third, first);
});

test("threads that flush while another syncs lose nothing", (t) => {
  const path = join(tmpdir(), `paste-switch-${process.pid}-flush`);
  const file = openSync(path, "wx");
  try {
    ftruncateSync(file, 4 << 20);
    t.is(pmem.flushFromThreads(path, 3, 2000), -1);
  } finally {
    closeSync(file);
    rmSync(path);
  }
});
