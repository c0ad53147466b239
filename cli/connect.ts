// The options by which a command finds a daemon, and one conversation with it.

import type { ControlClient } from "../switch/control-client.js";
import type { Command } from "./commander.js";

export interface InstanceFlags {
  name?: string;
  control?: string;
}

export function addInstanceOptions(command: Command): Command {
  return command
    .option("--name <name>", 'which daemon (default: "default")')
    .option("--control <socket>", "its control socket, if elsewhere (also PASTE_SWITCH_CONTROL)");
}

/** Connects, talks, closes. */
export async function withDaemon<T>(flags: InstanceFlags, talk: (client: ControlClient) => Promise<T>): Promise<T> {
  const { locateInstance } = await import("../switch/instance.js");
  const { ControlClient } = await import("../switch/control-client.js");
  const client = await ControlClient.connect(locateInstance(flags).control);
  try {
    return await talk(client);
  } finally {
    client.close();
  }
}
