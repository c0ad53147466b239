import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { commands } from "../../cli/commands.js";
import { runCli } from "./run-cli.js";

/** Ends the program at once when it loads a native addon. */
const noAddons = mkdtempSync(join(tmpdir(), "paste-help-"));
const guard = join(noAddons, "guard.cjs");
writeFileSync(guard, 'process.dlopen = () => { process.stderr.write("an addon was loaded\\n"); process.exit(99); };\n');
test.after.always(() => rmSync(noAddons, { recursive: true }));
const guarded = { nodeOptions: ["--require", guard] };

test("help names every command, and needs no addon", async (t) => {
  const { status, stdout, stderr } = await runCli(["--help"], guarded);
  t.is(status, 0);
  t.is(stderr, "");
  for (const [name, { summary }] of Object.entries(commands))
    t.true(stdout.includes(name) && stdout.includes(summary), name);
});

for (const name of Object.keys(commands))
  test(`help of ${name} has examples, and needs no addon`, async (t) => {
    const { status, stdout, stderr } = await runCli([name, "--help"], guarded);
    t.is(stderr, "");
    t.is(status, 0);
    t.true(stdout.startsWith(`Usage: paste-switch ${name} `), stdout);
    const section = /\nCommands:\n((?: {2}.*\n)*)/.exec(stdout)?.[1] ?? "";
    const listed = [...section.matchAll(/^ {2}([a-z]+)/gm)].map((match) => match[1]!).filter((word) => word !== "help");
    t.regex(stdout, listed.length === 0 ? /^Examples?:$/m : /^ {2}help \[command\] +print a command's help$/m);
    for (const word of listed) {
      const inner = await runCli([name, word, "--help"], guarded);
      t.is(inner.status, 0, `${name} ${word}`);
      t.regex(inner.stdout, /^Examples?:\n {2}paste-switch /m, `${name} ${word}`);
    }
  });

test("help takes a command and its subcommand, and says which one it does not know", async (t) => {
  for (const words of [[], ["query"], ["mac", "list"], ["store", "verify"]])
    t.deepEqual(await runCli(["help", ...words], guarded), await runCli([...words, "--help"], guarded));
  for (const words of [["bogus"], ["mac", "bogus"], ["query", "bogus"]]) {
    const { status, stdout, stderr } = await runCli(["help", ...words], guarded);
    t.is(status, 2);
    t.is(stdout, "");
    const help = words.length === 1 ? "--help" : `help ${words[0]}`;
    t.is(stderr, `paste-switch: unknown command '${words.join(" ")}': see \`paste-switch ${help}\`\n`);
  }
});

test("the version is the package's", async (t) => {
  t.deepEqual(await runCli(["--version"], guarded), { status: 0, stdout: "0.1.0\n", stderr: "" });
});

test("no command is wrong usage, and prints help", async (t) => {
  const { status, stdout, stderr } = await runCli([], guarded);
  t.is(status, 2);
  t.is(stdout, "");
  t.true(stderr.startsWith("Usage: paste-switch"));
});
