// `flow 10.0.0.1:1234 10.0.0.2:80 tcp`: one conversation, both directions. It is written out as the conditions of pcap-filter(7)
// that say the same, so it stands wherever they may, in rules too, and means what they mean after `vlan` or in fragments.
import { parseIpv4, parseIpv6 } from "./addresses.js";
import type { FilterExpression, FilterValue } from "./ast.js";
import type { Direction } from "./direction.js";
import { filterError } from "./filter-error.js";
import type { TokenReader } from "./token-reader.js";

const transports = ["tcp", "udp", "sctp"] as const;
type Transport = (typeof transports)[number];

interface Endpoint {
  family: "ip" | "ip6";
  address: FilterValue;
  port: number;
  at: number;
}

/** Takes `flow` and what belongs to it. */
export function parseFlow(reader: TokenReader): FilterExpression {
  const { at } = reader.next();
  const [first, second] = [parseEndpoint(reader), parseEndpoint(reader)];
  if (first.family !== second.family)
    throw filterError(second.at, "an IPv4 and an IPv6 address in one flow", "both ends have the same version");
  const transport = transports.find((name) => reader.take(name));
  if (!transport) throw reader.unexpected('"tcp", "udp" or "sctp"');
  const [there, back] = [oneWay(first, second, transport, at), oneWay(second, first, transport, at)];
  return { kind: "or", left: there, right: back, at };
}

function parseEndpoint(reader: TokenReader): Endpoint {
  const { type, text, at } = reader.peek();
  if (type !== "name") throw reader.unexpected("an address and a port, such as 10.0.0.1:80 or [2001:db8::1]:80");
  reader.next();
  const [, ipv4, ipv6, digits = ""] = /^(?:(\d+(?:\.\d+){3})|\[([0-9a-f:.]+)\]):(\d{1,9})$/i.exec(text) ?? [];
  const parsed = ipv4 === undefined ? undefined : parseIpv4(ipv4);
  const address = ipv6 === undefined ? undefined : parseIpv6(ipv6);
  if (transports.some((name) => name === text))
    throw filterError(
      at,
      `"${text}" stands in front of the ends of a flow`,
      "write flow 10.0.0.1:40000 10.0.0.2:80 tcp",
    );
  if (!parsed && !address)
    throw filterError(at, `"${text}" is no end of a flow`, "write 10.0.0.1:80 or [2001:db8::1]:80");
  const port = Number(digits);
  if (port > 65535) throw filterError(at, `port ${port} is too large`, "the largest is 65535");
  return parsed
    ? { family: "ip", address: { form: "ipv4", ...parsed }, port, at }
    : { family: "ip6", address: { form: "ipv6", address: address!, text: ipv6! }, port, at };
}

function oneWay(from: Endpoint, to: Endpoint, transport: Transport, at: number): FilterExpression {
  const host = ({ family, address }: Endpoint, direction: Direction): FilterExpression => ({
    kind: "match",
    qualifier: { protocol: family, direction, kind: "host" },
    value: address,
    at,
  });
  const port = (end: Endpoint, direction: Direction): FilterExpression => ({
    kind: "match",
    qualifier: { protocol: transport, direction, kind: "port" },
    value: { form: "number", value: end.port },
    at,
  });
  const conditions = [host(from, "src"), host(to, "dst"), port(from, "src"), port(to, "dst")];
  return conditions.reduce((left, right) => ({ kind: "and", left, right, at }));
}
