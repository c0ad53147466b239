import { type Command, Option, repeated } from "../commander.js";
import { addInstanceOptions, type InstanceFlags } from "../connect.js";

interface DaemonFlags extends InstanceFlags {
  config?: string;
  store?: string;
  size?: string;
  port?: string[];
  log?: string[];
  full?: "overwrite" | "stop" | "block";
  durability?: "strict" | "relaxed";
  persist?: "auto" | "pack" | "mark";
  wait?: "adaptive" | "block" | "busy";
  threads?: string;
  group?: string;
  user?: string;
}

export function define(command: Command): void {
  addInstanceOptions(command)
    .option(
      "-f, --config <file>",
      "configuration (default: /etc/paste-switch/NAME.toml, or the XDG folder's, if it exists)",
    )
    .option("--store <path>", "what to remember in (default: the configuration's; without one nothing can be logged)")
    .option("--size <size>", "makes the store when it is missing: 64M, 1G, ...")
    .option(
      "--port <spec>",
      "attach a port: vale0:NAME, tap:IF, xdp:IF, pcap:FILE..., see `port --help`; may be repeated",
      repeated,
    )
    .option("--log <filter>", "a rule that logs what the filter matches; may be repeated", repeated)
    .addOption(
      new Option(
        "--full <policy>",
        "when the store is full: the oldest go, logging stops, or ports wait (default: overwrite)",
      ).choices(["overwrite", "stop", "block"]),
    )
    .addOption(
      new Option(
        "--durability <mode>",
        "strict: a frame leaves when it is durable; relaxed: it may leave before (default: strict)",
      ).choices(["strict", "relaxed"]),
    )
    .addOption(
      new Option(
        "--persist <how>",
        "pack: copy into the log; mark: keep the buffer; auto: keep what a device filled (default: auto)",
      ).choices(["auto", "pack", "mark"]),
    )
    .addOption(
      new Option(
        "--wait <how>",
        "how threads wait for frames; adaptive: spin a little, then sleep; busy: never sleep (default: adaptive)",
      ).choices(["adaptive", "block", "busy"]),
    )
    .option("--threads <n>", "forwarding threads, 1 to 16 (default: 1)")
    .option("--group <group>", "members may use the sockets and read the store")
    .option("--user <user>", "run as this user; only root can choose another")
    .addHelpText(
      "after",
      `
Stays in the foreground and prints "ready" when its ports are attached. Options are stronger than the configuration;
--port and --log add to it. Without rules nothing is logged. After a crash the store is recovered, and the report
printed. Started as root it gives up every capability at once; a small broker beside it opens what tap, xdp and netmap
ports need. SIGTERM and SIGINT deliver what is on its way, close the store and exit 0; SIGHUP reads the
configuration's rules again.

Examples:
  paste-switch daemon --store /dev/shm/lab.store --size 1G --log 'tcp port 80' --log icmp
  paste-switch daemon -f lab.toml
  paste-switch daemon --name lab --port vale0:r=pcap:lunch.pcap,speed=1`,
    )
    .action(daemon);
}

async function daemon(flags: DaemonFlags): Promise<void> {
  const { dropCapabilities } = await import("../../switch/launch.js");
  dropCapabilities(flags);
  const { runDaemon } = await import("../../switch/daemon.js");
  const { parseSize, parseWhole } = await import("../../switch/units.js");
  const { size, threads, ...rest } = flags;
  process.exitCode = await runDaemon({
    ...rest,
    ...(size === undefined ? {} : { sizeBytes: parseSize(size, "--size") }),
    ...(threads === undefined ? {} : { threads: parseWhole(threads, "--threads", 1, 16) }),
  });
}
