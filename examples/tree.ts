// The persistent B+ tree, a library of its own: when was which address seen? Bulk load, batches, ranges both ways, and a
// reader in another process that keeps its snapshot while the writer goes on. native/core/tree/README.md says what it promises.
//
//   node dist/examples/tree.js
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTree, Tree, TreeReader } from "../native/index.js";

/** Keys are bytes in the order of memcmp: what is compared first comes first, numbers big-endian. */
function seenKey(address: string, timeNs: bigint): Buffer {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(timeNs);
  return Buffer.concat([Buffer.from(address.split(".").map(Number)), time]);
}
const text = ([key, value]: [Uint8Array, Uint8Array]) => `${key.subarray(0, 4).join(".")} on ${Buffer.from(value)}`;
/** Everything about one address: from its first key to the first one of the next. */
const range = (address: string) => ({ from: seenKey(address, 0n), to: seenKey(address, 2n ** 64n - 1n) });

if (process.send) {
  // The other process: a snapshot is one commit, whatever the writer does meanwhile. Take a new one to see more.
  const reader = TreeReader.open(process.argv[2]!);
  const snapshot = reader.snapshot();
  process.once("message", () => {
    console.log(`reader: ${snapshot.entryCount} entries then, ${reader.snapshot().entryCount} now`);
    reader.close();
    process.disconnect();
  });
  process.send("has a snapshot");
} else {
  const folder = mkdtempSync(join(tmpdir(), "paste-tree-"));
  const path = join(folder, "seen.tree");
  createTree(path, { sizeBytes: 1 << 20 });
  let tree = Tree.open(path);
  const sorted = [1, 2, 3].map((i) => [seenKey("10.0.0.7", BigInt(i)), Buffer.from(`port ${i}`)] as const);
  tree.load(sorted); // into an empty tree, keys ascending: the fastest way
  tree.close();

  tree = Tree.open(path); // one writer at a time; nothing has to be recovered
  const reader = fork(fileURLToPath(import.meta.url), [path]);
  await new Promise((resolve) => reader.once("message", resolve));
  tree.putAll([4n, 6n].map((time) => [seenKey("10.0.0.9", time), Buffer.from(`port ${time}`)] as const)); // inserts
  tree.put(seenKey("10.0.0.7", 2n), Buffer.from("port 5")); // replaces
  tree.delete(seenKey("10.0.0.7", 1n));
  await tree.commit(); // durable and visible, all of it or nothing
  reader.send("committed");
  await new Promise((resolve) => reader.once("exit", resolve));

  for (const entry of tree.snapshot().entries(range("10.0.0.7"))) console.log(`up: ${text(entry)}`);
  for (const entry of tree.snapshot().entries({ reverse: true })) console.log(`down: ${text(entry)}`);
  const last = tree.snapshot().get(seenKey("10.0.0.9", 4n));
  console.log(`10.0.0.9 at 4: ${last && Buffer.from(last)}; ${tree.info().survives}`);
  tree.close();
  rmSync(folder, { recursive: true });
}
