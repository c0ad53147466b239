import { Random } from "../../logger/traffic/random.js";
import { type Maker, makers, over4, tcp4 } from "./awkward-kinds.js";
import { ethernet, protocols, types, udp } from "./awkward-packets.js";

/** One frame as it was captured: `data` may be shorter than `wireLength`. `kind` says what is awkward about it. */
export interface AwkwardFrame {
  readonly kind: string;
  readonly data: Buffer;
  readonly wireLength: number;
  readonly timeNs: bigint;
}

export interface AwkwardOptions {
  /** Frames of 64 KiB to 256 KiB, which only imports and stores take. */
  readonly giants?: boolean;
  /** Frames of 0 to 13 bytes, which are no Ethernet frames. */
  readonly tiny?: boolean;
  /** Frames that a snapshot length cut: captured less than there was on the wire. Default true. */
  readonly cuts?: boolean;
  /** No frame is longer on the wire: 1514 for a usual port, 9018 (the default) for jumbo frames. */
  readonly lengthMax?: number;
}

/** Frames are at least the 60 bytes long that Ethernet asks for without its checksum; runts are a kind of their own. */
function pad(frame: Buffer): Buffer {
  return frame.length >= 60 ? frame : Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

/** Kinds whose frames have lengths of their own, which must not be padded or made shorter. */
const oddSizes: Record<string, { make: Maker; when: (options: AwkwardOptions) => boolean }> = {
  runt: { make: (r) => ethernet(r, types.ipv4, tcp4(r), r.bytes(60)).subarray(0, r.between(14, 59)), when: () => true },
  jumbo: {
    make: (r) =>
      ethernet(
        r,
        types.ipv4,
        over4(r, protocols.udp, (a) => udp(r, r.bytes(r.pick([8976, r.between(1473, 8976)])), a)),
      ),
    when: (options) => (options.lengthMax ?? 9018) >= 9018,
  },
  giant: {
    make: (r) =>
      ethernet(r, types.ipv6, r.bytes(r.pick([256 * 1024 - 14, 64 * 1024, r.between(64 * 1024, 256 * 1024 - 14)]))),
    when: (options) => options.giants ?? false,
  },
  tiny: { make: (r) => r.bytes(r.below(14)), when: (options) => options.tiny ?? false },
};

/** The names of all kinds that these options let be generated. */
export function awkwardKinds(options: AwkwardOptions = {}): string[] {
  return [...Object.keys(makers), ...Object.keys(oddSizes).filter((kind) => oddSizes[kind]!.when(options))];
}

/** One frame of a kind, uncut. */
export function awkwardFrame(kind: string, random: Random): Buffer {
  const odd = oddSizes[kind];
  if (odd) return odd.make(random);
  const make = makers[kind];
  if (!make) throw new RangeError(`no kind of awkward frame is called ${kind}`);
  return pad(make(random));
}

/**
 * `count` frames of all kinds in a random order that `seed` decides; print the seed where a test fails. Times start in
 * 2023 and mostly advance, but stand still, run backwards and jump as well.
 */
export function awkwardFrames(seed: number, count: number, options: AwkwardOptions = {}): AwkwardFrame[] {
  const random = new Random(seed);
  const kinds = awkwardKinds(options);
  const lengthMax = options.giants ? 256 * 1024 : (options.lengthMax ?? 9018);
  let timeNs = 1_700_000_000_000_000_000n;
  return Array.from({ length: count }, () => {
    const kind = random.pick(kinds);
    const whole = awkwardFrame(kind, random).subarray(0, lengthMax);
    const data = (options.cuts ?? true) && random.chance(0.15) ? whole.subarray(0, cut(random, whole.length)) : whole;
    timeNs += step(random);
    return { kind, data: Buffer.from(data), wireLength: whole.length, timeNs };
  });
}

/** Where a snapshot length may cut: anywhere in the headers most of all. An Ethernet header at least is left. */
function cut(random: Random, length: number): number {
  return Math.min(length, random.chance(0.8) ? random.between(14, 100) : random.between(14, Math.max(14, length)));
}

function step(random: Random): bigint {
  const kind = random.below(100);
  if (kind < 15) return 0n;
  if (kind < 25) return -BigInt(random.below(1_000_000_000));
  if (kind === 25) return 86_400_000_000_000n;
  return BigInt(random.below(100_000));
}
