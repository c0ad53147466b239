// Hosts in namespaces of their own, each behind a veth pair whose other end is for an AF_XDP port.
import type { ExecutionContext } from "ava";
import { asPasteError, type EngineOptions, type NativePortOptions, type PortInfo } from "../../native/engine.js";
import { type LiveSwitch, liveSwitch, type StoreWanted } from "./live-switch.js";
import { type Namespace, namespaces } from "./namespaces.js";

export interface Host {
  ns: Namespace;
  /** Its own end of the pair. */
  device: string;
  /** The switch's end, in `hub`; its port is vale0:END. */
  end: string;
  address: string;
  port(): PortInfo;
}
interface Wanted {
  engine?: Partial<EngineOptions>;
  store?: StoreWanted;
  /** Behind xdp:IF, for every host: "@1", ",mode=generic". */
  options?: string;
  port?: NativePortOptions[];
  needs?: string[];
  hosts?: number;
  mtu?: number;
  queues?: number;
}
export interface Made {
  s: LiveSwitch;
  hosts: Host[];
  /** The namespace of the switch's ends. */
  hub: Namespace;
}
export const memory: StoreWanted = { on: "memory", sizeBytes: 128 << 20 };
export const disk: StoreWanted = { on: "disk", sizeBytes: 64 << 20 };

/** A switch with hosts on it; undefined: the test was skipped. `attach` false: the pairs are made, no port is. */
export async function hostsOn(t: ExecutionContext, wanted: Wanted = {}, attach = true): Promise<Made | undefined> {
  const make = namespaces(t, "ping", ...(wanted.needs ?? []));
  if (!make) return undefined;
  const hub = make.make("hub");
  const s = await liveSwitch(t, wanted.engine, wanted.store);
  const hosts: Host[] = [];
  for (let i = 0; i < (wanted.hosts ?? 2); i++) {
    const ns = make.make(`h${i}`);
    const host: Host = {
      ns,
      device: make.interfaceName(`h${i}`),
      end: make.interfaceName(`s${i}`),
      address: `10.77.0.${i + 1}`,
      port: () => s.engine.stats().ports.find((port) => port.name === `vale0:${host.end}`)!,
    };
    connect(hub, host, wanted);
    hosts.push(host);
    const spec = `xdp:${host.end}${wanted.options ?? ""},netns=${hub.name}`;
    if (attach) s.engine.attach(`vale0:${host.end}`, spec, wanted.port?.[i]);
  }
  return { s, hosts, hub };
}

export function connect(hub: Namespace, host: Host, { mtu = 1500, queues = 1 }: Wanted = {}): void {
  const many = ["mtu", String(mtu), "numrxqueues", String(queues), "numtxqueues", String(queues)];
  const mac = `02:77:00:00:00:0${host.address.slice(-1)}`;
  hub.ip(
    ...["link", "add", "name", host.end, ...many, "type", "veth"],
    ...["peer", "name", host.device, "address", mac, ...many, "netns", host.ns.name],
  );
  hub.ip("link", "set", host.end, "up");
  host.ns.ip("address", "add", `${host.address}/24`, "dev", host.device);
  host.ns.ip("link", "set", host.device, "up");
}

export function refused(t: ExecutionContext, made: Made, spec: string, code: string, message: RegExp): void {
  const error = asPasteError(t.throws(() => made.s.engine.attach("vale0:x", spec))) as {
    code: string;
    message: string;
  };
  t.is(error.code, code, `${spec}: ${error.message}`);
  t.regex(error.message, message);
}
