// A file system without room for the store: refused before anything is made, or a smaller store, never a SIGBUS.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { packageRoot } from "../../native/load.js";
import { skip } from "../support/skip.js";
import { DaemonProcess, smallStore, testFolder } from "../switch/daemon-process.js";
import { cliPath } from "./run-cli.js";

const cli = `"${process.execPath}" "${cliPath}"`;

/** Runs shell lines in a folder with 20 MiB of memory that is mounted for them alone; null where that is not allowed. */
function inSmallMemory(t: ExecutionContext, lines: string[]): { status: number | null; output: string } | null {
  const folder = testFolder(t);
  const user = process.getuid!() === 0 ? [] : ["--map-root-user"];
  const script = [
    `cd "${folder}" && mkdir small && mount -t tmpfs -o size=20M none small || exit 99`,
    "cd small",
    ...lines,
  ].join("\n");
  const { status, stdout, stderr, error } = spawnSync("unshare", [...user, "--mount", "sh", "-c", script], {
    encoding: "utf8",
    env: { ...process.env, PASTE_SWITCH_CONTROL: "", PASTE_SWITCH_DEBUG: "", XDG_RUNTIME_DIR: folder },
  });
  if (error || status === 99 || /unshare( failed|:)/.test(stderr)) return null;
  return { status, output: stdout + stderr };
}

const capture = "../shared/captures/ndpi/opera-vpn.pcapng";

test("a store that does not fit is refused, and leaves no file", (t) => {
  const ran = inSmallMemory(t, [`${cli} store create --size 64M a.store; echo status $?`, "ls"]);
  if (!ran) return skip(t, "no file system can be mounted here");
  t.regex(
    ran.output,
    /paste-switch: a\.store: 67108864 bytes are needed and \d+ are free on this tmpfs: choose[^\n]*\n/,
  );
  t.regex(ran.output, /^status 1$/m);
  t.notRegex(ran.output, /^a\.store$/m);
});

test("a sparse store takes what the file system has room for, and counts the rest", (t) => {
  const file = join(process.cwd(), capture);
  if (!existsSync(file)) return skip(t, `${capture} is not there`);
  const ran = inSmallMemory(t, [
    `${cli} store create --sparse --size 19M a.store`,
    "head -c 19500K /dev/zero > fill",
    // The huge page that the directory lies in has room for the first one.
    `${cli} import --full stop --store a.store "${file}" "${file}"; echo status $?`,
    `${cli} store verify a.store; echo status $?`,
    "rm fill",
    `${cli} import --full stop --store a.store "${file}"; echo status $?`,
    "head -c 22M /dev/zero > fill",
    `${cli} store create --sparse --size 16M b.store; echo status $?`,
  ]);
  if (!ran) return skip(t, "no file system can be mounted here");
  const [full, verified, roomy, refused] = [...ran.output.matchAll(/^status (\d+)$/gm)].map((match) =>
    Number(match[1]),
  );
  t.is(full, 1, ran.output);
  t.regex(ran.output, /paste-switch: a\.store is full: [1-9][\d,]* frames not taken/);
  t.is(verified, 0, ran.output);
  t.is(roomy, 0, ran.output);
  t.is(refused, 1, ran.output);
  t.regex(
    ran.output,
    /paste-switch: b\.store: \d+ bytes are needed for its directory and the tmpfs is full: make room/,
  );
});

test("a sparse tree for which there is no room leaves no file; one that finds none later says so, and keeps its batch", (t) => {
  const tree = join(packageRoot(), "dist", "native", "tree.js");
  const script = `
    import { execSync } from "node:child_process";
    import { rmSync } from "node:fs";
    import { createTree, Tree } from ${JSON.stringify(tree)};
    const fails = async (what) => { try { await what(); console.log("no error"); } catch ({ code, message }) { console.log(code, message); } };
    createTree("a.tree", { sizeBytes: 8 << 20, sparse: true });
    const a = Tree.open("a.tree");
    execSync("head -c 22M /dev/zero > fill 2>/dev/null || true");
    await fails(() => createTree("b.tree", { sizeBytes: 8 << 20, sparse: true }));
    for (let i = 0; i < 2000; i++) a.put(Buffer.from("key " + i), Buffer.alloc(1000, i));
    await fails(() => a.commit());
    rmSync("fill");
    console.log("generation", await a.commit(), a.get(Buffer.from("key 1999")).length);`;
  const ran = inSmallMemory(t, [`"${process.execPath}" --input-type=module -e '${script}'`, "ls"]);
  if (!ran) return skip(t, "no file system can be mounted here");
  t.regex(
    ran.output,
    /^RESOURCE b\.tree: the tmpfs has no space for the tree's first pages: make room, or name another place$/m,
  );
  t.regex(
    ran.output,
    /^RESOURCE a\.tree: the file system has no space for \d+ bytes at byte \d+ of the sparse tree: make room$/m,
  );
  t.regex(ran.output, /^generation 2 1000\na\.tree$/m);
});

test("the daemon says that the file system is full, and forwards without a log, or with a smaller store", async (t) => {
  const ran = inSmallMemory(t, [
    // A block is as large as the huge page that the directory lies in, so that none fits there.
    `${cli} store create --sparse --size 19M --block 2M a.store`,
    "head -c 22M /dev/zero > fill 2>/dev/null",
    `${cli} daemon --control ../c.sock --store a.store --log '' > ../said 2>&1 & daemon=$!`,
    "until grep -q ^ready ../said; do kill -0 $daemon || break; sleep 0.05; done",
    `${cli} stats --control ../c.sock; echo status $?`,
    "rm fill; until grep -q 'for all of its blocks' ../said; do kill -0 $daemon || break; sleep 0.05; done",
    "kill $daemon; wait $daemon; echo status $?; cat ../said",
  ]);
  if (!ran) return skip(t, "no file system can be mounted here");
  t.deepEqual(
    [...ran.output.matchAll(/^status (\d+)$/gm)].map((match) => match[1]),
    ["0", "0"],
    ran.output,
  );
  t.regex(ran.output, /^FULL +the file system has no space for (\d+) blocks of the sparse store: make room$/m);
  t.regex(ran.output, /^store: the file system has no space for (\d+) of its \1 blocks \(it is sparse\)/m);
});

test("the oldest record's time is known before a block is full", async (t) => {
  const before = Date.now();
  const daemon = await DaemonProcess.start(t, testFolder(t), [...smallStore, "--port", "vale0:a"]);
  daemon.open(t, "vale0:b");
  const { store } = await daemon.ask((client) => client.call("stats", {}));
  t.true(store!.durableSequence >= store!.firstSequence && store!.firstSequence > 0n);
  const oldestMs = Number(store!.oldestTimeNs / 1_000_000n);
  t.true(oldestMs >= before - 1 && oldestMs <= Date.now() + 1, `${oldestMs}`);
});
