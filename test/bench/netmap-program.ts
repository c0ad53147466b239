// Runs the netmap program of the benches (native/programs/netmap_bench.cc) under `paste-switch run`.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../native/index.js";

export type Mode = "tx" | "rx" | "ping" | "pong";

const program = () => join(packageRoot(), "build", "Release", "netmap_bench");

/** Started on a port; `ready` resolves when a receiver is there, `result` with the figures that it prints at its end. */
export interface NetmapProgram {
  ready: Promise<void>;
  result: Promise<Record<string, number>>;
}

export function startProgram(
  control: string,
  mode: Mode,
  port: string,
  lengthBytes: number,
  ms: number,
): NetmapProgram {
  const main = join(packageRoot(), "dist", "cli", "main.cjs");
  const args = [main, "run", "--control", control, "--", program(), mode, port, String(lengthBytes), String(ms)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  const { promise: ready, resolve: isReady } = waiting();
  child.stdout.on("data", (data: Buffer) => {
    said.stdout += data;
    if (said.stdout.startsWith("ready")) isReady();
  });
  child.stderr.on("data", (data: Buffer) => {
    said.stderr += data;
  });
  return { ready, result: answer(child, mode, said) };
}

function waiting(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function answer(
  child: ChildProcess,
  mode: Mode,
  said: { stdout: string; stderr: string },
): Promise<Record<string, number>> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(said.stdout.trim().split("\n").at(-1)!));
      else reject(new Error(`the netmap program (${mode}) ended with ${code}: ${said.stderr.trim()}`));
    });
  });
}
