import { type Command, oneStore } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

interface TraceFlags extends InstanceFlags {
  read?: string;
  neighbours?: string;
  json?: boolean;
  utc?: boolean;
}

export function define(command: Command): void {
  addInstanceOptions(command)
    .argument("<sequence>", "the frame's number in the store: query -# shows it, pcapng has it as packet id")
    .option("-r, --read <store>", "a store (default: the running daemon's)", oneStore)
    .option("-N, --neighbours <n>", "so many frames of its flow before and after it (default: 3)")
    .option("--utc", "times in UTC")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      `
Tells when the frame came in and where, what the MAC table said then of its two addresses, where it went or why it did
not, which rule kept it, and what its flow did around it; then its line and its bytes. What the log cannot know is
said.

Examples:
  paste-switch trace 1234
  paste-switch trace -r lab.store --json 1234`,
    )
    .action(trace);
}

async function trace(text: string, flags: TraceFlags): Promise<void> {
  const { traceFrame } = await import("../../logger/trace.js");
  const { parseSequence, parseWhole } = await import("../../switch/units.js");
  const { readStore } = await import("../sources.js");
  const { storyJson, storyText } = await import("../trace-text.js");
  const { interruption } = await import("../progress.js");
  const sequence = parseSequence(text, "the sequence");
  const store = await readStore(flags);
  const story = await traceFrame(store, sequence, {
    signal: interruption(),
    ...(flags.neighbours === undefined ? {} : { neighbours: parseWhole(flags.neighbours, "-N", 0, 1000) }),
  });
  const { utc = false } = flags;
  process.stdout.write(flags.json ? storyJson(story, utc) : storyText(story, utc));
}
