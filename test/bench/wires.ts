// Two hosts, each a network namespace, and a hub between them: what the ports bench sends its frames through.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { benchPacketSource, type PacketSourceOptions, type PacketSourceResult } from "../../native/index.js";
import { undoAtEnd } from "./undo.js";

export const ip = (...args: string[]): string =>
  execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/**
 * A namespace in which nobody speaks unasked, and a bridge is a bridge: where its frames would go through iptables, they do not here.
 * Gives what removes it. Throws where there is no `ip`, or no right to make one.
 */
export function quietNamespace(name: string): () => void {
  ip("netns", "add", name);
  const remove = undoAtEnd(() => ip("netns", "delete", name));
  const quiet =
    "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done;" +
    "for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e $f ] || echo 0 > $f; done";
  ip("netns", "exec", name, "sh", "-c", quiet);
  return remove;
}

const station = [1, 2] as const;
/** Smaller than every queue on the way (the smallest, of a veth with an XDP program, has 256 places). */
const window = 192;

/** The hosts' `veth` interfaces have their other ends in the hub; `tap` ones are made by what is measured. */
export type Medium = "veth" | "tap";

export class Wires {
  readonly mark = randomBytes(3).toString("hex");
  readonly hub = `paste-${this.mark}-hub`;
  readonly hosts = [`paste-${this.mark}-a`, `paste-${this.mark}-b`] as const;
  readonly ends = [`sa${this.mark}`, `sb${this.mark}`] as const;

  readonly #namespaces: (() => void)[] = [];

  constructor() {
    for (const name of [this.hub, ...this.hosts]) this.#namespaces.push(quietNamespace(name));
    for (const [i, end] of this.ends.entries()) {
      ip("-n", this.hub, "link", "add", "name", end, "type", "veth", "peer", "name", "veth", "netns", this.hosts[i]!);
      ip("-n", this.hosts[i]!, "link", "set", "veth", "up");
      ip("-n", this.hub, "link", "set", end, "up");
    }
  }

  /** The second host says where it is. */
  announce(medium: Medium): Promise<PacketSourceResult> {
    return this.#send(medium, 1, { framesMax: 1 });
  }

  /** Frames from the first host to the second, no faster than they arrive. */
  send(medium: Medium, frameBytes: number, durationMs: number): Promise<PacketSourceResult> {
    return this.#send(medium, 0, { frameBytes, durationMs, window });
  }

  #send(medium: Medium, host: 0 | 1, options: Partial<PacketSourceOptions>): Promise<PacketSourceResult> {
    const other = 1 - host;
    return benchPacketSource({
      interface: medium,
      netns: this.hosts[host],
      from: station[host]!,
      to: station[other]!,
      sinkInterface: medium,
      sinkNetns: this.hosts[other]!,
      ...options,
    });
  }

  close(): void {
    for (const remove of this.#namespaces.toReversed()) remove();
  }
}
