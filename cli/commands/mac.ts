import { type Command, oneStore } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

interface MacFlags extends InstanceFlags {
  switch?: string;
  vlan?: string;
  json?: boolean;
  at?: string;
  read?: string;
  utc?: boolean;
}

export function define(command: Command): void {
  addInstanceOptions(command.command("list"))
    .description("List the addresses that a switch knows, and behind which port.")
    .option("--switch <switch>", "which switch (default: vale0; with --at: every one)")
    .option("--at <time>", "the tables as they were then, read out of the log: 14:00, 15m ago, 2026-11-22T14:00:00Z")
    .option("-r, --read <store>", "of --at: a store (default: the running daemon's)", oneStore)
    .option("--utc", "of --at: times in UTC")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      `
--at plays the log's events again; no daemon is needed. What the log cannot know is said on standard error.

Examples:
  paste-switch mac list --switch vale1
  paste-switch mac list --at '15m ago'
  paste-switch mac list --at 14:00 -r lab.store`,
    )
    .action(list);
  addInstanceOptions(command.command("add"))
    .description("Enter a static address: it neither ages nor moves.")
    .argument("<mac>", "such as 02:00:00:00:00:01")
    .argument("<port>", "such as vale0:a")
    .option("--vlan <id>", "the VLAN that it is learned in; 0: none", "0")
    .addHelpText("after", "\nExample:\n  paste-switch mac add 02:00:00:00:00:01 vale0:a")
    .action(add);
  addInstanceOptions(command.command("remove"))
    .description("Forget one address, static or learned.")
    .argument("<mac>", "such as 02:00:00:00:00:01")
    .option("--switch <switch>", "which switch", "vale0")
    .option("--vlan <id>", "the VLAN that it was learned in; 0: none", "0")
    .addHelpText("after", "\nExample:\n  paste-switch mac remove 02:00:00:00:00:01")
    .action(remove);
  addInstanceOptions(command.command("flush"))
    .description("Forget every learned address, of a port or of a whole switch; static ones stay.")
    .argument("[port]", "only those behind this port, such as vale0:a")
    .option("--switch <switch>", "which switch", "vale0")
    .addHelpText("after", "\nExamples:\n  paste-switch mac flush\n  paste-switch mac flush vale0:a")
    .action(flush);
}

async function list(flags: MacFlags): Promise<void> {
  if (flags.at !== undefined) return listThen(flags.at, flags);
  if (flags.read !== undefined || flags.utc) {
    const { PasteError } = await import("../../logger/errors.js");
    throw new PasteError("USAGE", "-r and --utc are for --at TIME: without it, the running daemon is asked");
  }
  const { formatDuration, formatJson, formatTable } = await import("../format.js");
  const { macs } = await withDaemon(flags, (client) =>
    client.call("macList", { switch: flags.switch ?? "vale0", port: "" }),
  );
  if (flags.json) {
    process.stdout.write(`${formatJson(macs)}\n`);
    return;
  }
  const rows = macs.map((mac) => [
    mac.mac,
    String(mac.fid),
    mac.port,
    mac.static ? "static" : `${formatDuration(mac.ageMs)} ago`,
  ]);
  process.stdout.write(formatTable(["address", "vlan", "port", "seen"], rows, ["vlan"]));
}

async function listThen(at: string, flags: MacFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { didYouMean } = await import("../../logger/filter/filter-error.js");
  const { parseTimeOption } = await import("../../logger/filter/times.js");
  const { macTablesAt } = await import("../../logger/mac-history.js");
  const { interruption } = await import("../progress.js");
  const { readStore } = await import("../sources.js");
  const { tablesJson, tablesText } = await import("../mac-text.js");
  const timeNs = parseTimeOption(at, "--at");
  const store = await readStore(flags);
  const tables = await macTablesAt(store, { timeNs }, interruption());
  const { utc = false, switch: only } = flags;
  if (only !== undefined && tables.switches.length > 0 && !tables.switches.includes(only))
    throw new PasteError(
      "USAGE",
      `--switch "${only}": the log names no port of it: ${didYouMean(only, tables.switches, `there are ${tables.switches.join(", ")}`)}`,
    );
  if (flags.json) {
    process.stdout.write(tablesJson(tables, timeNs, only, utc));
    return;
  }
  process.stdout.write(tablesText(tables, only, utc));
  for (const remark of tables.remarks) process.stderr.write(`${remark}\n`);
}

async function add(mac: string, port: string, flags: MacFlags): Promise<void> {
  const { parseWhole } = await import("../../switch/units.js");
  const entry = { mac, port, vlan: parseWhole(flags.vlan!, "--vlan", 0, 4094), switch: port.split(":")[0]! };
  await withDaemon(flags, (client) => client.call("macAdd", entry));
}

async function remove(mac: string, flags: MacFlags): Promise<void> {
  const { parseWhole } = await import("../../switch/units.js");
  const entry = { mac, port: "", vlan: parseWhole(flags.vlan!, "--vlan", 0, 4094), switch: flags.switch! };
  await withDaemon(flags, (client) => client.call("macRemove", entry));
}

async function flush(port: string | undefined, flags: MacFlags): Promise<void> {
  const { formatCount } = await import("../format.js");
  const which = { switch: port ? port.split(":")[0]! : flags.switch!, port: port ?? "" };
  const { count } = await withDaemon(flags, (client) => client.call("macFlush", which));
  process.stderr.write(`${formatCount(count)} forgotten\n`);
}
