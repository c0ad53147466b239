import type { Command } from "../commander.js";
import { addInstanceOptions, type InstanceFlags, withDaemon } from "../connect.js";

export function define(command: Command): void {
  addInstanceOptions(command)
    .argument("<command...>", "the program and its arguments, behind --")
    .addHelpText(
      "after",
      `
The program sees /dev/netmap served by the daemon, without a kernel module: it opens ports by netmap's names (vale0:a,
pipes vale0:a{1, monitors vale0:a/r). Its input, output, signals and exit status are its own.

Not served: programs that are static, linked with musl, setuid, or make system calls themselves (Go); interfaces of
the kernel (netmap:eth0: give the daemon a port for it); host rings of vale ports, zero-copy monitors, CSB and
sync-kloop, polling mode, EXTMEM and offsets. They answer with netmap's errno; native/README.md has the list.

Examples:
  paste-switch run -- pkt-gen -i vale0:a -f tx
  paste-switch run --name lab -- bridge -i vale0:a -i vale1:b`,
    )
    .action(run);
}

async function run([command, ...args]: string[], flags: InstanceFlags): Promise<void> {
  const { checkPreloadable, findCommand, preloadEnvironment, preloadLibrary } = await import("../../switch/preload.js");
  const { locateInstance } = await import("../../switch/instance.js");
  const { becomeProgram } = await import("../../native/host.js");
  const library = preloadLibrary();
  const path = findCommand(command!);
  checkPreloadable(path);
  // Said here, where it can be said in words: the program would only hear that there is no such device.
  await withDaemon(flags, async () => {});
  Object.assign(process.env, preloadEnvironment(library, locateInstance(flags).ports));
  becomeProgram(path, args);
}
