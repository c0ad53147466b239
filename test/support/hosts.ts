// Hosts in namespaces of their own, each at a port of one switch: a TAP device, or a veth pair whose other end is for AF_XDP.
import type { ExecutionContext } from "ava";
import { asPasteError, type EngineOptions, type NativePortOptions, type PortInfo } from "../../native/engine.js";
import { ping } from "./host-traffic.js";
import { type LiveSwitch, liveSwitch, type StoreWanted, sumsHold, until } from "./live-switch.js";
import { type Namespace, namespaces } from "./namespaces.js";

export interface Host {
  ns: Namespace;
  /** The interface that it has. */
  device: string;
  /** The switch's side, whose port is vale0:END: the other end of the pair, in `hub`; of a TAP device the device itself. */
  end: string;
  address: string;
  mac: string;
  port(): PortInfo;
}
interface Wanted {
  engine?: Partial<EngineOptions>;
  store?: StoreWanted;
  /** Behind tap:IF or xdp:IF, for every host: ",offload=off", "@1". */
  options?: string;
  port?: NativePortOptions[];
  needs?: string[];
  hosts?: number;
  /** Of pairs. */
  mtu?: number;
  queues?: number;
}
export interface Made {
  s: LiveSwitch;
  hosts: Host[];
  /** The namespace of the pairs' ends. */
  hub: Namespace;
}
export const memory: StoreWanted = { on: "memory", sizeBytes: 128 << 20 };
export const disk: StoreWanted = { on: "disk", sizeBytes: 64 << 20 };

/** A switch with hosts on it; undefined: the test was skipped. `attach` false: the devices are made, no port is. */
export async function hostsOn(
  t: ExecutionContext,
  kind: "tap" | "xdp",
  wanted: Wanted = {},
  attach = true,
): Promise<Made | undefined> {
  const make = namespaces(t, "ping", ...(kind === "tap" ? ["tun"] : []), ...(wanted.needs ?? []));
  if (!make) return undefined;
  const hub = make.make("hub");
  const s = await liveSwitch(t, wanted.engine, wanted.store);
  const hosts: Host[] = [];
  for (let i = 0; i < (wanted.hosts ?? 2); i++) {
    const device = make.interfaceName(`h${i}`);
    const host: Host = {
      ns: make.make(`h${i}`),
      device,
      end: kind === "tap" ? device : make.interfaceName(`s${i}`),
      address: `10.77.0.${i + 1}`,
      mac: `02:77:00:00:00:0${i + 1}`,
      port: () => s.engine.stats().ports.find((port) => port.name === `vale0:${host.end}`)!,
    };
    hosts.push(host);
    if (kind === "xdp") connect(hub, host, wanted);
    const options = wanted.options ?? "";
    const spec =
      kind === "xdp"
        ? `xdp:${host.end}${options},netns=${hub.name}`
        : `tap:${device},netns=${host.ns.name},mac=${host.mac},address=${host.address}/24${options}`;
    if (attach) s.engine.attach(`vale0:${host.end}`, spec, wanted.port?.[i]);
  }
  return { s, hosts, hub };
}

/** Makes a host's pair. */
export function connect(hub: Namespace, host: Host, { mtu = 1500, queues = 1 }: Wanted = {}): void {
  const many = ["mtu", String(mtu), "numrxqueues", String(queues), "numtxqueues", String(queues)];
  hub.ip(
    ...["link", "add", "name", host.end, ...many, "type", "veth"],
    ...["peer", "name", host.device, "address", host.mac, ...many, "netns", host.ns.name],
  );
  hub.ip("link", "set", host.end, "up");
  host.ns.ip("address", "add", `${host.address}/24`, "dev", host.device);
  host.ns.ip("link", "set", host.device, "up");
}

/** The first host pings the second, whose interface goes down and up again: `link` sets what its port is on. */
export async function downAndUp(
  t: ExecutionContext,
  { s, hosts }: Made,
  link: (host: Host, state: "down" | "up") => void,
): Promise<void> {
  const [a, b] = hosts as [Host, Host];
  const refused = () => b.port().counters.refused.down ?? 0;
  t.true((await ping(a, b.address)).received >= 3);
  for (let round = 0; round < 3; round++) {
    link(b, "down");
    await until(() => b.port().state === "down", "the port hears of it");
    const before = refused();
    await t.throwsAsync(ping(a, b.address, "-w", "1"));
    await until(() => refused() > before, "refused as down");
    link(b, "up");
    await until(() => b.port().state === "up", "the port hears of it");
    t.true((await ping(a, b.address)).received >= 3);
  }
  await s.settled();
  sumsHold(t, s.engine.stats());
}

export function refused(t: ExecutionContext, { s }: Made, spec: string, code: string, message: RegExp): void {
  const error = asPasteError(t.throws(() => s.engine.attach("vale0:x", spec))) as { code: string; message: string };
  t.is(error.code, code, `${spec}: ${error.message}`);
  t.regex(error.message, message);
}
