import { spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../native/load.js";

export const cliPath = join(packageRoot(), "dist", "cli", "main.cjs");

export interface CliResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line program to its end. `nodeOptions` go before the script. */
export function runCli(
  args: string[],
  { env = {}, nodeOptions = [], cwd }: { env?: Record<string, string>; nodeOptions?: string[]; cwd?: string } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...nodeOptions, cliPath, ...args], {
      env: { ...process.env, PASTE_SWITCH_DEBUG: "", PASTE_SWITCH_CONTROL: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...(cwd === undefined ? {} : { cwd }),
    });
    const result: CliResult = { status: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      result.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      result.stderr += text;
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ ...result, status }));
  });
}
