// The tree against a sorted map: random batches, both directions, reopening, limits, damage.
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { Random } from "../../logger/traffic/random.js";
import { createTree, Tree, TreeOvertakenError, TreeReader, type TreeSnapshot } from "../../native/tree.js";

const MiB = 1 << 20;
const folders = ["/dev/shm", tmpdir()].filter((folder) => existsSync(folder));

function place(t: ExecutionContext, folder = folders[0]!): string {
  const own = mkdtempSync(join(folder, "paste-switch-tree-"));
  t.teardown(() => rmSync(own, { recursive: true }));
  return join(own, "a.tree");
}

/** Keys in hex, so that their order as strings is that of their bytes. */
class Model {
  readonly map = new Map<string, string>();
  sorted(from?: Uint8Array, to?: Uint8Array): [string, string][] {
    const least = from && hex(from);
    const end = to && hex(to);
    return [...this.map]
      .filter(([key]) => (least === undefined || key >= least) && (end === undefined || key < end))
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => Buffer.from(text, "latin1");
const u64 = (value: number) => {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(BigInt(value));
  return key;
};

function listed(snapshot: TreeSnapshot, range = {}): [string, string][] {
  return [...snapshot.entries(range)].map(([key, value]) => [hex(key), hex(value)]);
}

function randomKey(random: Random): Buffer {
  const kind = random.below(4);
  if (kind === 0) return u64(random.below(3000));
  if (kind === 1) return Buffer.concat([Buffer.alloc(random.below(500), 7), random.bytes(1)]);
  if (kind === 2) return Buffer.from([random.below(256)]);
  return random.bytes(1 + random.below(12));
}

for (const folder of folders)
  test(`random batches agree with a sorted map, both ways and after reopening, in ${folder}`, async (t) => {
    const path = place(t, folder);
    const seed = Number(process.env.PASTE_SEED ?? randomInt(1_000_000));
    t.log(`PASTE_SEED=${seed}`);
    const random = new Random(seed);
    createTree(path, { sizeBytes: 8 * MiB });
    let tree = Tree.open(path);
    const reader = TreeReader.open(path);
    const model = new Model();
    for (let round = 0; round < 60; round++) {
      const changes = random.below(300);
      const deleting = random.below(100);
      for (let i = 0; i < changes; i++) {
        const key = randomKey(random);
        if (random.below(100) < deleting) {
          t.is(tree.delete(key), model.map.delete(hex(key)));
        } else {
          const value = random.bytes(random.below(random.chance(0.1) ? 800 : 30));
          tree.put(key, value);
          model.map.set(hex(key), hex(value));
        }
      }
      const some = randomKey(random);
      t.is(hex(tree.get(some) ?? bytes("-")), model.map.get(hex(some)) ?? "2d", "the batch is seen by its writer");
      await tree.commit();
      if (random.chance(0.2)) {
        tree.close();
        tree = Tree.open(path);
      }
      const snapshot = reader.snapshot();
      t.is(snapshot.entryCount, model.map.size);
      const from = random.chance(0.5) ? randomKey(random) : undefined;
      const to = random.chance(0.5) ? randomKey(random) : undefined;
      const range = { ...(from && { from }), ...(to && { to }) };
      t.deepEqual(listed(snapshot, range), model.sorted(from, to));
      t.deepEqual(listed(snapshot, { ...range, reverse: true }), model.sorted(from, to).reverse());
      t.deepEqual(tree.snapshot().verify(), []);
    }
    for (const [key, value] of model.map) t.is(hex(reader.snapshot().get(Buffer.from(key, "hex"))!), value);
    for (const key of model.map.keys()) tree.delete(Buffer.from(key, "hex"));
    await tree.commit();
    t.is(tree.info().pagesUsed, 0, "all pages are given back");
    tree.close();
    reader.close();
  });

test("a bulk load is what was loaded, in dense pages, and can be changed afterwards", async (t) => {
  for (const count of [0, 1, 90, 5000]) {
    const path = place(t);
    createTree(path, { sizeBytes: 4 * MiB });
    const tree = Tree.open(path);
    const entries = Array.from({ length: count }, (_, i) => [u64(i * 3), bytes(`value ${i}`)] as const);
    t.is(tree.load(entries), count);
    t.deepEqual(tree.snapshot().verify(), []);
    t.deepEqual(
      listed(tree.snapshot()),
      entries.map(([key, value]) => [hex(key), hex(value)]),
    );
    const payload = entries.reduce((sum, [key, value]) => sum + key.length + value.length + 10, 0);
    t.true(tree.info().pagesUsed * 4096 <= payload * 1.05 + 3 * 4096);
    for (let i = 0; i < count; i++) tree.put(u64(i * 3 + 1), bytes("between"));
    await tree.commit();
    t.is(tree.snapshot().entryCount, 2 * count);
    t.deepEqual(tree.snapshot().verify(), []);
    tree.close();
  }
});

test("a bulk load that fails leaves the tree empty, and usable", async (t) => {
  const path = place(t);
  createTree(path, { sizeBytes: 256 * 1024 });
  const tree = Tree.open(path);
  t.throws(() => tree.load([u64(2), u64(1)].map((key) => [key, key])), { code: "USAGE", message: /ascending/ });
  const many = Array.from({ length: 20_000 }, (_, i) => [u64(i), Buffer.alloc(50)] as const);
  t.throws(() => tree.load(many), { code: "RESOURCE", message: /full/ });
  t.is(tree.info().entries, 0);
  tree.put(u64(1), bytes("a"));
  t.throws(() => tree.load([]), { code: "USAGE", message: /empty tree/ });
  await tree.commit();
  t.deepEqual(tree.snapshot().verify(), []);
  tree.close();
});

test("a full tree refuses, is unchanged, and takes deletes", async (t) => {
  const path = place(t);
  createTree(path, { sizeBytes: 512 * 1024 });
  const tree = Tree.open(path);
  let count = 0;
  const fill = async () => {
    for (;;) {
      tree.put(u64(count), Buffer.alloc(500, count));
      count += 1;
      if (count % 10 === 0) await tree.commit();
    }
  };
  await t.throwsAsync(fill, { code: "RESOURCE", message: /full/ });
  await tree.commit();
  t.is(tree.snapshot().entryCount, count);
  t.true(count > 200, `${count} entries of 500 bytes in half a MiB`);
  for (let i = 0; i < count; i++) {
    if (i % 8 > 0) t.true(tree.delete(u64(i)));
    if (i % 20 === 0) await tree.commit();
  }
  await tree.commit();
  for (let i = 0; i < count; i += 2) {
    tree.put(u64(i), bytes("again"));
    if (i % 20 === 0) await tree.commit();
  }
  await tree.commit();
  t.deepEqual(tree.snapshot().verify(), []);
  tree.close();
});

test("limits are said, and nothing beyond them gets in", (t) => {
  const path = place(t);
  t.throws(() => createTree(path, { sizeBytes: 4096 }), { code: "USAGE", message: /at least 131072/ });
  t.throws(() => createTree(path, { sizeBytes: 2 ** 44, sparse: true }), {
    code: "USAGE",
    message: /at most 8796093022208/,
  });
  createTree(path, { sizeBytes: MiB });
  t.throws(() => createTree(path, { sizeBytes: MiB }), { code: "STORE", message: /exists/ });
  const tree = Tree.open(path);
  t.throws(() => Tree.open(path), { code: "STORE", message: /in use/ });
  t.throws(() => tree.put(new Uint8Array(), bytes("a")), { code: "USAGE", message: /1 to 512/ });
  t.throws(() => tree.put(Buffer.alloc(513), bytes("a")), { code: "USAGE", message: /1 to 512/ });
  t.throws(() => tree.put(Buffer.alloc(512), Buffer.alloc(817)), { code: "USAGE", message: /at most 1328/ });
  t.throws(() => tree.put("a" as unknown as Uint8Array, bytes("a")), { code: "USAGE", message: /Uint8Array/ });
  tree.put(Buffer.alloc(512), Buffer.alloc(816));
  tree.abort();
  t.is(tree.get(Buffer.alloc(512)), undefined);
  const snapshot = tree.snapshot();
  tree.close();
  t.throws(() => tree.put(u64(1), u64(1)), { code: "USAGE", message: /closed/ });
  t.throws(() => snapshot.get(u64(1)), { code: "USAGE", message: /closed/ });
  t.notThrows(() => tree.close());
});

test("a snapshot stays while the writer goes on, and says so when it is overtaken", async (t) => {
  const path = place(t);
  createTree(path, { sizeBytes: MiB });
  const tree = Tree.open(path);
  const reader = TreeReader.open(path);
  for (let i = 0; i < 500; i++) tree.put(u64(i), bytes("before"));
  await tree.commit();
  const snapshot = reader.snapshot();
  for (let i = 0; i < 500; i++) tree.put(u64(i), bytes("after"));
  await tree.commit();
  t.is(Buffer.from(snapshot.get(u64(7))!).toString(), "before");
  t.is(Buffer.from(reader.snapshot().get(u64(7))!).toString(), "after");
  for (let i = 0; i < 200; i++) {
    tree.put(u64(i), bytes("later"));
    await tree.commit();
  }
  t.true(snapshot.overtaken);
  t.throws(() => snapshot.get(u64(7)), { instanceOf: TreeOvertakenError, code: "STORE", message: /overtaken/ });
  t.throws(() => [...snapshot.entries()], { instanceOf: TreeOvertakenError });
  t.throws(() => snapshot.verify(), { instanceOf: TreeOvertakenError });
  t.is(Buffer.from(reader.snapshot().get(u64(7))!).toString(), "later");
  tree.close();
  reader.close();
});

async function filled(t: ExecutionContext): Promise<string> {
  const path = place(t);
  createTree(path, { sizeBytes: MiB });
  const tree = Tree.open(path);
  for (let i = 0; i < 2000; i++) tree.put(u64(i), bytes(`value ${i}`));
  await tree.commit();
  tree.close();
  return path;
}

function overwrite(path: string, offset: number, what: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, what, 0, what.length, offset);
}

test("each page that is damaged is found, named, and never a crash", async (t) => {
  const path = await filled(t);
  const whole = readFileSync(path);
  const pages = TreeReader.open(path).info().pagesUsed;
  const random = new Random(5);
  let found = 0;
  for (let round = 0; round < 60; round++) {
    const page = 6 + random.below(pages);
    const offset = page * 4096 + random.below(4096);
    overwrite(path, offset, Buffer.from([whole[offset]! ^ (1 << random.below(8))]));
    const reader = TreeReader.open(path);
    const problems = reader.snapshot().verify();
    t.is(problems.length, 1);
    t.is(problems[0]!.page, page);
    const error = t.throws(() => [...reader.snapshot().entries()], { code: "STORE" });
    t.true(error!.message.includes(`page ${page} at byte ${page * 4096}`), error!.message);
    found += problems.length;
    reader.close();
    overwrite(path, offset, whole.subarray(offset, offset + 1));
  }
  t.is(found, 60);
});

test("a page of an earlier commit in a later one's place is found", async (t) => {
  const path = await filled(t);
  const whole = readFileSync(path);
  overwrite(path, 7 * 4096, whole.subarray(8 * 4096, 9 * 4096));
  const reader = TreeReader.open(path);
  t.regex(reader.snapshot().verify()[0]!.what, /misplaced/);
  reader.close();
});

for (const [title, damage, message] of [
  ["a foreign file", (path: string) => overwriteTwice(path, 0, bytes("PNG.....")), /no tree/],
  ["a newer format", (path: string) => overwriteTwice(path, 8, Buffer.from([9])), /format 9/],
  ["both superblocks damaged", (path: string) => overwriteTwice(path, 40, bytes("x")), /superblock/],
  ["both roots damaged", (path: string) => overwriteTwice(path, 4 * 4096 + 9, bytes("x")), /both roots/],
  ["a truncated file", (path: string) => truncateSync(path, MiB / 2), /truncated/],
  ["a longer file", (path: string) => truncateSync(path, MiB * 2), /longer/],
  ["a tiny file", (path: string) => truncateSync(path, 100), /only 100 bytes/],
] as const)
  test(`refused in one sentence: ${title}`, async (t) => {
    const path = await filled(t);
    damage(path);
    t.throws(() => Tree.open(path), { code: "STORE", message });
    t.throws(() => TreeReader.open(path), { code: "STORE", message });
  });

function overwriteTwice(path: string, offset: number, what: Uint8Array): void {
  overwrite(path, offset, what);
  overwrite(path, offset + 4096, what);
}

test("one damaged superblock and one damaged root are survived", async (t) => {
  const path = await filled(t);
  overwrite(path, 0, Buffer.alloc(64));
  overwrite(path, 5 * 4096 + 9, bytes("x")); // generation 1; 2 is the newest
  const tree = Tree.open(path);
  t.is(tree.info().entries, 2000);
  tree.close();
});
