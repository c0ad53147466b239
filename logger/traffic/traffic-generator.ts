import type { CaptureBatch } from "../capture/capture.js";
import { FrameColumns } from "../capture/frame-columns.js";
import { PasteError } from "../errors.js";
import {
  announcement,
  arp,
  type Conversation,
  connection,
  datagrams,
  dns,
  echo,
  neighbourDiscovery,
  shout,
} from "./conversations.js";
import { FrameWriter, type Host } from "./frame-writer.js";
import { Random } from "./random.js";

export interface TrafficOptions {
  readonly seed: number;
  /** Default 32; 4 to 4096. */
  readonly hosts?: number;
  /** Switch ports that the hosts are spread over. Default 4; 1 to 254. */
  readonly ports?: number;
  /** Time of the first frame. Default 2024-01-01T00:00:00Z, so that a seed gives the same bytes always. */
  readonly startNs?: bigint;
  /** Mean rate that the times show. Default 100000. */
  readonly framesPerSecond?: number;
  /** The first test sequence number. Default 0. */
  readonly firstSequence?: bigint;
}

/** What two hosts may do, and how often: the weights make the sizes like those of the Internet mix (small, 576, full). */
const weights = [
  [connection, 30],
  [datagrams, 25],
  [dns, 25],
  [echo, 8],
  [arp, 5],
  [neighbourDiscovery, 4],
  [shout, 3],
] as const;
const kinds = weights.flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind));
const vlans = [0, 10, 20];

/**
 * Believable traffic between many hosts: they announce themselves, then talk, many conversations at a time. All of it
 * follows from the seed. In the batches the column `interfaces` is the switch port on which a frame enters.
 */
export class TrafficGenerator {
  readonly hosts: readonly Host[];
  readonly #random: Random;
  readonly #writer: FrameWriter;
  readonly #peers: readonly (readonly Host[])[];
  readonly #active: Conversation[] = [];
  readonly #columns = new FrameColumns();
  readonly #gapNs: number;
  readonly #startNs: bigint;
  /** Nanoseconds since the start; exact in a double for over a hundred days. */
  #elapsedNs = 0;

  constructor(options: TrafficOptions) {
    const count = checked(options.hosts ?? 32, 4, 4096, "hosts");
    const ports = checked(options.ports ?? 4, 1, 254, "ports");
    this.#random = new Random(options.seed);
    this.#writer = new FrameWriter(this.#random);
    this.#writer.sequence = options.firstSequence ?? 0n;
    this.#startNs = options.startNs ?? 1_704_067_200_000_000_000n;
    this.#gapNs = 1e9 / checked(options.framesPerSecond ?? 100_000, 1, 1e9, "framesPerSecond");
    this.hosts = makeHosts(count, ports);
    this.#peers = vlans
      .map((vlan) => this.hosts.filter((host) => host.vlan === vlan))
      .filter((peers) => peers.length > 1);
    const { writer, random } = { writer: this.#writer, random: this.#random };
    for (const host of this.hosts) this.#active.push(announcement({ writer, random, client: host, server: host }));
  }

  /** The test sequence number that the next frame with one will carry. */
  get nextSequence(): bigint {
    return this.#writer.sequence;
  }

  /** The next `frames` frames. */
  next(frames: number): CaptureBatch {
    const writer = this.#writer;
    writer.renew(frames);
    for (let i = 0; i < frames; i++) {
      const sender = this.#step();
      const length = writer.position - writer.start;
      this.#elapsedNs += Math.floor(this.#gapNs * (this.#random.below(2001) / 1000));
      const time = BigInt.asUintN(64, this.#startNs + BigInt(this.#elapsedNs));
      this.#columns.push(writer.start, length, length, Number(time >> 32n), Number(time & 0xffffffffn), sender.port);
    }
    return this.#columns.take(writer.data);
  }

  /** Lets one conversation go on by one frame; one that has ended makes room for another. */
  #step(): Host {
    for (;;) {
      const index = this.#random.below(this.#active.length);
      const step = this.#active[index]!.next();
      if (!step.done) return step.value;
      this.#active[index] = this.#begin();
    }
  }

  #begin(): Conversation {
    const peers = this.#random.pick(this.#peers);
    const client = this.#random.pick(peers);
    let server = this.#random.pick(peers);
    while (server === client) server = this.#random.pick(peers);
    return this.#random.pick(kinds)({ writer: this.#writer, random: this.#random, client, server });
  }
}

/** Hosts in rows over the ports; each row is in one VLAN, so that every VLAN reaches over the ports. */
function makeHosts(count: number, ports: number): Host[] {
  const row = Math.max(2, ports);
  return Array.from({ length: count }, (_, i) => {
    // A host that would be alone in the last row goes to the first VLAN.
    const alone = count - Math.floor(i / row) * row < 2;
    const vlan = alone ? 0 : vlans[Math.floor(i / row) % vlans.length]!;
    const number = i + 1;
    const ipv6 = Buffer.alloc(16);
    ipv6.writeUInt16BE(0xfd00, 0);
    ipv6.writeUInt16BE(vlan, 2);
    ipv6.writeUInt16BE(number, 14);
    const mac = Buffer.from([0x02, 0x50, 0x53, 0, number >>> 8, number & 0xff]);
    return { mac, ipv4: ((10 << 24) | (vlan << 16) | number) >>> 0, ipv6, vlan, port: i % ports };
  });
}

function checked(value: number, least: number, most: number, name: string): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new PasteError("USAGE", `generated traffic: ${name} is ${value}: give a whole number from ${least} to ${most}`);
}

/** Traffic in one go: all frames in one batch, and the hosts with their ports. */
export function generateTraffic(options: TrafficOptions & { readonly frames: number }): {
  readonly batch: CaptureBatch;
  readonly hosts: readonly Host[];
} {
  const generator = new TrafficGenerator(options);
  return { batch: generator.next(options.frames), hosts: generator.hosts };
}
