import type { Command } from "../commander.js";

export function define(command: Command): void {
  command
    .argument("[capture]", "play this capture (pcap or pcapng); without it traffic is generated")
    .option("--json", "print what was found as JSON instead of the story")
    .option("--keep", "leave the store and the export, and say what to do with them")
    .addHelpText(
      "after",
      `
Forwards, records, kills the daemon in mid-traffic, recovers, compares, exports and replays; each step is a command
that you could type. Uses at most 48 MiB of /dev/shm, else $TMPDIR. Ends with OK, or with FAILED and exit status 1.

Examples:
  paste-switch demo
  paste-switch demo lunch.pcapng --keep`,
    )
    .action(demo);
}

async function demo(capture: string | undefined, flags: { json?: boolean; keep?: boolean }): Promise<void> {
  const { formatJson } = await import("../format.js");
  const { runDemo } = await import("../../switch/demo/demo.js");
  const { loadAddon } = await import("../../native/load.js");
  // Asked for at once: an addon that is missing is to be said before a story is begun.
  loadAddon("paste_switch");
  const { ok, facts } = await runDemo({
    capture,
    keep: flags.keep ?? false,
    print: flags.json ? () => {} : (line) => process.stdout.write(`${line}\n`),
  });
  if (flags.json) process.stdout.write(`${formatJson({ ok, ...facts }, 2)}\n`);
  if (!ok) process.exitCode = 1;
}
