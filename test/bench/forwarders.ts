// What can stand between the two hosts of the ports bench: the switch with ports of several kinds, and those that it is compared with.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { NativeEngine } from "../../native/engine.js";
import type { RawForwarderOptions } from "../../native/index.js";
import { cpuTimeNs } from "./cpu-time.js";
import { rule } from "./engine-options.js";
import type { OpenVSwitch } from "./open-vswitch.js";
import { ip, type Medium, type Wires } from "./wires.js";

export interface Forwarder {
  what: string;
  medium: Medium;
  /** The forwarder that its figures are divided by. */
  against?: string;
  open(): void | Promise<void>;
  /** Of the threads that forward; undefined where that is the kernel on the sender's behalf. */
  cpuNs?(): number;
  close(): void | Promise<void>;
}

export function linuxBridge(wires: Wires): Forwarder {
  return {
    what: "linux bridge",
    medium: "veth",
    open() {
      ip("-n", wires.hub, "link", "add", "name", "br0", "type", "bridge");
      ip("-n", wires.hub, "link", "set", "br0", "up");
      for (const end of wires.ends) ip("-n", wires.hub, "link", "set", end, "master", "br0");
    },
    close: () => void ip("-n", wires.hub, "link", "delete", "br0"),
  };
}

const rawProgram = fileURLToPath(new URL("./raw-forwarder-process.js", import.meta.url));

/** What the kernel's way costs without a switch: `native/bench/raw_forwarder.h`. */
export function raw(wires: Wires, kind: "xdp" | "tap"): Forwarder {
  const options: RawForwarderOptions =
    kind === "xdp"
      ? { kind, interfaces: wires.ends, namespaces: [wires.hub, wires.hub] }
      : { kind, interfaces: ["tap", "tap"], namespaces: wires.hosts };
  let child: ChildProcess;
  return {
    what: kind === "xdp" ? "AF_XDP without a switch" : "TAP without a switch",
    medium: kind === "xdp" ? "veth" : "tap",
    against: "linux bridge",
    async open() {
      child = spawn(process.execPath, [rawProgram, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
      const ended = once(child, "exit").then(() => Promise.reject(new Error(`${kind}: the raw forwarder ended`)));
      ended.catch(() => {});
      await Promise.race([once(child.stdout!, "data"), ended]);
    },
    cpuNs: () => cpuTimeNs(child.pid!, "paste-raw"),
    async close() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

export interface SwitchOptions {
  what: string;
  against: string;
  kind: "xdp" | "tap";
  /** Words for the specification. */
  options?: string;
  logged: boolean;
}

/** The switch, on a forwarding thread of this process. */
export function theSwitch(wires: Wires, engine: NativeEngine, given: SwitchOptions): Forwarder {
  const { what, against, kind, options = "", logged } = given;
  const specs =
    kind === "xdp"
      ? wires.ends.map((end) => `xdp:${end},netns=${wires.hub}${options}`)
      : wires.hosts.map((host) => `tap:tap,netns=${host}${options}`);
  return {
    what,
    against,
    medium: kind === "xdp" ? "veth" : "tap",
    open() {
      engine.setRules(logged ? [rule("", { name: "all" })] : [], "");
      for (const [i, spec] of specs.entries()) engine.attach(`vale0:${i}`, spec);
    },
    cpuNs: () => cpuTimeNs(process.pid, "paste-forward"),
    close() {
      for (const i of specs.keys()) engine.detach(`vale0:${i}`);
    },
  };
}

export function openVSwitch(wires: Wires, ovs: OpenVSwitch, type: "afxdp" | "system"): Forwarder {
  return {
    what: type === "afxdp" ? "open vswitch, AF_XDP" : "open vswitch, packet sockets",
    medium: "veth",
    against: "xdp",
    open: () => ovs.addPorts(wires.ends, type),
    cpuNs: () => cpuTimeNs(ovs.pid, type === "afxdp" ? "pmd" : "ovs-vswitchd"),
    close: () => ovs.removePorts(wires.ends),
  };
}
