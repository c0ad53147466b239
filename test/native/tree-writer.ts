// Run as a process by tree-readers.test.ts: writes every key anew with the number of the commit, and says each number when it is
// durable, until it is killed.
import { writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tree } from "../../native/tree.js";

/** Different keys; each commit holds half to all of them. */
export const treeKeys = 800;

async function write(path: string): Promise<void> {
  const tree = Tree.open(path);
  const key = Buffer.alloc(4);
  for (let number = 1; ; number++) {
    const value = Buffer.from(String(number));
    const present = treeKeys / 2 + ((number * 37) % (treeKeys / 2));
    for (let i = 0; i < treeKeys; i++) {
      key.writeUInt32BE(i * 7919);
      if (i < present) tree.put(key, value);
      else tree.delete(key);
    }
    await tree.commit();
    writeSync(1, `${number}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await write(process.argv[2]!);
