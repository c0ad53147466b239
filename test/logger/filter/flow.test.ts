// `flow A:p B:q proto` is the conversation that pcap-filter(7) needs many words for, in both directions, and nothing else.
import test from "ava";
import { PasteError } from "../../../logger/errors.js";
import { selectFrames } from "../../../logger/filter/bpf-program.js";
import { compileFilter } from "../../../logger/filter/compile.js";
import { batchOf, testFrames } from "./frames.js";

const written: readonly (readonly [flow: string, long: string])[] = [
  [
    "flow 10.0.0.1:80 10.0.0.2:1234 tcp",
    "(ip src host 10.0.0.1 and ip dst host 10.0.0.2 and tcp src port 80 and tcp dst port 1234) or " +
      "(ip src host 10.0.0.2 and ip dst host 10.0.0.1 and tcp src port 1234 and tcp dst port 80)",
  ],
  [
    'vlan and not flow "[2001:db8::1]:53" [fe80::1]:40000 udp',
    "vlan and not ((ip6 src host 2001:db8::1 and ip6 dst host fe80::1 and udp src port 53 and udp dst port 40000) or " +
      "(ip6 src host fe80::1 and ip6 dst host 2001:db8::1 and udp src port 40000 and udp dst port 53))",
  ],
  [
    "(flow 10.0.0.1:0 10.0.0.1:0 sctp) or arp",
    "(ip src host 10.0.0.1 and ip dst host 10.0.0.1 and sctp src port 0 and sctp dst port 0) or arp",
  ],
];

for (const [flow, long] of written)
  test(`${flow} is its long form`, (t) => {
    const batch = batchOf(testFrames(7, 4000));
    t.deepEqual(selectFrames(compileFilter(flow).bytes, batch), selectFrames(compileFilter(long).bytes, batch));
  });

/** An Ethernet frame with IPv4 or IPv6 and the ports of TCP or UDP. */
function frame(from: string, to: string, ports: readonly [number, number], protocol: number, six = false): Buffer {
  const data = Buffer.alloc(80);
  const ip = 14;
  data.writeUInt16BE(six ? 0x86dd : 0x0800, 12);
  if (six) {
    data.writeUInt8(0x60, ip);
    data.writeUInt8(protocol, ip + 6);
    data.write(from, ip + 8, "hex");
    data.write(to, ip + 24, "hex");
  } else {
    data.writeUInt8(0x45, ip);
    data.writeUInt8(protocol, ip + 9);
    for (const [at, address] of [
      [12, from],
      [16, to],
    ] as const)
      for (const [i, part] of address.split(".").entries()) data.writeUInt8(Number(part), ip + at + i);
  }
  const transport = ip + (six ? 40 : 20);
  data.writeUInt16BE(ports[0], transport);
  data.writeUInt16BE(ports[1], transport + 2);
  return data;
}

const selected = (filter: string, frames: readonly Buffer[]): number[] => [
  ...selectFrames(compileFilter(filter).bytes, batchOf(frames.map((data) => ({ data, wireLength: data.length })))),
];

test("both directions, and neither other ports, nor crossed ones, nor another transport", (t) => {
  const [a, b] = ["10.0.0.1", "10.0.0.2"];
  const frames = [
    frame(a, b, [1234, 80], 6),
    frame(b, a, [80, 1234], 6),
    frame(a, b, [80, 1234], 6),
    frame(b, a, [1234, 80], 6),
    frame(a, b, [1234, 81], 6),
    frame(a, b, [1234, 80], 17),
    frame(a, "10.0.0.3", [1234, 80], 6),
  ];
  t.deepEqual(selected("flow 10.0.0.1:1234 10.0.0.2:80 tcp", frames), [1, 1, 0, 0, 0, 0, 0]);
  t.deepEqual(selected("flow 10.0.0.2:80 10.0.0.1:1234 tcp", frames), [1, 1, 0, 0, 0, 0, 0]);
  t.deepEqual(selected("flow 10.0.0.1:1234 10.0.0.2:80 udp", frames), [0, 0, 0, 0, 0, 1, 0]);
  const [c, d] = ["20010db8000000000000000000000001", "fe800000000000000000000000000001"];
  const six = [frame(c, d, [53, 9], 17, true), frame(d, c, [9, 53], 17, true), frame(d, c, [53, 9], 17, true)];
  t.deepEqual(selected("flow [2001:db8::1]:53 [fe80::1]:9 udp", six), [1, 1, 0]);
});

const anEnd = "write 10.0.0.1:80 or [2001:db8::1]:80";
const errors: readonly (readonly [filter: string, message: string])[] = [
  [
    "flow",
    "the filter ends too early at column 5: expected an address and a port, such as 10.0.0.1:80 or [2001:db8::1]:80",
  ],
  [
    "flow 10.0.0.1:80",
    "the filter ends too early at column 17: expected an address and a port, such as 10.0.0.1:80 or [2001:db8::1]:80",
  ],
  ["flow 10.0.0.1 10.0.0.2 tcp", `"10.0.0.1" is no end of a flow at column 6: ${anEnd}`],
  ["flow 10.0.0.1:80 10.0.0.300:80 tcp", `"10.0.0.300:80" is no end of a flow at column 18: ${anEnd}`],
  [
    "flow tcp 10.0.0.1:80 10.0.0.2:80",
    '"tcp" stands in front of the ends of a flow at column 6: write flow 10.0.0.1:40000 10.0.0.2:80 tcp',
  ],
  ["flow ::1:80 [::2]:80 tcp", `"::1:80" is no end of a flow at column 6: ${anEnd}`],
  ["flow [::x]:80 [::2]:80 tcp", `"[::x]:80" is no end of a flow at column 6: ${anEnd}`],
  ["tcp and flow 10.0.0.1:80 10.0.0.2:65536 tcp", "port 65536 is too large at column 26: the largest is 65535"],
  [
    "flow 10.0.0.1:80 [::1]:80 tcp",
    "an IPv4 and an IPv6 address in one flow at column 18: both ends have the same version",
  ],
  ["flow 10.0.0.1:80 10.0.0.2:80", 'the filter ends too early at column 29: expected "tcp", "udp" or "sctp"'],
  ["flow 10.0.0.1:80 10.0.0.2:80 icmp", 'unexpected "icmp" at column 30: expected "tcp", "udp" or "sctp"'],
];

for (const [filter, message] of errors)
  test(`complains about: ${filter}`, (t) => {
    const error = t.throws(() => compileFilter(filter), { instanceOf: PasteError, code: "FILTER" });
    t.is(error.message, `filter: ${message}`);
  });
