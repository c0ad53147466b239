// Memory for frames that a device fills: its place, and the whole life of a chunk: filled, marked, retired, used again, while others
// read, and over the death of its process.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { createStore } from "../../logger/store.js";
import { frameMemory, type TestFrameMemory, tellingFrames } from "../support/native-frame-memory.js";
import { scanStore } from "../support/native-store.js";
import { skip } from "../support/skip.js";

const memoryFolder = "/dev/shm";

async function store(t: ExecutionContext, parent: string, sizeBytes: number, blockBytes = 64 << 10): Promise<string> {
  const folder = mkdtempSync(join(parent, "paste-switch-chunks-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "a.store");
  await createStore(path, { sizeBytes, blockBytes });
  return path;
}

const kinds: [string, (memory: TestFrameMemory) => void][] = [
  ["renewed", () => {}],
  ["pinned", (memory) => memory.pin()],
];

test("without a store it lies in DRAM, is one range, and never marks", (t) => {
  const memory = frameMemory(undefined, {});
  t.false(memory.inStore);
  t.is(memory.whyNotStore, "there is no store");
  memory.pin();
  memory.close();
  t.throws(() => frameMemory(undefined, { place: 1 }), { message: /RESOURCE: there is no store/ });
  t.throws(() => frameMemory(undefined, { chunkBytes: 3000 }), { message: /USAGE: .* 2048 or 4096/ });
});

test("on a disk it lies in DRAM, and says why", async (t) => {
  const path = await store(t, tmpdir(), 16 << 20);
  const memory = frameMemory(path, {});
  t.false(memory.inStore);
  t.regex(memory.whyNotStore, /a\.store is on a disk \(.+\)/);
  const { marked, packed } = memory.run(20);
  t.deepEqual([marked, packed > 0], [0, true]);
  memory.close();
  t.is(tellingFrames(path).wrong, 0);
});

test("a store that is too small for it is not eaten", async (t) => {
  if (!existsSync(memoryFolder)) return skip(t, `there is no ${memoryFolder}`);
  const path = await store(t, memoryFolder, 16 << 20);
  const other = await store(t, memoryFolder, 16 << 20);
  const tiny = await store(t, memoryFolder, 16 << 20, 1 << 20);
  const makes = (where: string, options: { chunks?: number }) => {
    const memory = frameMemory(where, { place: 1, chunkBytes: 2048, ...options });
    const facts = memory.facts();
    memory.close();
    return facts;
  };
  const { chunks } = makes(path, {});
  t.true(chunks > 500 && chunks * 2048 <= (16 << 20) / 8, `${chunks} chunks when nothing is said`);
  const asked = makes(other, { chunks: 1 << 20 });
  t.true(asked.chunks > 2048 && asked.chunks * 2048 <= (16 << 20) / 2, `${asked.chunks} chunks when more is asked for`);
  t.throws(() => frameMemory(tiny, { place: 1, chunkBytes: 4096 }), {
    message: /RESOURCE: .*too small to receive into/,
  });
});

for (const [kind, prepare] of kinds)
  test(`${kind}: chunks are marked, retired and marked again; readers beside never see a wrong byte`, async (t) => {
    if (!existsSync(memoryFolder)) return skip(t, `there is no ${memoryFolder}`);
    const path = await store(t, memoryFolder, 32 << 20);
    const memory = frameMemory(path, { place: 1, chunks: 1024 });
    prepare(memory);
    const before = memory.facts();
    const after = memory.runBeside(60_000);
    t.log(JSON.stringify(after));
    t.true(after.marked > before.chunks, "chunks were marked again");
    t.true(after.free + after.logged <= after.chunks);
    t.true(after.free > 0, "the log leaves some to the port");
    for (const reader of [after.scanner, after.follower]) {
      t.is(reader.failure, "");
      t.is(reader.wrong, 0);
      t.is(reader.corrupt, 0);
      t.is(reader.disordered, 0);
      t.true(reader.read > 0);
    }
    t.true(after.scanner.placed > 0);
    memory.close();
    const left = tellingFrames(path);
    t.deepEqual([left.wrong, left.corrupt, left.last], [0, 0, after.ticket]);
    t.true(left.placed > 0, "what was marked outlives the memory");
  });

for (const [kind, pinned] of [
  ["renewed", false],
  ["pinned", true],
] as [string, boolean][])
  test(`${kind}: killed while it marks, every acknowledged frame is there, and what nothing names is free`, async (t) => {
    if (!existsSync(memoryFolder)) return skip(t, `there is no ${memoryFolder}`);
    const path = await store(t, memoryFolder, 32 << 20);
    const module = fileURLToPath(new URL("../support/native-frame-memory.js", import.meta.url));
    const life = `import(${JSON.stringify(module)}).then(({frameMemory})=>{const m=frameMemory(${JSON.stringify(path)},
      {place:1,chunks:1024});if(${pinned})m.pin();for(;;){const f=m.run(50);require("fs").writeSync(1,f.ticket+" "+f.marked+"\\n")}})`;
    const victim = spawn(process.execPath, ["-e", life], { stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    await new Promise<void>((resolve) => {
      victim.stdout.on("data", (data) => {
        told += data;
        if (Number(told.trim().split(/\s/).at(-1)) > 6000) resolve();
      });
    });
    const dead = new Promise((resolve) => victim.once("close", resolve));
    victim.kill("SIGKILL");
    await dead;
    const acknowledged = Number(told.trim().split("\n").slice(0, -1).at(-1)!.split(" ")[0]);
    const reopened = frameMemory(path, { place: 2 }); // recovers; takes no blocks of its own
    const held = scanStore(path).blocks.filter((block) => block.kind === 2);
    const oldest = scanStore(path)
      .blocks.filter((block) => block.kind === 1 && block.frameCount > 0)
      .reduce((least, block) => (block.serial < least ? block.serial : least), 1n << 62n);
    t.true(held.length > 0 && held.every((block) => block.heldUntil >= oldest));
    const found = tellingFrames(path);
    t.log(`acknowledged ${acknowledged}, found up to ${found.last}, ${found.placed} of ${found.read} marked in place`);
    t.true(found.last >= acknowledged && found.placed > 0);
    t.deepEqual([found.wrong, found.corrupt, found.disordered], [0, 0, 0]);
    reopened.close();
  });
