import { appendFileSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";

/** The package's root folder, wherever the compiled tests lie below it. */
export const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(folder: string): string {
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/**
 * Says that this test cannot run here, and why: in ava's log and in the closing count of `npm test`. The caller returns
 * right after it. ava counts a test without assertions as failed, so the skip passes one.
 */
export function skip(t: ExecutionContext, reason: string): void {
  t.log(`SKIP ${reason}`);
  record(t, reason, false);
  t.pass();
}

/** Says that a part of this test's work (one file, one tool) cannot be done here. The test goes on and asserts the rest. */
export function skipPart(t: ExecutionContext, reason: string): void {
  t.log(`SKIP ${reason}`);
  record(t, reason, true);
}

// One short line per skip, appended in one write: test files run in processes of their own.
function record(t: ExecutionContext, reason: string, part: boolean): void {
  mkdirSync(join(packageRoot, "build"), { recursive: true });
  appendFileSync(
    join(packageRoot, "build", "test-skips.log"),
    `${JSON.stringify({ test: `${test.meta.file} ${t.title}`, reason, part })}\n`,
  );
}
