import type { Command } from "../commander.js";

interface ExtcapFlags {
  install?: boolean;
  uninstall?: boolean;
  dir?: string;
}

export function define(command: Command): void {
  command
    .option("--install", "make the interfaces appear in Wireshark and tshark")
    .option("--uninstall", "take them away")
    .option("--dir <folder>", "Wireshark's extcap folder, if elsewhere (default: your personal one)")
    .addHelpText(
      "after",
      `
Two interfaces: paste-switch-tail shows frames as they come, as they are logged or as they pass a port;
paste-switch-query shows frames that were kept, by filter, time, port and rule. Their dialogs in Wireshark (the wheel
beside them) have the fields; in tshark -o extcap.paste_switch_tail.port:vale0:a sets one. Frames as they come end
with an error when no daemon runs (any more). The wrapper names node and this package by their places: install again
after moving them.

Examples:
  paste-switch extcap --install
  tshark -D
  tshark -i paste-switch-tail -c 10
  tshark -i paste-switch-tail -o extcap.paste_switch_tail.source:ports -o extcap.paste_switch_tail.port:vale0:a
  tshark -i paste-switch-query -f 'tcp port 443' -w kept.pcapng
  paste-switch extcap --uninstall`,
    )
    .action(extcapCommand);
}

async function extcapCommand(flags: ExtcapFlags): Promise<void> {
  const { PasteError } = await import("../../logger/errors.js");
  const { installExtcap, uninstallExtcap } = await import("../extcap-install.js");
  if ((flags.install ?? false) === (flags.uninstall ?? false))
    throw new PasteError("USAGE", "say --install or --uninstall: see `paste-switch help extcap`");
  const path = flags.install ? installExtcap(flags.dir) : uninstallExtcap(flags.dir);
  process.stdout.write(`${path}\n`);
}
