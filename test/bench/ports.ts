// Frames from one network namespace to another through ports on devices, against the Linux bridge, Open vSwitch, and the same devices
// without a switch. The sender keeps a window's worth of frames under way, so that what lies between the two sets the rate and none is
// lost; counted is what arrived, by the kernel, on the receiver's interface.
import { join } from "node:path";
import { createStore } from "../../logger/store.js";
import type { PersistMode } from "../../native/engine.js";
import { createEngine, type NativeEngine } from "../../native/engine.js";
import type { Bench, Effort } from "./bench.js";
import { engineDefaults } from "./engine-options.js";
import { type Forwarder, linuxBridge, openVSwitch, raw, theSwitch } from "./forwarders.js";
import { OpenVSwitch } from "./open-vswitch.js";
import type { Row } from "./report.js";
import { Wires } from "./wires.js";

const storeBytes = 512 * 1024 * 1024;

async function engineWith(persist: PersistMode, effort: Effort): Promise<NativeEngine> {
  const path = join(effort.folder, `ports-${persist}.store`);
  await createStore(path, { sizeBytes: effort.quick ? storeBytes / 4 : storeBytes });
  const engine = await createEngine({
    ...engineDefaults,
    persist,
    store: { path, full: "overwrite", blockTimeoutMs: 1000 },
  });
  engine.start();
  return engine;
}

function forwarders(wires: Wires, engine: NativeEngine, marking: NativeEngine | undefined): Forwarder[] {
  const list = [linuxBridge(wires)];
  for (const kind of ["xdp", "tap"] as const) {
    const alone = raw(wires, kind);
    list.push(alone);
    const add = (what: string, against: string, logged: boolean, by = engine, options = "") =>
      list.push(theSwitch(wires, by, { what, against, kind, options, logged }));
    const plain = kind === "tap" ? ",offload=off" : "";
    add(kind, alone.what, false, engine, plain);
    add(`${kind}, logged`, kind, true, engine, plain);
    if (marking) add(`${kind}, logged, marked in place`, `${kind}, logged`, true, marking, plain);
    if (kind === "xdp") continue;
    add("tap, offload", kind, false, engine, ",offload=on");
    add("tap, offload, logged", "tap, offload", true, engine, ",offload=on");
  }
  return list;
}

interface Measured {
  perSecond: number[];
  cpuNs: number[];
  sent: number;
  arrived: number;
}

async function measure(wires: Wires, by: Forwarder, frameBytes: number, durationMs: number, into: Measured) {
  await by.open();
  try {
    await wires.announce(by.medium);
    const before = by.cpuNs?.();
    const { frames, arrived, elapsedNs } = await wires.send(by.medium, frameBytes, durationMs);
    if (before !== undefined) into.cpuNs.push((by.cpuNs!() - before) / Math.max(1, arrived));
    into.sent += frames;
    into.arrived += arrived;
    into.perSecond.push((arrived / elapsedNs) * 1e9);
  } finally {
    await by.close();
  }
}

const cpuOf = (what: string) => `${what}: CPU`;

async function ofSize(wires: Wires, list: readonly Forwarder[], frameBytes: number, effort: Effort): Promise<Row[]> {
  const measured = list.map((): Measured => ({ perSecond: [], cpuNs: [], sent: 0, arrived: 0 }));
  const durationMs = effort.quick ? 50 : 500;
  for (let round = 0; round < effort.rounds; round++)
    for (const [i, by] of list.entries()) await measure(wires, by, frameBytes, durationMs, measured[i]!);
  const rates: Row[] = [];
  const cpus: Row[] = [];
  for (const [i, { what, against }] of list.entries()) {
    const { perSecond, cpuNs, sent, arrived } = measured[i]!;
    const common = { bench: "ports", sizeBytes: frameBytes };
    const note = arrived >= sent ? "none lost" : `${sent - arrived} of ${sent} lost`;
    const pair = against === undefined ? {} : { pairedWith: against };
    rates.push({ ...common, what, unit: "frames/s", samples: perSecond, note, ...pair });
    if (cpuNs.length === 0) continue;
    const cpuPair = against === undefined ? {} : { pairedWith: cpuOf(against) };
    cpus.push({ ...common, what: cpuOf(what), unit: "ns/frame", samples: cpuNs, ...cpuPair });
  }
  return [...rates, ...cpus];
}

/** Open vSwitch with its ports of the kind that its build and this kernel have; undefined, and said why, when there is none. */
async function peer(wires: Wires, effort: Effort): Promise<{ ovs: OpenVSwitch; by: Forwarder } | undefined> {
  const reason = effort.quick ? "Open vSwitch is left out of a quick run" : OpenVSwitch.missing();
  if (reason !== undefined) {
    effort.say(`ports: ${reason}`);
    return undefined;
  }
  const ovs = new OpenVSwitch(wires.hub);
  try {
    await ovs.start();
    for (const type of ["afxdp", "system"] as const) {
      try {
        ovs.addPorts(wires.ends, type);
        return { ovs, by: openVSwitch(wires, ovs, type) };
      } catch (error) {
        effort.say(`ports: Open vSwitch has no ${type} ports here: ${(error as Error).message.trim()}`);
      } finally {
        ovs.removePorts(wires.ends);
      }
    }
  } catch (error) {
    effort.say(`ports: Open vSwitch is left out, it does not start: ${(error as Error).message.trim()}`);
  }
  ovs.close();
  return undefined;
}

export const ports: Bench = {
  summary: "namespace to namespace: AF_XDP and TAP ports, against the Linux bridge and Open vSwitch (needs root)",
  storeBytes: 2 * storeBytes,
  async run(effort) {
    if (process.getuid?.() !== 0) {
      effort.say("ports: left out, devices and network namespaces need root");
      return [];
    }
    let wires: Wires;
    try {
      wires = new Wires();
    } catch (error) {
      effort.say(`ports: left out, no network namespaces can be made here: ${(error as Error).message.trim()}`);
      return [];
    }
    const engines = [await engineWith("auto", effort)];
    if (!effort.quick) engines.push(await engineWith("mark", effort));
    const other = await peer(wires, effort);
    try {
      const list = forwarders(wires, engines[0]!, engines[1]);
      if (other) list.push(other.by);
      const rows: Row[] = [];
      for (const frameBytes of effort.quick ? [64] : [64, 1514])
        rows.push(...(await ofSize(wires, list, frameBytes, effort)));
      return rows;
    } finally {
      other?.ovs.close();
      for (const engine of engines) await engine.drain();
      wires.close();
    }
  },
};
