import type { Command } from "commander";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

interface SaveFlags extends InstanceFlags {
  save?: boolean;
}

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
A port is written SWITCH:NAME. Switches come into being with their first port.
  vale0:a                              waits for a program (netmap's rings in shared memory)
  vale0:a=pcap:FILE[,speed=X][,loop=N] a capture as a source; speed: a factor or max; loop: how often, 0 for ever
  pcap:FILE[,...]                      the same on vale0, named after the file
Programs may open ports by themselves; what is added here lasts until the daemon stops, or for good with --save.`,
  );
  addInstanceOptions(command.command("add"))
    .description("Attach a port to a running switch.")
    .argument("<spec>", "vale0:NAME, vale0:NAME=pcap:FILE or pcap:FILE")
    .option("--save", "write it to the daemon's configuration file, too")
    .addHelpText(
      "after",
      "\nExamples:\n  paste-switch port add vale0:a\n  paste-switch port add pcap:lunch.pcap,speed=max",
    )
    .action(add);
  addInstanceOptions(command.command("remove"))
    .description("Detach a port; its addresses are forgotten at once.")
    .argument("<name>", "such as vale0:a")
    .option("--save", "take it out of the daemon's configuration file, too")
    .addHelpText("after", "\nExample:\n  paste-switch port remove vale0:a")
    .action(remove);
  addInstanceOptions(command.command("list"))
    .description("List the attached ports.")
    .option("--json", "as JSON, with every counter")
    .addHelpText("after", "\nExample:\n  paste-switch port list")
    .action(list);
}

async function add(text: string, flags: SaveFlags): Promise<void> {
  const { parsePortSpec, portSpecText } = await import("../../switch/port-spec.js");
  const spec = portSpecText(parsePortSpec(text));
  const done = await withDaemon(flags, (client) => client.call("portAdd", { spec, save: flags.save ?? false }));
  process.stdout.write(`${done.name}\n`);
}

async function remove(name: string, flags: SaveFlags): Promise<void> {
  await withDaemon(flags, (client) => client.call("portRemove", { name, save: flags.save ?? false }));
}

async function list(flags: InstanceFlags & { json?: boolean }): Promise<void> {
  const { formatCount, formatJson, formatTable } = await import("../format.js");
  const { ports } = await withDaemon(flags, (client) => client.call("portList", {}));
  if (flags.json) {
    process.stdout.write(`${formatJson(ports)}\n`);
    return;
  }
  const rows = ports.map((port) => [
    port.name,
    port.kind,
    port.state,
    port.clientPid < 0 ? "-" : String(port.clientPid),
    String(port.slots),
    String(port.frameBytesMax),
    formatCount(port.counters.receivedFrames),
    formatCount(port.counters.deliveredCopies),
  ]);
  const header = ["port", "kind", "state", "pid", "slots", "frame max", "received", "delivered"];
  process.stdout.write(formatTable(header, rows, header.slice(3)));
}
