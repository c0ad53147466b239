import { join } from "node:path";
import test from "ava";
import { packageRoot } from "../support/skip.js";

interface Report {
  countTests(output: string, skipLog: string, exitCode: number): { passed: number; failed: number; skipped: number };
  describeSkips(skipLog: string): string[];
}
const report = (await import(join(packageRoot, "scripts/test-report.mjs"))) as Report;
const skips = [
  { test: "a", reason: "no tcpdump here", part: false },
  { test: "b", reason: "no tshark here", part: true },
  { test: "b", reason: "no tshark here", part: true },
]
  .map((skip) => `${JSON.stringify(skip)}\n`)
  .join("");

const runs = [
  { title: "all passed", output: "  ✔ a\n  ─\n\n  3 tests passed\n", log: "", code: 0, expected: [3, 0, 0] },
  { title: "with colours", output: "\u001b[32m  1 test passed\u001b[39m\n", log: "", code: 0, expected: [1, 0, 0] },
  {
    title: "failures of every kind",
    output: "  2 hooks failed\n  1 test failed\n  4 tests passed\n  1 unhandled rejection\n  1 uncaught exception\n",
    log: "",
    code: 1,
    expected: [4, 5, 0],
  },
  {
    title: "skips of both kinds",
    output: "  5 tests passed\n  1 test skipped\n",
    log: skips,
    code: 0,
    expected: [4, 0, 4],
  },
  { title: "a run that died", output: "", log: "", code: 1, expected: [0, 1, 0] },
  {
    title: "a time-out",
    output: "  1 test passed\n  2 tests remained pending after a timeout\n",
    log: "",
    code: 1,
    expected: [1, 2, 0],
  },
];
for (const { title, output, log, code, expected } of runs)
  test(`the closing count: ${title}`, (t) => {
    const counts = report.countTests(output, log, code);
    t.deepEqual([counts.passed, counts.failed, counts.skipped], expected);
  });

test("the closing lines give each reason once, the most frequent first", (t) => {
  t.deepEqual(report.describeSkips(skips), ["skipped 2 x no tshark here", "skipped 1 x no tcpdump here"]);
});
