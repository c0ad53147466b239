import test from "ava";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatJson,
  formatReasons,
  formatTable,
  formatTime,
  onOvertaken,
  overtakenText,
} from "../../cli/format.js";
import { runCli } from "./run-cli.js";

const table: [title: string, actual: string, expected: string][] = [
  ["count", formatCount(0), "0"],
  ["count of thousands", formatCount(1234567), "1,234,567"],
  ["count of a bigint", formatCount(12345678901234567890n), "12,345,678,901,234,567,890"],
  ["bytes", formatBytes(0), "0 B"],
  ["bytes below a unit", formatBytes(1023), "1023 B"],
  ["a kibibyte", formatBytes(1024), "1 KiB"],
  ["two digits", formatBytes(1.25 * 2 ** 20), "1.25 MiB"],
  ["one digit", formatBytes(12.34 * 2 ** 20), "12.3 MiB"],
  ["no digits", formatBytes(123.4 * 2 ** 30), "123 GiB"],
  ["a full unit is the next one", formatBytes(2 ** 30 - 1), "1 GiB"],
  ["microseconds", formatDuration(0.0032), "3.2 us"],
  ["milliseconds", formatDuration(12), "12 ms"],
  ["seconds", formatDuration(4500), "4.5 s"],
  ["minutes", formatDuration(125_000), "2 min 5 s"],
  ["hours", formatDuration(3 * 3_600_000 + 4 * 60_000 + 5000), "3 h 4 min"],
  ["days", formatDuration(2 * 86_400_000), "2 d"],
  ["reasons", formatReasons({ full: 3, gone: 0, runt: 1000 }), "full 3, runt 1,000"],
  ["a time in UTC", formatTime(1_700_000_000_123_456_789n, true), "2023-11-14 22:13:20.123456789Z"],
  [
    "exact integers in JSON",
    formatJson({ at: 1_700_000_000_123_456_789n, text: "1" }, 0),
    '{"at":1700000000123456789,"text":"1"}',
  ],
  [
    "a table",
    formatTable(
      ["a", "n"],
      [
        ["xyz", "1"],
        ["x", "22"],
      ],
      ["n"],
    ),
    "a     n\nxyz   1\nx    22\n",
  ],
];
for (const [title, actual, expected] of table) test(title, (t) => t.is(actual, expected));

test("a local time carries its offset", (t) => {
  t.regex(formatTime(1_700_000_000_000_000_001n), /^2023-11-1[45] \d\d:\d\d:20\.000000001[+-]\d\d:\d\d$/);
});
test("a table of more rows than a call has arguments", (t) => {
  const rows = Array.from({ length: 200_000 }, (_, i) => [`${i}`, "x"]);
  t.true(formatTable(["number", "what"], rows).endsWith("199999  x\n"));
});

for (const command of ["query", "export", "replay", "tail", "audit"] as const)
  test(`${command}: what is said of overwritten blocks names options that the command has`, async (t) => {
    const text = overtakenText(2, command);
    t.regex(text, /^2 blocks overwritten before being read, .*: .+, or make a larger store$/);
    const { stdout } = await runCli([command, "--help"]);
    for (const [option] of text.matchAll(/(?<=[ (])-[-\w]+/g))
      t.regex(stdout, new RegExp(`^ +.*${option}\\b`, "m"), option);
  });

test("what helps against overwritten blocks is said once", (t) => {
  const said: string[] = [];
  const told = onOvertaken("tail", (text) => said.push(text));
  told(1);
  told(3);
  t.deepEqual(said, [overtakenText(1, "tail"), "3 more blocks overwritten before being read"]);
});
