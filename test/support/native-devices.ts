// Devices of the test addon (native/test/devices_binding.cc), here and in a process that the launcher started.

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { loadAddon, packageRoot } from "../../native/load.js";
import type { Namespace } from "./namespaces.js";

export interface InterfaceInfo {
  index: number;
  mtu: number;
  rxQueues: number;
  txQueues: number;
  mac: Buffer;
  up: boolean;
  running: boolean;
  driver: string;
}

export interface TapRequest {
  name: string;
  netns?: string;
  queues?: number;
  mtu?: number;
  persist?: boolean;
  vnetHeader?: boolean;
  offloads?: number;
  owner?: number;
  group?: number;
  mac?: string;
  address?: string;
}

export interface XdpRequest {
  interface: string;
  netns?: string;
  queues: number[];
  mode?: "auto" | "native" | "generic";
  fragments?: boolean;
}

/** Descriptors in answers are the caller's: closeDescriptor(). */
export interface Devices {
  interfaceInfo(name: string, netns?: string): InterfaceInfo;
  openTap(request: TapRequest): InterfaceInfo & { queues: number[] };
  openXdp(request: XdpRequest): InterfaceInfo & { sockets: number[]; map: number; link: number; native: boolean };
  insertSocket(map: number, queue: number, socket: number): void;
  openNetmap(): number;
}

export interface DevicesAddon {
  localDevices(): Devices;
  processDevices(): Devices;
  /** A good request for the broker, to be spoiled. */
  brokerRequest(): Buffer;
  brokerSay(bytes: Uint8Array, descriptors: number): boolean;
  brokerHear(): string | null;
  /** Without a device: whether any namespace can be allowed. */
  deviceAllowed(globs: readonly string[], device?: string): boolean;
  closeDescriptor(fd: number): void;
}

export const devicesAddon = () => loadAddon("paste_switch_test") as unknown as DevicesAddon;
export const launcherPath = join(packageRoot(), "build", "Release", "paste-switch-launcher");

export interface DeviceProcessOptions {
  /** What runs the process: ["ip", "netns", "exec", ...] before the launcher. */
  before?: string[];
  launcher?: string | undefined;
  launcherArgs?: string[];
}

/** A process that opens devices for a test: through the launcher, or without one (`launcher: undefined`). */
export class DeviceProcess {
  readonly child: ChildProcess;
  stderr = "";
  readonly ended: Promise<unknown>;

  constructor(t: ExecutionContext, options: DeviceProcessOptions = {}) {
    const launcher = "launcher" in options ? options.launcher : launcherPath;
    const words = [
      ...(options.before ?? []),
      ...(launcher === undefined ? [] : [launcher, ...(options.launcherArgs ?? []), "--"]),
      process.execPath,
      join(packageRoot(), "dist", "test", "support", "device-child.js"),
    ];
    this.child = spawn(words[0]!, words.slice(1), { stdio: ["ignore", "ignore", "pipe", "ipc"], cwd: "/" });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => this.child.once("close", resolve));
    t.teardown(async () => {
      this.child.kill("SIGKILL");
      await this.ended;
    });
  }

  /** One call of `processDevices()` or of the addon, there. Throws what it threw. */
  async call<T = unknown>(method: keyof Devices | keyof DevicesAddon, ...args: unknown[]): Promise<T> {
    const answer = new Promise<{ result?: T; error?: string }>((resolve, reject) => {
      this.child.once("message", resolve as (message: unknown) => void);
      void this.ended.then(() => reject(new Error(`the process ended: ${this.stderr}`)));
    });
    this.child.send({ method, args });
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(error);
    return result as T;
  }

  /** The broker's process id: the child that the launcher left. */
  brokerPid(): number {
    const children = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, "utf8").trim().split(" ");
    const broker = children.find((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "paste-broker\n");
    if (broker === undefined) throw new Error("there is no broker");
    return Number(broker);
  }
}

/** Capability sets of every thread of a process, each once: "CapEff 0000000000000000". */
export function capabilitiesOf(pid: number): string[] {
  const found = new Set<string>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    for (const [, name, value] of status.matchAll(/^(Cap\w+|NoNewPrivs|Uid):\t(.*)$/gm)) found.add(`${name} ${value}`);
  }
  return [...found].sort();
}

/** What `ip -d -j` says of an interface. */
export const shown = (space: Namespace, name: string) =>
  (JSON.parse(space.ip("-d", "-j", "address", "show", name)) as Record<string, never>[])[0] as unknown as {
    mtu: number;
    address: string;
    flags: string[];
    linkinfo: { info_data: Record<string, unknown> };
    addr_info: { local: string; prefixlen: number }[];
  };

/** Requests that are refused before anything is opened, and how. */
export const badTaps: [TapRequest, RegExp][] = [
  [{ name: "x", queues: 0 }, /^USAGE: tap:x: 1 to 64 queues, not 0$/],
  [{ name: "x", queues: 65 }, /^USAGE: tap:x: 1 to 64 queues, not 65$/],
  [{ name: "x", mac: "02:00:00:00:00:0" }, /^USAGE: MAC address "02:00:00:00:00:0": write it as /],
  [{ name: "x", mac: "02-00-00-00-00-01" }, /^USAGE: MAC address /],
  [{ name: "x", mac: "03:00:00:00:00:01" }, /^USAGE: MAC address \S+ is a group address/],
  [{ name: "x", address: "10.0.0.1/33" }, /^USAGE: address "10.0.0.1\/33": write it as /],
  [{ name: "x", address: "10.0.0/24" }, /^USAGE: address /],
  [{ name: "x", address: "fd00::1/129" }, /^USAGE: address /],
  [{ name: "x", address: "10.0.0.1/" }, /^USAGE: address /],
];
