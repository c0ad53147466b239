import { type Command, repeated } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

interface AddFlags {
  instance?: string;
  control?: string;
  name?: string;
  before?: string;
  in?: string[];
  out?: string[];
  snaplen?: string;
  sample?: string;
  strict?: boolean;
  relaxed?: boolean;
  skip?: boolean;
  save?: boolean;
}

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
Rules are looked at in their order; the first that matches a frame decides. Without rules nothing is logged.
Changes last until the daemon stops, or for good with --save. No frame is lost by a change.`,
  );
  command
    .command("add")
    .description("Add a rule: frames that its filter matches are logged.")
    .argument("[filter...]", "pcap-filter(7), unquoted; none: every frame")
    .option("--name <rule>", "its name (default: the next of r1, r2, ...)")
    .option("--before <rule>", "put it in front of that rule (default: behind all)")
    .option("--in <port>", "only frames that came in by this port, or vale0:*; may be repeated", repeated)
    .option("--out <port>", "only frames that go out by this port; may be repeated", repeated)
    .option("-s, --snaplen <bytes>", "keep so many bytes of a frame (default: all)")
    .option("--sample <n>", "keep one frame in N")
    .option("--strict", "these frames leave when they are durable, whatever the store's mode")
    .option("--relaxed", "these frames may leave before they are durable")
    .option("--skip", "matched frames are not logged: an exception in front of a wider rule")
    .option("--save", "write it to the daemon's configuration file, too")
    .option("--instance <name>", 'which daemon (--name is the rule\'s here; default: "default")')
    .option("--control <socket>", "its control socket, if elsewhere (also PASTE_SWITCH_CONTROL)")
    .addHelpText(
      "after",
      `
Prints the rule's name.

Examples:
  paste-switch rule add tcp port 80 or tcp port 443
  paste-switch rule add --name headers -s 64 --in vale0:a
  paste-switch rule add --name no-backup --before headers --skip tcp port 873
  paste-switch rule add flow 10.0.0.1:40000 10.0.0.2:443 tcp
  paste-switch rule add 'ether[0] & 1 != 0'`,
    )
    .action(add);
  addInstanceOptions(command.command("remove"))
    .description("Remove a rule.")
    .argument("<rule>", "its name")
    .option("--save", "take it out of the daemon's configuration file, too")
    .addHelpText("after", "\nExample:\n  paste-switch rule remove r1")
    .action(remove);
  addInstanceOptions(command.command("list"))
    .description("List the rules in their order, with what they matched.")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  paste-switch rule list")
    .action(list);
}

async function add(words: string[], flags: AddFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { emptyRule } = await import("../../switch/rules.js");
  const { parseWhole } = await import("../../switch/units.js");
  if (flags.strict && flags.relaxed)
    throw new PasteError("USAGE", "--strict and --relaxed exclude each other: leave one out");
  const rule = {
    ...emptyRule,
    name: flags.name ?? "",
    filter: words.join(" "),
    inPorts: flags.in ?? [],
    outPorts: flags.out ?? [],
    snaplen: flags.snaplen === undefined ? 0 : parseWhole(flags.snaplen, "-s", 0, 262144),
    sample: flags.sample === undefined ? 1 : parseWhole(flags.sample, "--sample", 1, 2 ** 31),
    skip: flags.skip ?? false,
    durability: flags.strict ? ("strict" as const) : flags.relaxed ? ("relaxed" as const) : ("" as const),
  };
  const which: InstanceFlags = {};
  if (flags.instance !== undefined) which.name = flags.instance;
  if (flags.control !== undefined) which.control = flags.control;
  const call = { rule, before: flags.before ?? "", save: flags.save ?? false };
  const done = await withDaemon(which, (client) => client.call("ruleAdd", call));
  process.stdout.write(`${done.name}\n`);
}

async function remove(name: string, flags: InstanceFlags & { save?: boolean }): Promise<void> {
  await withDaemon(flags, (client) => client.call("ruleRemove", { name, save: flags.save ?? false }));
}

async function list(flags: InstanceFlags & { json?: boolean }): Promise<void> {
  const { formatJson } = await import("../format.js");
  const { rulesText } = await import("../stats-text.js");
  const { rules } = await withDaemon(flags, (client) => client.call("ruleList", {}));
  if (flags.json) process.stdout.write(`${formatJson(rules)}\n`);
  else if (rules.length > 0) process.stdout.write(rulesText(rules));
  else process.stderr.write("no rules: nothing is logged\n");
}
