import type { Command } from "../commander.js";

export function define(command: Command): void {
  command
    .command("check")
    .description("Check a configuration file: prints OK, or every problem with its line and key.")
    .argument("<file>", "a TOML file; examples/paste-switch.toml shows every key")
    .addHelpText(
      "after",
      `
Exits 0 when the file is right, 1 when it is not. Filters are compiled, ports' names and kinds checked; nothing is opened.

Examples:
  paste-switch config check /etc/paste-switch/default.toml
  paste-switch config check lab.toml && paste-switch daemon -f lab.toml`,
    )
    .action(check);
}

async function check(file: string): Promise<void> {
  const { dirname, resolve } = await import("node:path");
  const { parseConfig, problemText, readConfigText } = await import("../../switch/config.js");
  const { filterCompiler } = await import("../../switch/filter-compiler.js");
  const { problems } = parseConfig(readConfigText(file), dirname(resolve(file)), await filterCompiler());
  if (problems.length === 0) {
    process.stdout.write("OK\n");
    return;
  }
  for (const problem of problems) process.stdout.write(`${problemText(file, problem)}\n`);
  process.stdout.write(`${problems.length} problem${problems.length === 1 ? "" : "s"}\n`);
  process.exitCode = 1;
}
