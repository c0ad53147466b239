// One process writes, others read: each snapshot holds one commit, whole, or says that it was overtaken. And: a writer that is
// killed leaves a committed state.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { createTree, Tree, TreeOvertakenError, TreeReader, type TreeSnapshot } from "../../native/tree.js";
import { packageRoot } from "../support/skip.js";
import { treeKeys } from "./tree-writer.js";

const writer = join(packageRoot, "dist/test/native/tree-writer.js");

/** All values of a commit are its number: a mixture of two commits shows. Returns that number. */
function commitOf(snapshot: TreeSnapshot, reverse: boolean): number {
  const seen = new Set<string>();
  let count = 0;
  for (const [, value] of snapshot.entries({ reverse })) {
    seen.add(Buffer.from(value).toString());
    count += 1;
  }
  if (count !== snapshot.entryCount) throw new Error(`${count} entries, not ${snapshot.entryCount}`);
  if (seen.size > 1) throw new Error(`one snapshot with the values of commits ${[...seen].join(", ")}`);
  return Number([...seen][0] ?? 0);
}

for (const folder of ["/dev/shm", tmpdir()].filter((path) => existsSync(path)))
  test(`readers beside a writer see whole commits, and a killed writer leaves one, in ${folder}`, async (t) => {
    const own = mkdtempSync(join(folder, "paste-switch-tree-"));
    t.teardown(() => rmSync(own, { recursive: true }));
    const path = join(own, "a.tree");
    createTree(path, { sizeBytes: 512 * 1024 });
    const child = spawn(process.execPath, [writer, path], { stdio: ["ignore", "pipe", "inherit"] });
    t.teardown(() => child.kill("SIGKILL"));
    let acknowledged = 0;
    child.stdout.on("data", (text: Buffer) => {
      acknowledged = Number(text.toString().trim().split("\n").at(-1)) || acknowledged;
    });
    await once(child.stdout, "data");
    const reader = TreeReader.open(path);
    let whole = 0;
    let overtaken = 0;
    let last = 0;
    for (let round = 0; whole < 150 || overtaken < 5; round++) {
      const snapshot = reader.snapshot();
      // Some are read when the writer has gone on: by a few commits, or by so many that their pages are in use again.
      const behind = [0, 0, 3, 40][round % 4]!;
      while (reader.info().generation < snapshot.generation + behind)
        await new Promise((resolve) => setImmediate(resolve));
      try {
        const number = commitOf(snapshot, round % 3 === 1);
        t.true(number >= last, "commits are seen in order");
        last = number;
        whole += 1;
      } catch (error) {
        if (!(error instanceof TreeOvertakenError)) throw error;
        overtaken += 1;
      }
    }
    child.kill("SIGKILL");
    await once(child, "close");
    t.true(commitOf(reader.snapshot(), false) >= acknowledged, "what was acknowledged is there");
    reader.close();
    const tree = Tree.open(path);
    t.deepEqual(tree.snapshot().verify(), []);
    t.true(tree.info().entries <= treeKeys);
    tree.put(Buffer.from("behind"), Buffer.from("1"));
    await tree.commit();
    t.deepEqual(tree.snapshot().verify(), []);
    tree.close();
  });
