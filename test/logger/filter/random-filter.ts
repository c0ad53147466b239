// Random filters that tcpdump accepts too, over the addresses and ports of `frames.ts`.
import fc from "fast-check";
import { PasteError } from "../../../logger/errors.js";
import { type CompiledFilter, type CompileOptions, compileFilter } from "../../../logger/filter/compile.js";
import { ipv4s, ipv6s, macs, ports } from "./frames.js";

const pick = (...choices: (string | number)[]): fc.Arbitrary<string> => fc.constantFrom(...choices.map(String));
const words = (...parts: (fc.Arbitrary<string> | string)[]): fc.Arbitrary<string> =>
  fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part) : part)))
    .map((all) => all.filter(Boolean).join(" "));

const direction = pick("", "src", "dst", "src or dst", "src and dst", "dst or src");
const ip = pick(...ipv4s);
const network = pick(
  "10.0.0.0/8",
  "10.0/16",
  "192.168",
  "10",
  "0.0.0.0/0",
  "10.0.0.0 mask 255.255.255.0",
  "224.0.0.0/4",
  "10.0.0.2/31",
);
const port = pick(...ports, "domain", "https");
const chained = (value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: value },
    words(value, pick("or", "and"), value),
    words("(", value, "or", value, ")"),
    words("not", value),
  );

const single = pick(
  ...[
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "ip",
    "ip6",
    "arp",
    "rarp",
    "broadcast",
    "multicast",
    "ip multicast",
  ],
  ...[
    "ip6 multicast",
    "ip broadcast",
    "ether broadcast",
    "ether multicast",
    "pim",
    "esp",
    "ah",
    "vrrp",
    "igrp",
    "stp",
    "iso",
  ],
  ...[
    "isis",
    "l1",
    "l2",
    "clnp",
    "esis",
    "ipx",
    "netbeui",
    "aarp",
    "atalk",
    "lat",
    "llc",
    "llc u",
    "llc s",
    "llc xid",
    "pppoed",
  ],
);

const operator = pick("+", "-", "*", "/", "%", "&", "|", "^");
const header = pick("ether", "ip", "tcp", "udp", "icmp", "arp", "ip6", "icmp6", "sctp");
const constant = fc
  .oneof(fc.integer({ min: 0, max: 64 }), fc.constantFrom(0xff, 0x0f, 80, 443, 1500, 0x800))
  .map(String);
const size = pick("", ":1", ":2", ":4");
const bytes = (index: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(header, index, size).map(([name, at, length]) => `${name}[${at}${length}]`);
const plainIndex = fc.integer({ min: 0, max: 44 }).map(String);
const load = fc.oneof(
  { weight: 6, arbitrary: bytes(plainIndex) },
  bytes(words("(", bytes(plainIndex), "& 0xf", ")", "+ 1")),
  bytes(pick("len - 20", "40 - 20 / 2", "4 - 8", "2 * 4 + 1")),
);
const term = fc.oneof(
  { weight: 3, arbitrary: load },
  { weight: 1, arbitrary: pick("len") },
  words(
    load,
    operator,
    constant.filter((text) => text !== "0"),
  ),
  words(load, pick("<<", ">>"), pick(1, 3, 8)),
  words("(", load, operator, load, ")"),
  words("-", load),
);
const flags = words(
  "tcp[tcpflags] &",
  pick("tcp-syn", "tcp-ack", "(tcp-syn|tcp-fin)", "tcp-rst"),
  pick("!=", "="),
  pick(0, "tcp-syn"),
);
const relation = words(
  term,
  pick("=", "==", "!=", "<", ">", "<=", ">="),
  fc.oneof({ weight: 3, arbitrary: constant }, term),
);

const primitive = fc.oneof(
  { weight: 6, arbitrary: single },
  { weight: 3, arbitrary: words(pick("", "ip", "arp", "rarp"), direction, "host", chained(ip)) },
  { weight: 2, arbitrary: words(pick("", "ip", "arp"), direction, "net", network) },
  words(pick("", "ip6"), direction, "host", pick(...ipv6s)),
  words(pick("", "ip6"), direction, "net", pick("2001:db8::/32", "fe80::/10", "ff00::/8", "::/0", "2001:db8:0:1::/64")),
  { weight: 4, arbitrary: words(pick("", "tcp", "udp", "sctp"), direction, "port", chained(port)) },
  words(pick("", "tcp", "udp"), direction, "portrange", pick("1-1023", "80-443", "8080-53", "60000-60000")),
  words("ether", pick("host", "src", "dst", "src or dst", "src and dst"), pick(...macs)),
  words("ether proto", pick("0x800", "0x86dd", "0x8100", "\\arp", "0x42", "0x88cc", "0xfe", "0x6")),
  words(pick("", "ip", "ip6"), "proto", pick(1, 6, 17, 44, 47, 58, "\\tcp", "gre", "ospf")),
  { weight: 2, arbitrary: words(pick("less", "greater"), pick(0, 20, 60, 61, 100, 1514)) },
  { weight: 4, arbitrary: relation },
  { weight: 2, arbitrary: flags },
  words("byte", pick(0, 12, 14, 40), pick("=", "<", ">"), pick(0, 2, 8, 69)),
);
/** Words that move what follows them. */
const encapsulation = pick("vlan", "vlan 100", "vlan 5", "vlan 0", "mpls", "mpls 100", "pppoes", "pppoes 7");

/** One filter's text; `encapsulated` allows vlan, mpls and pppoes, after which not every word is allowed. */
export const randomFilter: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.tuple(pick("and", "or"), pick("", "", "not"), primitive), { minLength: 1, maxLength: 5 })
      .map(chain),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.array(fc.tuple(pick("and", "or"), pick("", "not"), primitive), { minLength: 1, maxLength: 4 }),
        primitive,
      )
      .map(([inner, outer]) => `not (${chain(inner)}) and ${outer} or (${chain(inner.toReversed())})`),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.tuple(pick("and", "or"), pick("", "", "not"), fc.oneof(primitive, encapsulation)), {
        minLength: 2,
        maxLength: 5,
      })
      .map(chain),
  },
);

function chain(parts: readonly (readonly [string, string, string])[]): string {
  return parts
    .map(([join, negation, text], index) => [index > 0 ? join : "", negation, text].filter(Boolean).join(" "))
    .join(" ");
}

/** A filter compiled, or undefined if it was refused in the right way; anything else thrown fails the test. */
export function compiledOrRefused(text: string, options?: CompileOptions): CompiledFilter | undefined {
  try {
    return compileFilter(text, options);
  } catch (error) {
    if (error instanceof PasteError && error.code === "FILTER" && /^filter: .+/.test(error.message)) return undefined;
    throw new Error(`${JSON.stringify(text)} threw ${error}`);
  }
}
