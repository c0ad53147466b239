// ICMP and ICMPv6 in one line, as tcpdump prints them without -v.
import type { Octets } from "./octets.js";

type Put = (text: string) => void;

const unreachableBy: Record<number, (address: string) => string> = {
  0: (a) => `net ${a} unreachable`,
  1: (a) => `host ${a} unreachable`,
  5: (a) => `${a} unreachable - source route failed`,
  6: (a) => `net ${a} unreachable - unknown`,
  7: (a) => `host ${a} unreachable - unknown`,
  8: (a) => `${a} unreachable - source host isolated`,
  9: (a) => `net ${a} unreachable - admin prohibited`,
  10: (a) => `host ${a} unreachable - admin prohibited`,
  11: (a) => `net ${a} unreachable - tos prohibited`,
  12: (a) => `host ${a} unreachable - tos prohibited`,
  13: (a) => `host ${a} unreachable - admin prohibited filter`,
  14: (a) => `host ${a} unreachable - host precedence violation`,
  15: (a) => `host ${a} unreachable - precedence cutoff`,
};
const redirectBy: Record<number, (address: string, gateway: string) => string> = {
  0: (a, g) => `redirect ${a} to net ${g}`,
  1: (a, g) => `redirect ${a} to host ${g}`,
  2: (a, g) => `redirect-tos ${a} to net ${g}`,
  3: (a, g) => `redirect-tos ${a} to host ${g}`,
};
const protocolNames: Record<number, string> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** Text behind "ICMP ". `length`: bytes of the message by the IP header. */
export function icmpText(octets: Octets, at: number, length: number, put: Put): void {
  const type = octets.u8(at);
  const code = octets.u8(at + 1);
  put(`ICMP ${icmpMessage(octets, at, type, code)}, length ${length}`);
}

function icmpMessage(octets: Octets, at: number, type: number, code: number): string {
  switch (type) {
    case 0:
    case 8:
      return `echo ${type === 8 ? "request" : "reply"}, id ${octets.u16(at + 4)}, seq ${octets.u16(at + 6)}`;
    case 3:
      return unreachable(octets, at, code);
    case 4:
      return "source quench";
    case 5: {
      const text = redirectBy[code];
      const [to, gateway] = [octets.ipv4(at + 24), octets.ipv4(at + 4)];
      return text ? text(to, gateway) : `redirect-#${code} ${to} to net ${gateway}`;
    }
    case 9:
      return "router advertisement";
    case 10:
      return "router solicitation";
    case 11:
      octets.need(at + 8, 20);
      return code === 0
        ? "time exceeded in-transit"
        : code === 1
          ? "ip reassembly time exceeded"
          : `time exceeded-#${code}`;
    case 12:
      if (code !== 0) return `parameter problem - code ${code}`;
      return `parameter problem - octet ${octets.u8(at + 4)}`;
    case 13:
      return `time stamp query id ${octets.u16(at + 4)} seq ${octets.u16(at + 6)}`;
    case 14:
      return (
        `time stamp reply id ${octets.u16(at + 4)} seq ${octets.u16(at + 6)}: ` +
        `org ${clockText(octets.u32(at + 8))}, recv ${clockText(octets.u32(at + 12))}, xmit ${clockText(octets.u32(at + 16))}`
      );
    case 17:
      return "address mask request";
    case 18:
      return `address mask is 0x${octets.hex(at + 8, 4)}`;
    default:
      return `type-#${type}`;
  }
}

/** Milliseconds since midnight, as hours:minutes:seconds.milliseconds. */
function clockText(ms: number): string {
  const pad = (value: number, digits: number) => String(value).padStart(digits, "0");
  const seconds = Math.floor(ms / 1000);
  return `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}.${pad(ms % 1000, 3)}`;
}

/** What it carries of the packet that could not be delivered is as hostile as the rest. */
function unreachable(octets: Octets, at: number, code: number): string {
  const inner = at + 8;
  const to = () => octets.ipv4(inner + 16);
  if (code === 2) return `${to()} protocol ${octets.u8(inner + 9)} unreachable`;
  if (code === 3) {
    const address = to();
    const header = (octets.u8(inner) & 15) * 4;
    const protocol = octets.u8(inner + 9);
    const port = octets.u16(inner + header + 2);
    const name = protocolNames[protocol] ?? (protocol === 6 ? "tcp" : undefined);
    return name
      ? `${address} ${name} port ${port} unreachable`
      : `${address} protocol ${protocol} port ${port} unreachable`;
  }
  if (code === 4) {
    const mtu = octets.u16(at + 6);
    return mtu > 0 ? `${to()} unreachable - need to frag (mtu ${mtu})` : `${to()} unreachable - need to frag`;
  }
  const text = unreachableBy[code];
  return text ? text(to()) : `${to()} unreachable - #${code}`;
}

const unreachable6 = new Map<number, string>([
  [0, "unreachable route"],
  [1, "unreachable prohibited"],
  [2, "beyond scope"],
  [3, "unreachable address"],
  [4, "unreachable port"],
]);
const names6 = new Map<number, string>([
  [1, "destination unreachable"],
  [2, "packet too big"],
  [3, "time exceeded in-transit"],
  [4, "parameter problem"],
  [128, "echo request"],
  [129, "echo reply"],
  [130, "multicast listener query"],
  [131, "multicast listener report"],
  [132, "multicast listener done"],
  [133, "router solicitation"],
  [134, "router advertisement"],
  [135, "neighbor solicitation"],
  [136, "neighbor advertisement"],
  [137, "redirect"],
  [138, "router renumbering"],
  [139, "node information query"],
  [140, "node information reply"],
  [141, "inverse neighbor solicitation"],
  [142, "inverse neighbor advertisement"],
  [143, "multicast listener report v2"],
  [144, "dad request"],
  [145, "dad reply"],
  [146, "mobile router solicitation"],
  [147, "mobile router advertisement"],
]);

export function icmp6Text(octets: Octets, at: number, length: number, put: Put): void {
  const type = octets.u8(at);
  const code = octets.u8(at + 1);
  put(`ICMP6, ${names6.get(type) ?? `unknown icmp6 type (${type})`}`);
  if (type === 1) put(`, ${unreachable6.get(code) ?? `unknown unreach code (${code})`}`);
  const more = icmp6Details(octets, at, type, code, length);
  put(`${more === "" || more.startsWith(" ") || more.startsWith(",") ? more : `, ${more}`}, length ${length}`);
}

function icmp6Details(octets: Octets, at: number, type: number, code: number, length: number): string {
  switch (type) {
    case 1:
      return unreachableDetails6(octets, at, code);
    case 2:
      return `mtu ${octets.u32(at + 4)}`;
    case 3:
      octets.need(at + 8 + 24, 16);
      return code === 0
        ? ` for ${octets.ipv6(at + 8 + 24)}`
        : code === 1
          ? " (reassembly)"
          : `, unknown code (${code})`;
    case 4:
      octets.need(at + 8 + 24, 16);
      if (code === 0) return `erroneous - octet ${octets.u32(at + 4)}`;
      if (code === 1) return `next header - octet ${octets.u32(at + 4)}`;
      if (code === 2) return `option - octet ${octets.u32(at + 4)}`;
      return `code-#${code}`;
    case 128:
    case 129:
      return `id ${octets.u16(at + 4)}, seq ${octets.u16(at + 6)}`;
    case 130:
      return "";
    case 131:
    case 132:
      return length === 24 ? `max resp delay: ${octets.u16(at + 4)} addr: ${octets.ipv6(at + 8)}` : "";
    case 135:
      return `who has ${octets.ipv6(at + 8)}`;
    case 136:
      return `tgt is ${octets.ipv6(at + 8)}`;
    case 137:
      return `${octets.ipv6(at + 24)} to ${octets.ipv6(at + 8)}`;
    case 143:
      return `${octets.u16(at + 6)} group record(s)`;
    default:
      return "";
  }
}

/** Behind what could not be reached. */
function unreachableDetails6(octets: Octets, at: number, code: number): string {
  if (!unreachable6.has(code)) return "";
  const to = octets.ipv6(at + 8 + 24);
  if (code === 2) return ` ${to}, source address ${octets.ipv6(at + 8 + 8)}`;
  if (code !== 4) return ` ${to}`;
  const protocol = octets.u8(at + 8 + 6);
  const port = octets.u16(at + 8 + 40 + 2);
  const name = protocolNames[protocol];
  return name ? `, ${to} ${name} port ${port}` : `, ${to} protocol ${protocol} port ${port} unreachable`;
}
