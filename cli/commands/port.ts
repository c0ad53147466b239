import { deviceKinds } from "../../switch/port-kinds.js";
import { portKindsText } from "../../switch/port-spec.js";
import type { Command } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

interface SaveFlags extends InstanceFlags {
  save?: boolean;
}

const optionNames = (kind: string) => Object.keys(deviceKinds[kind]!.options).join(", ");

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
A port is written SWITCH:NAME. Switches come into being with their first port.
  vale0:a              waits for a program (netmap's rings in shared memory)
  tap:IF               a TAP device, made when it is missing
  xdp:IF[@QUEUE|@all]  an interface by AF_XDP
  netmap:IF            an interface by the netmap kernel module
  pcap:FILE            a capture as a source; speed=X|max: how fast; loop=N: how often, 0 for ever
A port on something is called vale0:IF, or as is written in front of it: vale0:uplink=xdp:eth0. Options follow with commas:
  every kind           access=VID; trunk=all or trunk=10+20-30, native=VID; mirror=PORT+PORT, mirror-direction=in|out|both
  tap                  ${optionNames("tap")}
  xdp                  ${optionNames("xdp")}
  netmap               extmem, share, numbers of slots and rings
A port whose interface goes is down, and comes back with it. Programs may open ports by themselves; what is added here lasts
until the daemon stops, or for good with --save.`,
  );
  addInstanceOptions(command.command("add"))
    .description("Attach a port to a running switch.")
    .argument("<spec>", portKindsText)
    .option("--save", "write it to the daemon's configuration file, too")
    .addHelpText(
      "after",
      "\nExamples:\n  paste-switch port add vale0:a\n  paste-switch port add pcap:lunch.pcap,speed=max" +
        "\n  paste-switch port add tap:lab0,address=10.0.0.1/24\n  paste-switch port add vale0:uplink=xdp:eth0,trunk=all,native=1",
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
  const { formatJson } = await import("../format.js");
  const { portsText } = await import("../ports-text.js");
  const { ports } = await withDaemon(flags, (client) => client.call("portList", {}));
  process.stdout.write(flags.json ? `${formatJson(ports)}\n` : portsText(ports));
}
