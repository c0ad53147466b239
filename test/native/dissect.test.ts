import test from "ava";
import fc from "fast-check";
import { Random } from "../../logger/traffic/random.js";
import { ethernet, ipv4, ipv6, protocols, tag, types, u8, u16, u32, udp } from "../support/awkward-packets.js";
import { awkwardFrames } from "../support/awkward-traffic.js";
import { FrameValues } from "../support/frame-values.js";
import { type Dissected, dissect } from "../support/native-index.js";

const random = new Random(1);
const a4 = [u8(10, 0, 0, 1), u8(10, 0, 0, 2)] as const;
const a6 = [u16(0xfd00, 0, 0, 0, 0, 0, 0, 1), u16(0xfd00, 0, 0, 0, 0, 0, 0, 2)] as const;
const datagram = (to: number, payload = Buffer.from("abc")) => udp(random, payload, a4, [1000, to]);
const inner = ethernet(random, types.ipv4, ipv4(random, protocols.udp, datagram(9), { addresses: a4 }));
const over = (protocol: number, payload: Buffer) =>
  ethernet(random, types.ipv4, ipv4(random, protocol, payload, { addresses: a4 }));

/** The layers in short: version, protocols, ports. */
const layers = ({ layers: all }: Dissected) =>
  all.map((one) => `${one.version} ${one.protocols.join(",")} ${one.portSource ?? "-"}>${one.portDestination ?? "-"}`);

const cases: {
  name: string;
  frame: Buffer;
  tunnels?: boolean;
  layers: string[];
  types: number[];
  tags?: number[];
  odd?: boolean;
}[] = [
  { name: "a datagram", frame: over(17, datagram(53)), layers: ["4 17 1000>53"], types: [0x800] },
  {
    name: "two tags",
    frame: ethernet(
      random,
      types.qinq,
      u16(7, types.vlan),
      u16(8, types.ipv4),
      ipv4(random, 17, datagram(5), { addresses: a4 }),
    ),
    layers: ["4 17 1000>5"],
    types: [0x88a8, 0x8100, 0x800],
    tags: [7, 8],
  },
  {
    name: "MPLS with two labels",
    frame: ethernet(random, types.mpls, u32(0x00010040, 0x00020140), ipv4(random, 17, datagram(5), { addresses: a4 })),
    layers: ["4 17 1000>5"],
    types: [0x8847, 0x800],
  },
  {
    name: "PPPoE with IPv6",
    frame: ethernet(
      random,
      types.pppoeSession,
      u8(0x11, 0),
      u16(1, 100, 0x57),
      ipv6(random, 58, u8(135, 0, 0, 0), { addresses: a6 }),
    ),
    layers: ["6 58 ->-"],
    types: [0x8864, 0x86dd],
  },
  {
    name: "IPv6 with three extension headers",
    frame: ethernet(
      random,
      types.ipv6,
      ipv6(
        random,
        0,
        Buffer.concat([
          u8(43, 0),
          Buffer.alloc(6),
          u8(60, 1),
          Buffer.alloc(14),
          u8(17, 0),
          Buffer.alloc(6),
          datagram(7),
        ]),
        { addresses: a6 },
      ),
    ),
    layers: ["6 0,43,60,17 1000>7"],
    types: [0x86dd],
  },
  {
    name: "VXLAN unless asked",
    frame: over(17, datagram(4789, Buffer.concat([u32(0x08000000, 5 << 8), inner]))),
    layers: ["4 17 1000>4789"],
    types: [0x800],
  },
  {
    name: "VXLAN",
    frame: over(17, datagram(4789, Buffer.concat([u32(0x08000000, 5 << 8), inner]))),
    tunnels: true,
    layers: ["4 17 1000>4789", "4 17 1000>9"],
    types: [0x800, 0x800],
  },
  {
    name: "GENEVE with options",
    frame: over(17, datagram(6081, Buffer.concat([u8(1, 0), u16(types.teb), u32(5 << 8, 0), inner]))),
    tunnels: true,
    layers: ["4 17 1000>6081", "4 17 1000>9"],
    types: [0x800, 0x800],
  },
  { name: "GRE with a key", frame: over(47, Buffer.concat([u16(0x2000, types.teb), u32(1), inner])), tunnels: true, layers: ["4 47 ->-", "4 17 1000>9"], types: [0x800, 0x800] }, // biome-ignore format: a row
  { name: "ERSPAN II", frame: over(47, Buffer.concat([u16(0x1000, 0x88be), u32(1, 0, 0), inner])), tunnels: true, layers: ["4 47 ->-", "4 17 1000>9"], types: [0x800, 0x800] }, // biome-ignore format: a row
  { name: "IPv6 in IPv4", frame: over(41, ipv6(random, 17, datagram(9), { addresses: a6 })), tunnels: true, layers: ["4 41 ->-", "6 17 1000>9"], types: [0x800, 0x86dd] }, // biome-ignore format: a row
  {
    name: "IP in IP in IP in IP in IP: four layers, and it is odd",
    frame: over(4, [1, 2, 3, 4].reduce((packet) => ipv4(random, 4, packet, { addresses: a4 }), ipv4(random, 17, datagram(9), { addresses: a4 }))), // biome-ignore format: a row
    tunnels: true,
    layers: ["4 4 ->-", "4 4 ->-", "4 4 ->-", "4 4 ->-"],
    types: [0x800, 0x800, 0x800, 0x800, 0x800],
    odd: true,
  },
  {
    name: "nine tags: eight, and it is odd",
    frame: ethernet(random, types.vlan, ...Array.from({ length: 9 }, (_, i) => u16(i + 1, i === 8 ? types.ipv4 : types.vlan)), ipv4(random, 17, datagram(5))), // biome-ignore format: a row
    layers: [],
    types: [0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100],
    tags: [1, 2, 3, 4, 5, 6, 7, 8],
    odd: true,
  },
  { name: "a later fragment", frame: ethernet(random, types.ipv4, ipv4(random, 17, datagram(5), { fragment: 10 })), layers: ["4 17 ->-"], types: [0x800] }, // biome-ignore format: a row
  { name: "a first fragment", frame: ethernet(random, types.ipv4, ipv4(random, 17, datagram(5), { fragment: 0x2000 })), layers: ["4 17 1000>5"], types: [0x800] }, // biome-ignore format: a row
  { name: "a header of four words", frame: ethernet(random, types.ipv4, ipv4(random, 17, datagram(5), { versionAndLength: 0x44 })), layers: ["4 17 ->-"], types: [0x800], odd: true }, // biome-ignore format: a row
  { name: "half a header", frame: over(17, datagram(5)).subarray(0, 30), layers: [], types: [0x800], odd: true },
  { name: "half the ports", frame: over(17, datagram(5)).subarray(0, 36), layers: ["4 17 1000>-"], types: [0x800] },
  { name: "no frame", frame: Buffer.alloc(5), layers: [], types: [], odd: true },
  {
    name: "a tag at the end",
    frame: ethernet(random, types.vlan, tag(random, 5, 0).subarray(0, 2)),
    layers: [],
    types: [0x8100],
    odd: true,
  },
];

for (const one of cases)
  test(one.name, (t) => {
    const found = dissect(one.frame, one.tunnels ?? false);
    t.deepEqual(layers(found), one.layers);
    t.deepEqual(found.types, one.types);
    if (one.tags) t.deepEqual(found.tags.map((tci) => tci & 0xfff), one.tags); // biome-ignore format: one line
    t.is(found.odd, one.odd ?? false);
  });

test("places of a TCP segment", (t) => {
  const segment = Buffer.concat([u16(1, 2), u32(3, 4), u16(0x6012, 5, 6, 7), u32(8), Buffer.from("payload")]);
  const [layer] = dissect(over(6, segment), false).layers;
  t.like(layer, { version: 4, offset: 14, headerBytes: 20, transport: 34, payload: 58, tcpFlags: 0x12 });
  t.deepEqual([layer!.source, layer!.destination], [Buffer.from(a4[0]), Buffer.from(a4[1])]);
});

for (const tunnels of [false, true])
  test(`awkward frames, ${tunnels ? "with" : "without"} tunnels: what a second parser finds is found, and no more where the frame is not odd`, (t) => {
    let whole = 0;
    for (const { kind, data } of awkwardFrames(21, 3000, { tiny: true })) {
      const found = dissect(data, tunnels);
      const second = new FrameValues(data, tunnels);
      const values = new Map<number, Set<string>>();
      const add = (field: number, value: string) => values.set(field, (values.get(field) ?? new Set()).add(value));
      const number = (field: number, value: number, bytes: number) =>
        add(field, value.toString(16).padStart(2 * bytes, "0"));
      for (const type of found.types) number(4, type, 2);
      for (const tci of found.tags) number(3, tci & 0xfff, 2);
      for (const layer of found.layers) {
        for (const [field, address] of [[5, layer.source], [6, layer.destination]] as const) // biome-ignore format: one pair
          add(field, (address.length === 4 ? "00000000000000000000ffff" : "") + address.toString("hex"));
        for (const protocol of layer.protocols) number(7, protocol, 1);
        if (layer.portSource !== undefined) number(8, layer.portSource, 2);
        if (layer.portDestination !== undefined) number(9, layer.portDestination, 2);
        if (layer.icmpType !== undefined) number(10, (layer.version << 8) | layer.icmpType, 2);
      }
      for (const field of [3, 4, 5, 6, 7, 8, 9, 10]) {
        const [ours, theirs] = [[...(values.get(field) ?? [])].sort(), [...(second.values.get(field) ?? [])].sort()];
        if (!found.odd) t.deepEqual(theirs.filter((value) => !ours.includes(value)), [], `${kind} ${field}`); // biome-ignore format: one line
        if (!found.odd && !second.odd) t.deepEqual(ours, theirs, `${kind} ${field} ${data.toString("hex", 0, 120)}`);
      }
      if (!found.odd && !second.odd) whole++;
    }
    t.true(whole > 2000);
  });

test("any bytes: every place is in the frame", (t) => {
  const starts = cases.map(({ frame }) => frame);
  fc.assert(
    fc.property(fc.nat(), fc.uint8Array({ maxLength: 200 }), fc.nat(120), (which, bytes, kept) => {
      const frame = Buffer.concat([starts[which % starts.length]!.subarray(0, kept), bytes]);
      for (const tunnels of [false, true])
        for (const layer of dissect(frame, tunnels).layers) {
          t.true(layer.transport <= frame.length && layer.payload <= frame.length && layer.payload >= layer.transport);
          t.true(layer.offset + 20 <= frame.length && layer.protocols.length <= 10);
        }
    }),
    { numRuns: 3000 },
  );
});
