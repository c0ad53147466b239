// Every command and what it is for. Its file is loaded when it is called: a command that is not used costs nothing.
import type { Command } from "./commander.js";

export interface CommandModule {
  /** Adds options, examples and action to the command that the table made. */
  define(command: Command): void;
}

export interface CommandEntry {
  summary: string;
  load(): Promise<CommandModule>;
}

export const commands: Record<string, CommandEntry> = {
  daemon: {
    summary: "run a switch: ports, rules, a store to remember in",
    load: () => import("./commands/daemon.js"),
  },
  port: { summary: "add, remove and list the ports of a running switch", load: () => import("./commands/port.js") },
  rule: { summary: "add, remove and list the rules that select frames", load: () => import("./commands/rule.js") },
  mac: { summary: "list and change the addresses a switch has learned", load: () => import("./commands/mac.js") },
  stats: { summary: "every frame accounted for, by port and reason", load: () => import("./commands/stats.js") },
  store: { summary: "make, look into, check, recover and trim stores", load: () => import("./commands/store.js") },
  query: { summary: "find packets: as lines, as JSON, by flow", load: () => import("./commands/query.js") },
  trace: { summary: "one frame's story: where it was, and why", load: () => import("./commands/trace.js") },
  export: { summary: "write kept frames to a capture file", load: () => import("./commands/export.js") },
  tail: {
    summary: "what is being logged, or what passes a port, as it comes",
    load: () => import("./commands/tail.js"),
  },
  import: { summary: "put captures into a store", load: () => import("./commands/import.js") },
  replay: {
    summary: "send kept frames into a switch again, in their time",
    load: () => import("./commands/replay.js"),
  },
  extcap: { summary: "interfaces in Wireshark and tshark", load: () => import("./commands/extcap.js") },
  audit: {
    summary: "check the log against the switch, or a planned one",
    load: () => import("./commands/audit.js"),
  },
  run: { summary: "run a netmap program, unmodified, on the switch's ports", load: () => import("./commands/run.js") },
  demo: {
    summary: "the whole story in a minute, on any capture",
    load: () => import("./commands/demo.js"),
  },
  bench: { summary: "measure speed on this machine", load: () => import("./commands/bench.js") },
  config: { summary: "check a configuration file", load: () => import("./commands/config.js") },
};
