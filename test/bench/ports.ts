// Frames from one namespace to another: veth -> switch -> veth, against the Linux bridge on the same interfaces. The sender sends as
// fast as its core can; counted is what arrived, by the kernel, on the receiver's interface.
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compileFilter } from "../../logger/filter/compile.js";
import { createStore } from "../../logger/store.js";
import { createEngine, type NativeEngine } from "../../native/engine.js";
import type { PacketSourceOptions, PacketSourceResult } from "../../native/index.js";
import type { Bench, Effort } from "./bench.js";
import type { Row } from "./report.js";

const storeBytes = 512 * 1024 * 1024;
const sourceProgram = fileURLToPath(new URL("./packet-source-process.js", import.meta.url));
const ip = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const sender = 1;
const receiver = 2;

/** Two hosts, each a namespace with one end of a veth pair; the other ends are in `hub`. */
class Wires {
  readonly mark = randomBytes(3).toString("hex");
  readonly hub = `paste-${this.mark}-hub`;
  readonly hosts = [`paste-${this.mark}-a`, `paste-${this.mark}-b`] as const;
  readonly ends = [`sa${this.mark}`, `sb${this.mark}`] as const;

  constructor() {
    for (const name of [this.hub, ...this.hosts]) {
      ip("netns", "add", name);
      // Nobody speaks unasked, and a bridge is a bridge: where its frames would go through iptables, they do not here.
      const quiet =
        "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done;" +
        "for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e $f ] || echo 0 > $f; done";
      ip("netns", "exec", name, "sh", "-c", quiet);
    }
    for (const [i, end] of this.ends.entries()) {
      ip("-n", this.hub, "link", "add", "name", end, "type", "veth", "peer", "name", "e0", "netns", this.hosts[i]!);
      ip("-n", this.hosts[i]!, "link", "set", "e0", "up");
      ip("-n", this.hub, "link", "set", end, "up");
    }
  }

  async send(host: 0 | 1, options: Partial<PacketSourceOptions>): Promise<PacketSourceResult> {
    const [from, to] = host === 0 ? [sender, receiver] : [receiver, sender];
    const text = JSON.stringify({ interface: "e0", from, to, ...options });
    const args = ["netns", "exec", this.hosts[host], process.execPath, sourceProgram, text];
    return JSON.parse((await promisify(execFile)("ip", args)).stdout);
  }

  /** Frames that came to the receiving host. */
  arrived(): number {
    const [link] = JSON.parse(ip("-n", this.hosts[1], "-s", "-j", "link", "show", "dev", "e0"));
    return link.stats64.rx.packets - link.stats64.rx.dropped;
  }

  close(): void {
    for (const name of [...this.hosts, this.hub]) ip("netns", "delete", name);
  }
}

interface Side {
  what: string;
  open(): void;
  close(): void;
}

function sidesOf(wires: Wires, engine: NativeEngine): Side[] {
  const names = wires.ends.map((end) => `vale0:${end}`);
  const attach = (filter: string | undefined) => {
    const program = compileFilter("").bytes;
    const everything = {
      name: "all",
      filter: "",
      program,
      inPorts: [],
      outPorts: [],
      snaplen: 262_144,
      sample: 1,
      skip: false,
    };
    engine.setRules(filter === undefined ? [] : [everything], "");
    for (const [i, end] of wires.ends.entries()) engine.attach(names[i]!, `xdp:${end},netns=${wires.hub}`);
  };
  const detach = () => {
    for (const name of names) engine.detach(name);
  };
  return [
    {
      what: "linux bridge",
      open() {
        ip("-n", wires.hub, "link", "add", "name", "br0", "type", "bridge");
        ip("-n", wires.hub, "link", "set", "br0", "up");
        for (const end of wires.ends) ip("-n", wires.hub, "link", "set", end, "master", "br0");
      },
      close: () => ip("-n", wires.hub, "link", "delete", "br0"),
    },
    { what: "xdp", open: () => attach(undefined), close: detach },
    { what: "xdp, logged", open: () => attach(""), close: detach },
  ];
}

interface Measured {
  perSecond: number[];
  cpuNs: number[];
  sent: number;
  arrived: number;
}

async function measure(
  wires: Wires,
  side: Side,
  frameBytes: number,
  durationMs: number,
  into: Measured,
): Promise<void> {
  side.open();
  try {
    await wires.send(1, { framesMax: 1 }); // the receiver says where it is
    const before = wires.arrived();
    const cpu = process.cpuUsage();
    const { frames, elapsedNs } = await wires.send(0, { frameBytes, durationMs });
    const used = process.cpuUsage(cpu);
    const came = await settled(wires, before);
    into.sent += frames;
    into.arrived += came;
    into.perSecond.push((came / elapsedNs) * 1e9);
    into.cpuNs.push(((used.user + used.system) * 1000) / Math.max(1, came));
  } finally {
    side.close();
  }
}

/** Frames that came since `before`, once no more come. */
async function settled(wires: Wires, before: number): Promise<number> {
  for (let last = -1, now = wires.arrived(); ; last = now, now = wires.arrived()) {
    if (now === last) return now - before;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function ofSize(wires: Wires, engine: NativeEngine, frameBytes: number, effort: Effort): Promise<Row[]> {
  const sides = sidesOf(wires, engine);
  const measured = sides.map((): Measured => ({ perSecond: [], cpuNs: [], sent: 0, arrived: 0 }));
  const durationMs = effort.quick ? 100 : 1000;
  for (let round = 0; round < effort.rounds; round++)
    for (const [i, side] of sides.entries()) await measure(wires, side, frameBytes, durationMs, measured[i]!);
  const rows: Row[] = [];
  for (const [i, { what }] of sides.entries()) {
    const { perSecond, cpuNs, sent, arrived } = measured[i]!;
    const lost = sent - arrived;
    const note = `${((100 * Math.max(0, lost)) / sent).toFixed(1)} % of ${sent} sent lost`;
    const common = { bench: "ports", what, sizeBytes: frameBytes };
    rows.push({
      ...common,
      unit: "frames/s",
      samples: perSecond,
      note,
      ...(i > 0 ? { pairedWith: sides[i - 1]!.what } : {}),
    });
    if (i > 0) rows.push({ ...common, what: `${what}, CPU of the switch's process`, unit: "ns/frame", samples: cpuNs });
  }
  return rows;
}

export const ports: Bench = {
  summary: "namespace to namespace over veth: AF_XDP ports against the Linux bridge, sender at full speed (needs root)",
  storeBytes,
  async run(effort) {
    if (process.getuid?.() !== 0) return [];
    const wires = new Wires();
    const path = join(effort.folder, "ports.store");
    await createStore(path, { sizeBytes: effort.quick ? storeBytes / 4 : storeBytes });
    const engine = await createEngine({
      threads: 1,
      wait: "adaptive",
      durability: "strict",
      persist: "auto",
      markBytesMin: 0,
      macEntries: 1024,
      macEntriesPerPort: 1024,
      macAgeMs: 300_000,
      portsSocket: "",
      socketMode: 0o600,
      socketGid: -1,
      store: { path, full: "overwrite", blockTimeoutMs: 1000 },
    });
    engine.start();
    try {
      const rows: Row[] = [];
      for (const frameBytes of effort.quick ? [64] : [64, 1514])
        rows.push(...(await ofSize(wires, engine, frameBytes, effort)));
      return rows;
    } finally {
      await engine.drain();
      wires.close();
    }
  },
};
