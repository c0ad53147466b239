// Trees that were changed by somebody who knows the format: bytes altered, checksums made right again. Nothing of it may end the
// process: every call succeeds, or throws a PasteError.
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { PasteError } from "../../logger/errors.js";
import { Random } from "../../logger/traffic/random.js";
import { createTree, Tree, TreeReader } from "../../native/tree.js";
import { pmem } from "../support/native-pmem.js";

const folder = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const crc32c = pmem.crc32cVariants()[0]!.compute;
const pageBytes = 4096;

function sealPage(file: Buffer, page: number): void {
  const at = page * pageBytes;
  const seed = file.readUInt32LE(32); // of the uuid
  file.writeUInt32LE(crc32c(seed, file.subarray(at + 4, at + pageBytes)), at);
}

function sealRoot(file: Buffer, page: number): void {
  const at = page * pageBytes;
  file.writeUInt32LE(crc32c(file.readUInt32LE(32), file.subarray(at, at + 60)), at + 60);
}

/** Whether it went through. Anything but a PasteError is a fault. */
function survived(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof PasteError) return false;
    throw error;
  }
}

test("bytes altered under right checksums end in an error or an answer, never in a crash", async (t) => {
  const own = mkdtempSync(join(folder, "paste-switch-tree-"));
  t.teardown(() => rmSync(own, { recursive: true }));
  const path = join(own, "a.tree");
  const seed = Number(process.env.PASTE_SEED ?? randomInt(1_000_000));
  t.log(`PASTE_SEED=${seed}`);
  const random = new Random(seed);
  createTree(path, { sizeBytes: 512 * 1024 });
  let tree = Tree.open(path);
  const key = (i: number) => Buffer.from(`${"k".repeat(i % 60)}${i}`);
  for (let i = 0; i < 700; i++) tree.put(key(i), random.bytes(random.below(60)));
  await tree.commit();
  const { pagesUsed } = tree.info();
  tree.close();
  const whole = readFileSync(path);
  const copy = join(own, "b.tree");
  let refused = 0;
  let root = 0;
  for (let round = 0; round < 400; round++) {
    const file = Buffer.from(whole);
    if (random.chance(0.1)) {
      file[4 * pageBytes + 8 + random.below(52)] = random.below(256);
      sealRoot(file, 4);
      root += 1;
    } else {
      const page = 6 + random.below(pagesUsed);
      for (let i = 0; i <= random.below(3); i++)
        file[page * pageBytes + 4 + random.below(random.chance(0.7) ? 120 : 4092)] = random.below(256);
      sealPage(file, page);
    }
    writeFileSync(copy, file);
    const readable = survived(() => {
      const reader = TreeReader.open(copy);
      const snapshot = reader.snapshot();
      survived(() => snapshot.verify());
      survived(() => [...snapshot.entries({ reverse: true })]);
      for (let i = 0; i < 700; i += 9) survived(() => snapshot.get(key(i)));
      for (const _ of snapshot.entries());
      reader.close();
    });
    const writable = survived(() => {
      tree = Tree.open(copy);
      for (let i = 0; i < 700; i += 5) survived(() => tree.put(key(i), Buffer.alloc(i)));
      for (let i = 0; i < 700; i += 3) survived(() => void tree.delete(key(i)));
    });
    await tree.commit().catch((error) => t.true(error instanceof PasteError));
    tree.close();
    if (!readable || !writable) refused += 1;
  }
  t.true(refused > 100 && root > 10, `${refused} of 400 refused`);
});
