// The closing count of a test run: what ava printed, and what the tests themselves said that they skipped.
import { stripVTControlCharacters } from "node:util";

const failureLines = [
  /^ {2}(\d+) tests? failed$/,
  /^ {2}(\d+) hooks? failed$/,
  /^ {2}(\d+) uncaught exceptions?$/,
  /^ {2}(\d+) unhandled rejections?$/,
  /^ {2}(\d+) tests? remained pending after a timeout$/,
];

/** The lines of build/test-skips.log, one JSON object each: {test, reason, part}. */
function parseSkips(log) {
  return log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** What the last line of `output` that fits `pattern` counts; 0 without one. ava prints its summary at the very end. */
function lastCount(lines, pattern) {
  for (let i = lines.length - 1; i >= 0; i--) {
    const match = pattern.exec(lines[i]);
    if (match) return Number(match[1]);
  }
  return 0;
}

/**
 * Counts of a run from ava's printed summary and the skip log. A test that skipped as a whole counts as skipped and not as
 * passed; one that skipped a part of its work counts as passed, and the part as skipped. A run that failed counts one
 * failure at least.
 */
export function countTests(output, skipLog, exitCode) {
  const lines = stripVTControlCharacters(output).split(/\r?\n/);
  const skips = parseSkips(skipLog);
  const whole = new Set(skips.filter((skip) => !skip.part).map((skip) => skip.test)).size;
  const parts = skips.filter((skip) => skip.part).length;
  const known = lastCount(lines, /^ {2}(\d+) known failures?$/);
  // A run with failures does not say how many passed: then the lines of the tests that did are counted.
  const ticked = lines.filter((line) => /^ {2}✔ /.test(line)).length;
  const passed = (lastCount(lines, /^ {2}(\d+) tests? passed$/) || ticked) + known;
  const skipped = lastCount(lines, /^ {2}(\d+) tests? skipped$/) + lastCount(lines, /^ {2}(\d+) tests? todo$/);
  const failed = failureLines.reduce((sum, pattern) => sum + lastCount(lines, pattern), 0);
  return {
    passed: Math.max(0, passed - whole),
    failed: exitCode === 0 ? failed : Math.max(1, failed),
    skipped: skipped + whole + parts,
  };
}

/** One line per reason, most frequent first, with how many tests or parts of tests gave it. */
export function describeSkips(skipLog) {
  const reasons = new Map();
  for (const { reason } of parseSkips(skipLog)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  return [...reasons].sort((a, b) => b[1] - a[1]).map(([reason, count]) => `skipped ${count} x ${reason}`);
}
