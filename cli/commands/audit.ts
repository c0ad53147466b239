import type { AuditReport } from "../../switch/audit.js";
import { type Command, repeated } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

interface AuditFlags extends InstanceFlags {
  read?: string;
  config?: string;
  port?: string[];
  whatIf?: string;
  limit?: string;
  json?: boolean;
  utc?: boolean;
}

export function define(command: Command): void {
  addInstanceOptions(command)
    .option("-r, --read <store>", "the store to check (default: the running daemon's)")
    .option("-f, --config <file>", "the configuration it was logged with (default: the daemon's, if there is a file)")
    .option("--port <spec>", "a port's options then, such as vale0:a,access=5; may be repeated", repeated)
    .option("--what-if <file>", "what a switch with this configuration would have done instead")
    .option("-n, --limit <n>", "frames to list at most (1000); all are counted")
    .option("--json", "the whole report as JSON")
    .option("--utc", "times in UTC")
    .addHelpText(
      "after",
      `
Sends what was logged through the switch once more, in this process and without a port, and compares: with the same
configuration every recorded outcome must come out again; each frame that differs is listed, and the exit code is 1. With
--what-if the frames are listed that would have gone elsewhere. What the log cannot tell (rings that were full, addresses
learned before it begins) is counted as not judged; logger/REPLAY.md says when. Of the configuration ports' VLANs and mirrors
and the learning table count; a port that is not in it is transparent.

Examples:
  paste-switch audit
  paste-switch audit -r lab.store -f lab.toml
  paste-switch audit -r lab.store --port vale0:a,access=5 --port vale0:b,trunk=all
  paste-switch audit -r lab.store -f lab.toml --what-if planned.toml -n 20`,
    )
    .action(audit);
}

async function audit(flags: AuditFlags): Promise<void> {
  const { auditStore, auditConfig } = await import("../../switch/audit.js");
  const { locateInstance } = await import("../../switch/instance.js");
  const { parseWhole } = await import("../../switch/units.js");
  const { formatJson } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const { readStore } = await import("../sources.js");
  const source = await readStore(flags);
  const progress = new Progress("checked");
  const report = await auditStore({
    source,
    recorded: await auditConfig(flags.config, locateInstance(flags).config, flags.port),
    ...(flags.whatIf === undefined ? {} : { other: await auditConfig(flags.whatIf) }),
    ...(flags.limit === undefined ? {} : { limit: parseWhole(flags.limit, "-n", 0, 1e6) }),
    signal: interruption(),
    onProgress: (frames) => progress.show(frames),
  }).finally(() => progress.end());
  if (flags.json) process.stdout.write(`${formatJson(report)}\n`);
  else process.stdout.write(await text(report, flags));
  if (report.differ > 0 && flags.whatIf === undefined) process.exitCode = 1;
}

async function text(report: AuditReport, { whatIf, utc }: AuditFlags): Promise<string> {
  const { doubtTexts } = await import("../../switch/audit.js");
  const { formatCount, formatOf, formatTable, formatTime } = await import("../format.js");
  const { safeName } = await import("../../logger/print/plain-text.js");
  const { findings, notJudged, counters } = report;
  const rows = findings.map((each) => [
    `${each.sequence}`,
    formatTime(each.timeNs, utc),
    ...[each.ingress, each.was, each.would].map(safeName),
  ]);
  const [was, would] = whatIf ? ["went", "would have gone"] : ["recorded", "the switch does"];
  const table = rows.length > 0 ? `${formatTable(["sequence", "time", "from", was, would], rows, ["sequence"])}` : "";
  const more = report.differ - findings.length;
  const elsewhere = whatIf ? "would have gone elsewhere" : "differ";
  const lines = [
    ...(more > 0 && findings.length > 0 ? [`... and ${formatCount(more)} more`] : []),
    `${formatOf(report.frames, "frame")}: ${formatCount(report.same)} ${whatIf ? "unchanged" : "as recorded"}, ` +
      `${formatCount(report.differ)} ${elsewhere}${report.aborted ? " (interrupted)" : ""}`,
    ...Object.entries(doubtTexts)
      .filter(([doubt]) => notJudged[doubt as keyof typeof notJudged] > 0)
      .map(([doubt, why]) => `not judged: ${formatCount(notJudged[doubt as keyof typeof notJudged])} (${why})`),
    ...(counters.corrupt > 0 ? [`${formatOf(counters.corrupt, "damaged record")} left out`] : []),
    ...(counters.overtaken > 0 ? [`${formatOf(counters.overtaken, "block")} overwritten before being read`] : []),
  ];
  return `${table}${lines.join("\n")}\n`;
}
