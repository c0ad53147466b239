import type { AuditPort, AuditReport } from "../../switch/audit.js";
import { type Command, oneStore, repeated } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

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
    .option("-r, --read <store>", "the store to check (default: the running daemon's)", oneStore)
    .option("-f, --config <file>", "the configuration it was logged with (default: the daemon's)")
    .option("--port <spec>", "a port's options then, such as vale0:a,access=5; may be repeated", repeated)
    .option("--what-if <file>", "what a switch with this configuration would have done instead")
    .option("-n, --limit <n>", "frames to list at most (default: 1000); all are counted")
    .option("--json", "the whole report as JSON")
    .option("--utc", "times in UTC")
    .addHelpText(
      "after",
      `
Sends what was logged through the switch once more, in this process and without a port, and compares: with the same
configuration every recorded outcome must come out again; each frame that differs is listed, and the exit status is 1,
as where the store is damaged. With --what-if the frames are listed that would have gone elsewhere. What the log
cannot tell (rings that were full, addresses learned before it begins) is counted as not judged; logger/REPLAY.md says
when. Of the configuration ports' VLANs and mirrors and the learning table count; a port that is not in it is
transparent. Without -f and -r the running daemon is asked for its file and its ports; of a store that no daemon runs
on, name what its configuration was.

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
  const { parseWhole } = await import("../../switch/units.js");
  const { damageText, formatJson } = await import("../format.js");
  const { interruption, Progress } = await import("../progress.js");
  const { PasteError } = await import("../../logger/errors.js");
  const { readStore } = await import("../sources.js");
  const source = await readStore(flags);
  const { file, ports } = await recordedWith(flags);
  const progress = new Progress("checked");
  const report = await auditStore({
    source,
    recorded: await auditConfig(file, ports),
    ...(flags.whatIf === undefined ? {} : { other: await auditConfig(flags.whatIf) }),
    ...(flags.limit === undefined ? {} : { limit: parseWhole(flags.limit, "-n", 0, 1e6) }),
    signal: interruption(),
    onProgress: (frames) => progress.show(frames),
  }).finally(() => progress.end());
  if (flags.json) process.stdout.write(`${formatJson(report)}\n`);
  else process.stdout.write(await text(report, flags));
  if (report.counters.corrupt > 0) throw new PasteError("STORE", damageText(report.counters.corrupt));
  if (report.differ > 0 && flags.whatIf === undefined) process.exitCode = 1;
}

/** What the switch was configured with: as typed, or else as the running daemon says, or as its file does. Says which. */
async function recordedWith(flags: AuditFlags): Promise<{ file?: string; ports: AuditPort[] }> {
  const { parsePortSpec } = await import("../../switch/port-spec.js");
  const typed = (flags.port ?? []).map((text) => parsePortSpec(text));
  const { file, ports } =
    flags.config === undefined ? await daemonsConfiguration(flags) : { file: flags.config, ports: [] };
  const named = [...ports.filter(({ name }) => !typed.some((port) => port.name === name)), ...typed];
  const parts = [file, ports.length > 0 && "the running daemon's ports", typed.length > 0 && "--port"].filter(Boolean);
  const none = "none, so ports are taken as transparent: -f FILE or --port SPEC say what they were";
  process.stderr.write(`configuration: ${parts.join(", ") || none}\n`);
  return { ...(file !== undefined && { file }), ports: named };
}

async function daemonsConfiguration(flags: AuditFlags): Promise<{ file?: string; ports: AuditPort[] }> {
  const { existsSync } = await import("node:fs");
  const { locateInstance } = await import("../../switch/instance.js");
  const { PasteError } = await import("../../logger/errors.js");
  const { portsAtWork } = await import("../../switch/audit.js");
  if (flags.read === undefined)
    try {
      const { configPath, ports } = await withDaemon(flags, (client) => client.call("stats", {}));
      return { ...(configPath !== "" && { file: configPath }), ports: portsAtWork(ports) };
    } catch (error) {
      if (!(error instanceof PasteError)) throw error; // No daemon: then its file.
    }
  const { config } = locateInstance(flags);
  return { ...(existsSync(config) && { file: config }), ports: [] };
}

async function text(report: AuditReport, { whatIf, utc }: AuditFlags): Promise<string> {
  const { doubtTexts } = await import("../../switch/audit.js");
  const { formatCount, formatOf, formatTable, formatTime, overtakenText } = await import("../format.js");
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
    ...(counters.overtaken > 0 ? [overtakenText(counters.overtaken, "audit")] : []),
  ];
  return `${table}${lines.join("\n")}\n`;
}
