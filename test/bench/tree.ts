// The tree beside LMDB: a C++ program that is compiled when this runs, with LMDB where its header and library are.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PasteError } from "../../logger/errors.js";
import { packageRoot } from "../../native/index.js";
import { createTree, TreeReader } from "../../native/tree.js";
import type { Bench } from "./bench.js";
import type { Row } from "./report.js";

const storeBytes = 512 * 1024 * 1024;
const batch = 1000;

/** Compiles the program into `folder`; says whether LMDB is in it. */
function compile(folder: string): { program: string; lmdb: boolean } {
  const root = packageRoot();
  const library = join(root, "build", "Release", "core.a");
  if (!existsSync(library))
    throw new PasteError("RESOURCE", `bench tree: ${library} is missing: run \`npm run build\` in ${root}`);
  const program = join(folder, "tree_bench");
  const compiler = process.env.CXX ?? "g++";
  const args = ["-std=c++20", "-O2", "-fno-exceptions", "-fno-rtti", `-I${join(root, "native")}`];
  const build = (more: string[], libraries: string[]) =>
    spawnSync(
      compiler,
      [
        ...args,
        ...more,
        join(root, "test", "bench", "tree_bench.cc"),
        library,
        ...libraries,
        "-lpthread",
        "-o",
        program,
      ],
      { encoding: "utf8" },
    );
  if (build(["-DWITH_LMDB"], ["-llmdb"]).status === 0) return { program, lmdb: true };
  const { status, stderr } = build([], []);
  if (status !== 0) throw new PasteError("RESOURCE", `bench tree: ${compiler} does not compile the program: ${stderr}`);
  return { program, lmdb: false };
}

function onMemory(folder: string): boolean {
  const path = join(folder, "medium.tree");
  createTree(path, { sizeBytes: 1 << 20 });
  const reader = TreeReader.open(path);
  const { medium } = reader.info();
  reader.close();
  return medium === "memory";
}

export const tree: Bench = {
  summary: "the B+ tree beside LMDB: 16-byte random keys, 32-byte values, inserts in batches of 1,000, one thread",
  storeBytes: 2 * storeBytes,
  async run({ quick, rounds, folder }) {
    const { program, lmdb } = compile(folder);
    const memory = onMemory(folder);
    const entries = quick ? 50_000 : 1_000_000;
    const args = [folder, String(entries), String(batch), String(rounds), memory ? "memory" : "disk"];
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) throw new PasteError("INTERNAL", `bench tree: ${stderr}`);
    const rows = new Map<string, Row>();
    const both = memory ? "LMDB with WRITEMAP and NOSYNC" : "LMDB as it is by default; both fdatasync";
    for (const line of stdout.trim().split("\n")) {
      const [peer, what, sample] = line.split("|") as [string, string, string];
      const name = peer === "lmdb" ? `${what}: LMDB` : what;
      if (!rows.has(name))
        rows.set(name, {
          bench: "tree",
          what: name,
          unit: "ns/entry",
          samples: [],
          ...(peer === "tree" && lmdb && { pairedWith: `${what}: LMDB`, note: both }),
          ...(!lmdb && { note: "LMDB is missing (Debian: liblmdb-dev)" }),
        });
      rows.get(name)!.samples.push(Number(sample));
    }
    return [...rows.values()].sort((a, b) => (a.what < b.what ? -1 : 1));
  },
};
