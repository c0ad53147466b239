// Replay from the command line, into a daemon.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import test from "ava";
import { storedFrames, storeWith } from "../logger/store-tools.js";
import { skip } from "../support/skip.js";
import { hasTool } from "../support/tools.js";
import { DaemonProcess, numberedFrame, receiveFrames, testFolder } from "../switch/daemon-process.js";
import { cliPath, runCli } from "./run-cli.js";

const firstNs = 1_700_000_000_000_000_000n;
const frames = Array.from({ length: 100 }, (_, i) => ({
  data: numberedFrame(1, 0xff, i, 64),
  wireLength: 64,
  timeNs: firstNs + BigInt(i) * 1_000_000n,
}));

test("how far, what is rewritten, what is damaged, and how it ends", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, []);
  const store = await storeWith(t, frames, { ports: ["vale0:a"], folder });
  const replay = (...args: string[]) =>
    runCli(["replay", "--control", daemon.control, "-r", store, "-i", "vale0:a", "-t", ...args]);
  const sent = async (...args: string[]) => {
    const { status, stdout, stderr } = await replay("--json", ...args);
    t.is(status, 0, stderr);
    return JSON.parse(stdout);
  };
  const tenth = (await storedFrames(store))[9]!;
  t.is((await sent("--until", `${tenth.sequence}`)).sentFrames, 10);
  t.is((await sent("--until", `#${tenth.sequence}`)).sentFrames, 10);
  t.is((await sent("--until", `${tenth.timeNs}`)).sentFrames, 9);
  t.is((await sent("--until", "1999-01-01T00:00:00Z")).sentFrames, 0);

  const sink = daemon.open(t, "vale0:sink");
  t.is(
    (await sent("-L", "1", "--rewrite-vlan", "add:7", "--rewrite-mac", "02:00:00:00:00:01=02:00:00:00:00:99"))
      .rewritten,
    1,
  );
  const [tagged] = await receiveFrames(sink, 1);
  t.is(tagged!.toString("hex", 6, 16), "02000000009981000007");

  const past = await replay("-L", "1", "--start-at", "1 hour ago");
  t.is(past.status, 0, past.stderr);
  t.regex(past.stderr, /^--start-at was 1 h ago: the replay begins at once$/m);
  t.regex(past.stderr, /^began 1 h later than --start-at$/m);

  const bytes = readFileSync(store);
  const at = bytes.indexOf(frames[50]!.data.subarray(0, 40));
  bytes[at + 20] = bytes[at + 20]! ^ 1;
  writeFileSync(store, bytes);
  const damaged = await replay("--stats");
  t.is(damaged.status, 1);
  t.regex(
    damaged.stderr,
    /^99 frames, [\s\S]*^paste-switch: what lay at 1 damaged place of the store is left out: see `paste-switch store verify`\n$/m,
  );
  t.regex(damaged.stderr, /^began .*, ended /m);

  const nowhere = await runCli(["replay", "--control", daemon.control, "-r", store, "-i", "vale0:x", "-i", "vale0:y"]);
  t.is(nowhere.status, 1);
  t.regex(nowhere.stderr, /none of 99 frames goes into any of vale0:x, vale0:y: they came from vale0:a/);

  for (const [args, message] of [
    [["--rewrite-vlan", "none"], /no change of a VLAN/],
    [["--until", "soon"], /--until "soon": write 14:00/],
    [["--start-at", "#5"], /--start-at "#5"/],
    [["--marker", "x".repeat(41)], /at most 40 printable/],
  ] as const) {
    const refused = await replay(...args);
    t.is(refused.status, 2);
    t.regex(refused.stderr, message);
  }
});

test("an interrupted replay says how far it came", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, []);
  const store = await storeWith(t, frames, { ports: ["vale0:a"], folder });
  const sink = daemon.open(t, "vale0:sink");
  const args = ["replay", "--control", daemon.control, "-r", store, "-i", "vale0:a", "-l", "0"];
  const child = spawn(process.execPath, [cliPath, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text: Buffer) => {
    said += text;
  });
  const exit = new Promise((resolve) => child.once("close", resolve));
  await receiveFrames(sink, 150);
  child.kill("SIGINT");
  t.is(await exit, 0, said);
  t.regex(said, /^\d+ frames, .*, interrupted$/m);
});

test("on a terminal, too, a wrong option ends it", async (t) => {
  if (!hasTool("script")) return skip(t, "script, which makes a terminal, is not installed");
  const store = await storeWith(t, frames, { ports: ["vale0:a"], folder: testFolder(t) });
  const command = `'${process.execPath}' '${cliPath}' replay -r '${store}' -i vale0:a -x fast`;
  // The limit only ends one that hangs.
  const { status, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], { timeout: 60_000, encoding: "utf8" });
  t.is(status, 2, stdout);
  t.regex(stdout, /-x: "fast" is no number above 0/);
});
