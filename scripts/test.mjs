// Runs ava (arguments are passed on), keeps its output, and closes with the one line that says how many tests passed, failed
// and were skipped, and why. Tests skip through test/support/skip.ts, which leaves a line in build/test-skips.log for each.
// The exit code is ava's own.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { countTests, describeSkips } from "./test-report.mjs";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const ava = join(root, "node_modules", "ava", "entrypoints", "cli.mjs");
const skipLog = join(root, "build", "test-skips.log");

mkdirSync(join(root, "build"), { recursive: true });
rmSync(skipLog, { force: true });

const env = { ...process.env };
// Node reads these certificates at each of its starts, 40 ms of CPU time for a system's; tests start it often and speak no TLS.
delete env.NODE_EXTRA_CA_CERTS;
if (process.stdout.isTTY && env.NO_COLOR === undefined) env.FORCE_COLOR ??= "1";
const child = spawn(process.execPath, [ava, ...process.argv.slice(2)], {
  cwd: root,
  env,
  stdio: ["inherit", "pipe", "inherit"],
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));

const output = [];
child.stdout.on("data", (chunk) => {
  output.push(chunk);
  process.stdout.write(chunk);
});
child.on("close", (code, signal) => {
  const exitCode = code ?? 1;
  const skips = existsSync(skipLog) ? readFileSync(skipLog, "utf8") : "";
  const counts = countTests(Buffer.concat(output).toString("utf8"), skips, exitCode);
  if (signal) process.stdout.write(`ava was ended by ${signal}\n`);
  for (const line of describeSkips(skips)) process.stdout.write(`${line}\n`);
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  process.exitCode = exitCode;
});
