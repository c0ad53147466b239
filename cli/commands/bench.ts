import type { Command } from "../commander.js";

export function define(command: Command): void {
  command
    .argument(
      "[name...]",
      "export, extcap, forward, index, log, ports, processes, query, replay, run, scan, stenoread, tail, tree; none: all of them",
    )
    .option("--quick", "a few frames only: proves that it runs, measures nothing")
    .option("--rounds <n>", "rounds of each measurement (default: 7; with --quick 2)")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      `
Sides that are compared run in turn, A B A B; the ratio is the median of the ratios pair by pair. Machines are noisy:
quote ratios.

Examples:
  paste-switch bench forward
  paste-switch bench log --rounds 15 --json > log.json`,
    )
    .action(bench);
}

async function bench(names: string[], flags: { quick?: boolean; rounds?: string; json?: boolean }): Promise<void> {
  const { benchText, runBenches } = await import("../../test/bench/run.js");
  const { parseWhole } = await import("../../switch/units.js");
  const { loadAddon } = await import("../../native/load.js");
  loadAddon("paste_switch");
  const report = await runBenches({
    names,
    quick: flags.quick ?? false,
    ...(flags.rounds === undefined ? {} : { rounds: parseWhole(flags.rounds, "--rounds", 1, 1000) }),
    progress: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(flags.json ? `${JSON.stringify(report, null, 2)}\n` : benchText(report));
}
