// `any host`, `any net`, `any port`, `any portrange`, `any proto`: over frames whose layers are known because they were built here.
import test from "ava";
import fc from "fast-check";
import { FrameSelector } from "../../../logger/filter/bpf-program.js";
import { compileFilter } from "../../../logger/filter/compile.js";
import { batchOf, seed } from "./frames.js";
import {
  addressBytes,
  addresses4,
  addresses6,
  fragmentedFrames,
  type Layer,
  type LayeredFrame,
  layeredFrames,
  portsUsed,
} from "./layered-frames.js";

interface AnyTest {
  text: string;
  holds: (layer: Layer) => boolean;
}

const directions = ["", "src", "dst", "src or dst", "src and dst"] as const;
function directed(direction: string, source: boolean, destination: boolean): boolean {
  if (direction === "src") return source;
  if (direction === "dst") return destination;
  return direction === "src and dst" ? source && destination : source || destination;
}

function inNet(address: string, net: string, bits: number): boolean {
  const [a, b] = [addressBytes(address), addressBytes(net)];
  if (a.length !== b.length) return false;
  const text = (bytes: Buffer) =>
    [...bytes]
      .map((byte) => byte.toString(2).padStart(8, "0"))
      .join("")
      .slice(0, bits);
  return text(a) === text(b);
}

const words = (...parts: string[]): string => parts.filter(Boolean).join(" ");
const direction = fc.constantFrom(...directions);
const anyCondition: fc.Arbitrary<AnyTest> = fc.oneof(
  fc.tuple(direction, fc.constantFrom(...addresses4, ...addresses6, "10.9.9.9")).map(
    ([way, address]): AnyTest => ({
      text: words("any", way, "host", address),
      holds: ({ source, destination }) => directed(way, source === address, destination === address),
    }),
  ),
  fc
    .tuple(
      direction,
      fc.constantFrom(
        ["10.0.0.0", 8],
        ["10.0.0.0", 16],
        ["0.0.0.0", 0],
        ["2001:db8::", 32],
        ["2001:db8::", 48],
        ["::", 0],
      ) as fc.Arbitrary<[string, number]>,
    )
    .map(
      ([way, [net, bits]]): AnyTest => ({
        text: words("any", way, "net", `${net}/${bits}`),
        holds: ({ source, destination }) => directed(way, inNet(source, net, bits), inNet(destination, net, bits)),
      }),
    ),
  fc.tuple(direction, fc.constantFrom(...portsUsed, 4789, 6081, 7)).map(
    ([way, port]): AnyTest => ({
      text: words("any", way, "port", `${port}`),
      holds: ({ ports }) => ports !== undefined && directed(way, ports[0] === port, ports[1] === port),
    }),
  ),
  fc.tuple(direction, fc.constantFrom([1, 79], [80, 443], [5000, 5001], [0, 65535])).map(
    ([way, [low = 0, high = 0]]): AnyTest => ({
      text: words("any", way, "portrange", `${low}-${high}`),
      holds: ({ ports }) => {
        const [from, to] = (ports ?? [-1, -1]).map((port) => port >= low && port <= high);
        return directed(way, from!, to!);
      },
    }),
  ),
  fc.constantFrom(1, 4, 6, 17, 33, 41, 44, 47, 60, 132, 99).map(
    (number): AnyTest => ({
      text: `any proto ${number}`,
      holds: ({ protocols }) => protocols.includes(number),
    }),
  ),
);

function timedBatch(frames: readonly LayeredFrame[]) {
  return { ...batchOf(frames), timesNs: BigInt64Array.from(frames, ({ timeNs }) => timeNs) };
}

function check(
  t: { deepEqual: (a: unknown, b: unknown, message?: string) => boolean },
  frames: readonly LayeredFrame[],
): number {
  let selected = 0;
  // In several batches: what is known of fragments lasts from one to the next.
  const batches = [0, 1, 2]
    .map((i) => frames.slice((i * frames.length) / 3, ((i + 1) * frames.length) / 3))
    .map(timedBatch);
  fc.assert(
    fc.property(anyCondition, ({ text, holds }) => {
      const selector = new FrameSelector(compileFilter(text, { record: "time" }));
      const expected = frames.map(({ layers }) => Number(layers.some(holds)));
      t.deepEqual(
        batches.flatMap((batch) => [...selector.select(batch)]),
        expected,
        text,
      );
      selected += expected.filter(Boolean).length;
    }),
    { numRuns: 300, seed },
  );
  return selected;
}

test("every layer is seen, through tags, labels, sessions and tunnels", (t) => {
  t.log(`seed ${seed}`);
  t.true(check(t, layeredFrames(seed, 600)) > 10_000);
});

test("later fragments have the ports of a first one before them, for a minute", (t) => {
  t.log(`seed ${seed}`);
  t.true(check(t, fragmentedFrames(seed, 300)) > 10_000);
});

test("values take over the words before them, and names of services their transport", (t) => {
  const frames = layeredFrames(seed, 300);
  const count = (text: string) =>
    new FrameSelector(compileFilter(text, { record: "time" })).select(timedBatch(frames)).join("");
  t.is(count("any src port 53 or 80"), count("any src port 53 or any src port 80"));
  t.is(count("any host 10.0.0.1 and not any host 10.0.0.2"), count("any host 10.0.0.1 and not (any host 10.0.0.2)"));
  t.is(count("any port domain"), count("any port 53"));
  t.not(count("any port http"), count("any port 80"));
  t.is(count("any proto \\udp"), count("any proto 17"));
  t.is(count("any net 10"), count("any net 10.0.0.0/8"));
  t.is(count("vlan and any host 10.0.0.1"), count("any host 10.0.0.1 and vlan"));
});

const wrong: readonly (readonly [text: string, message: string])[] = [
  [
    "any",
    'filter: the filter ends too early at column 4: expected "host", "net", "port", "portrange" or "proto", perhaps behind "src" or "dst"',
  ],
  [
    "any tcp",
    'filter: unexpected "tcp" at column 5: expected "host", "net", "port", "portrange" or "proto", perhaps behind "src" or "dst"',
  ],
  ["any host foo", 'filter: "foo" is no address at column 10: host names are not looked up, give the address'],
  ["any host 10.0.0.0/8", 'filter: "10.0.0.0/8" is a network at column 10: did you mean "any net 10.0.0.0/8"?'],
  [
    "any host 1:2:3:4:5:6",
    'filter: an Ethernet address behind "any" at column 10: write "ether host", "ether src" or "ether dst"',
  ],
  ["any port 70000", "filter: port 70000 is too large at column 10: the largest is 65535"],
  ["any port htpp", 'filter: unknown service "htpp" at column 10: did you mean "http"?'],
  ["any proto 300", "filter: protocol 300 is too large at column 11: the largest is 255"],
  ["any src proto 6", 'filter: "proto" takes no direction at column 9: leave out "src" and "dst"'],
];
for (const [text, message] of wrong)
  test(`what any cannot ask is said, with its column: ${text}`, (t) => {
    t.throws(() => compileFilter(text, { record: "time" }), { code: "FILTER", message });
  });

test("rules refuse it, and say what to write", (t) => {
  t.throws(() => compileFilter("tcp or any port 53"), {
    code: "FILTER",
    message:
      'filter: "any" is not for rules at column 8: it looks into tunnels and remembers fragments: write host, net, port or proto, behind vlan or mpls where needed',
  });
});

test("more than 256 different ones are refused", (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `any port ${i}`).join(" or ");
  t.is(compileFilter(many(256), { record: "time" }).tests.length, 256);
  t.throws(() => compileFilter(many(257), { record: "time" }), { code: "FILTER", message: /more than 256 different/ });
});
