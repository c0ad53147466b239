import { spawnSync } from "node:child_process";

const present = new Map<string, boolean>();

/** Whether a program such as tcpdump can be run here. Tests that need one skip without it. */
export function hasTool(name: string): boolean {
  const known = present.get(name);
  if (known !== undefined) return known;
  const found = spawnSync(name, ["--version"], { stdio: "ignore" }).error === undefined;
  present.set(name, found);
  return found;
}

/** Runs a program over `input` and gives its standard output; null when it ends with an error. */
export function runTool(name: string, args: readonly string[], input?: Uint8Array): Buffer | null {
  const result = spawnSync(name, args, {
    ...(input ? { input } : {}),
    stdio: [input ? "pipe" : "ignore", "pipe", "ignore"],
    maxBuffer: 2 ** 30,
  });
  return result.status === 0 ? result.stdout : null;
}
