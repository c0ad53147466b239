// Log, kill, recover: a daemon is killed in mid-traffic, and every frame that somebody had received is in its store.
//
//   node dist/examples/log-kill-recover.js
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openStore } from "../logger/reader.js";
import { recoverStore } from "../logger/store.js";
import { openPort } from "../native/port-client.js";
import { textOf, udpFrame } from "./frames.js";

const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "paste-example-"));
const control = join(folder, "control.sock");
const store = join(folder, "lab.store");

// A daemon in a process of its own; "strict" is its default: what a rule selects is durable before it leaves.
const program = fileURLToPath(new URL("../cli/main.cjs", import.meta.url));
const daemon = spawn(process.execPath, [
  program,
  ...["daemon", "--control", control, "--store", store, "--size", "16M", "--log", "udp"],
]);
await new Promise<void>((resolve) => daemon.stdout.on("data", (text) => String(text).includes("ready") && resolve()));

const alice = openPort({ socket: join(folder, "ports.sock"), name: "vale0:alice", reconnectMs: 0 });
const bob = openPort({ socket: join(folder, "ports.sock"), name: "vale0:bob", reconnectMs: 0 });
let sent = 0;
let last = 0;
while (last < 5000) {
  const batch = Array.from({ length: Math.min(64, alice.room) }, () => udpFrame(1, 2, 7, String(++sent)));
  alice.send(batch);
  for (const frame of bob.receive()) last = Number(textOf(frame));
  if (last < sent - 500) await bob.wait();
}
daemon.kill("SIGKILL");
await new Promise((resolve) => daemon.on("exit", resolve));
for (const frame of bob.receive()) last = Number(textOf(frame));
console.log(`killed in mid-traffic; the last frame that bob saw is number ${last}`);

const report = await recoverStore(store);
console.log(`recovered: records ${report.firstSequence} to ${report.lastSequence}`);

let kept = 0;
const reader = openStore(store);
for await (const batch of reader.frames()) for (const frame of batch) kept = Number(textOf(frame.bytes));
reader.close();
console.log(
  `the last frame in the store is number ${kept}: ${kept >= last ? "nothing that was seen is lost" : "LOST"}`,
);
rmSync(folder, { recursive: true });
if (kept < last) process.exitCode = 1;
