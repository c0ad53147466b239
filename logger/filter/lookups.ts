// What names and numbers mean behind each qualifier. Nothing is looked up on the network or in a file.
import type { FilterValue, Qualifier } from "./ast.js";
import { didYouMean, filterError } from "./filter-error.js";
import { serviceHint } from "./hints.js";
import type { PortTransport } from "./matches.js";
import { services } from "./services.js";
import { etherProtocols, ipProtocols, isoProtocols, type Protocol, protocolName } from "./words.js";

export interface PortRange {
  first: number;
  last: number;
  transport?: PortTransport;
}

/** The ports that a value names behind `port` or `portrange`, with the transport that the words or the name imply. */
export function portsOf(value: FilterValue, qualifier: Qualifier, at: number): PortRange {
  const { protocol, kind } = qualifier;
  if (protocol !== undefined && protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp")
    throw filterError(at, `"${protocolName(protocol)}" has no ports`, "ports belong to tcp, udp and sctp");
  if (value.form === "number") return checked({ first: value.value, last: value.value }, protocol, at);
  if (value.form !== "name") throw filterError(at, "an address where a port was expected", 'did you mean "host"?');
  if (kind === "port") return checked(servicePort(value.name, at), protocol, at, value.name);
  const dash = value.name.indexOf("-");
  if (dash < 0) throw filterError(at, `"${value.name}" is no range of ports`, "write it as 80-90");
  const [first, last] = [value.name.slice(0, dash), value.name.slice(dash + 1)].map((name) => servicePort(name, at));
  const range: PortRange = { first: first!.first, last: last!.last };
  if (first!.transport && first!.transport === last!.transport) range.transport = first!.transport;
  return checked(range, protocol, at, value.name);
}

/** The names that mean something behind these words. */
export function valueNames({ protocol, kind }: Qualifier): ReadonlyMap<string, unknown> {
  if (kind === "port" || kind === "portrange") return services();
  return kind === "proto" || kind === "protochain" ? protocolNames(protocol) : new Map();
}

function protocolNames(protocol: Protocol | undefined): ReadonlyMap<string, number> {
  return protocol === "link" ? etherProtocols : protocol === "iso" ? isoProtocols : ipProtocols;
}

function servicePort(name: string, at: number): PortRange {
  if (/^\d{1,10}$/.test(name)) return { first: Number(name), last: Number(name) };
  const service = services().get(name);
  if (service)
    return { first: service.port, last: service.port, ...(service.transport && { transport: service.transport }) };
  if (/^\d+-\d+$/.test(name)) throw filterError(at, `"${name}" is a range`, `did you mean "portrange ${name}"?`);
  throw filterError(at, `unknown service "${name}"`, serviceHint(name));
}

function checked(range: PortRange, protocol: PortTransport | undefined, at: number, name?: string): PortRange {
  for (const port of [range.first, range.last])
    if (port > 65535) throw filterError(at, `port ${port} is too large`, "the largest is 65535");
  if (!protocol) return range;
  if (range.transport && range.transport !== protocol)
    throw filterError(at, `service "${name}" is ${range.transport}, not ${protocol}`, "give the port's number");
  return { ...range, transport: protocol };
}

/** The number that a value names behind `proto`. */
export function protocolNumberOf(value: FilterValue, protocol: Protocol | undefined, at: number): number {
  if (value.form === "number") return value.value;
  if (value.form !== "name")
    throw filterError(at, "an address where a protocol was expected", "give its number or \\name");
  const table = protocolNames(protocol);
  const number = table.get(value.name) ?? (table === ipProtocols ? table.get(value.name.toLowerCase()) : undefined);
  if (number !== undefined) return number;
  throw filterError(at, `unknown protocol "${value.name}"`, didYouMean(value.name, table.keys(), "give its number"));
}

/** The error for a host or network given by name. */
export function nameError(name: string, kind: "host" | "net" | undefined, at: number): Error {
  const what = kind === "net" ? "network" : "host";
  return filterError(at, `"${name}" is no address`, `${what} names are not looked up, give the address`);
}

/** `host N` is the address N; `net N` is N moved left until its first byte is not 0, as `net 10` wants. */
export function numberAsAddress(value: number, isNet: boolean): { address: number; mask: number } {
  let [address, mask] = [value, 0xffffffff];
  while (isNet && address !== 0 && (address & 0xff000000) === 0) {
    address = (address << 8) >>> 0;
    mask = (mask << 8) >>> 0;
  }
  return { address, mask };
}
