import type { Command } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

interface StatsFlags extends InstanceFlags {
  json?: boolean;
  prometheus?: boolean;
  watch?: boolean | string;
  count?: string;
}

export function define(command: Command): void {
  addInstanceOptions(command)
    .option("--watch [seconds]", "again and again, every so many seconds (default: 1)")
    .option("-c, --count <n>", "with --watch: so many times (default: until interrupted)")
    .option("--json", "as JSON, one object a line with --watch; units are the last word of a name")
    .option("--prometheus", "in Prometheus' text format")
    .addHelpText(
      "after",
      `
Every frame is accounted for, and the sums are exact:
  received = forwarded (at least one copy delivered) + dropped, by reason   per ingress
  copies intended = delivered + refused, by reason                           per egress
  selected by a rule = logged + not logged, by reason                        of the store

Examples:
  paste-switch stats
  paste-switch stats --watch 5
  paste-switch stats --json | jq '.ports[] | {name, dropped: .counters.dropped}'`,
    )
    .action(stats);
}

async function stats(flags: StatsFlags): Promise<void> {
  const { formatJson } = await import("../format.js");
  const { prometheusText } = await import("../prometheus-text.js");
  const { statsText } = await import("../stats-text.js");
  const { parseWhole } = await import("../../switch/units.js");
  const seconds = typeof flags.watch === "string" ? parseWhole(flags.watch, "--watch", 1, 300) : 1;
  const count = flags.count === undefined ? Infinity : parseWhole(flags.count, "-c", 1, 2 ** 31);
  let stopped = false;
  let wake = () => {};
  process.on("SIGINT", () => {
    stopped = true;
    wake();
  });
  const pause = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  await withDaemon(flags, async (client) => {
    for (let round = 1; ; round++) {
      const answer = await client.call("stats", {});
      const clear = flags.watch && process.stdout.isTTY ? "\x1b[H\x1b[2J" : "";
      if (flags.prometheus) process.stdout.write(prometheusText(answer));
      else
        process.stdout.write(flags.json ? `${formatJson(answer, flags.watch ? 0 : 2)}\n` : clear + statsText(answer));
      if (!flags.watch || round >= count || stopped) return;
      if (!flags.json && !process.stdout.isTTY) process.stdout.write("\n");
      await pause();
      if (stopped) return;
    }
  });
}
