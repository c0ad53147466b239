// What to write instead of what people write by habit or in a hurry: hints for errors, nothing more.
import { didYouMean } from "./filter-error.js";
import type { Token } from "./lexer.js";
import { services } from "./services.js";

/** What is called otherwise elsewhere: by Wireshark's display filters, iptables, and the fields of `query --top` and `--json`. */
export const otherNames: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{ "ip.addr": "host", "ip.src": "src host", "ip.dst": "dst host", "ip.proto": "ip proto" },
    ...{ "ipv6.addr": "host", "ipv6.src": "src host", "ipv6.dst": "dst host", ipv6: "ip6", icmpv6: "icmp6" },
    ...{ "eth.addr": "ether host", "eth.src": "ether src", "eth.dst": "ether dst", "eth.type": "ether proto" },
    ...{ "tcp.port": "tcp port", "tcp.srcport": "tcp src port", "tcp.dstport": "tcp dst port" },
    ...{ "udp.port": "udp port", "udp.srcport": "udp src port", "udp.dstport": "udp dst port" },
    ...{ "vlan.id": "vlan", "frame.len": "len", "frame.time": "after", contains: "payload", dns: "port domain" },
    ...{ sport: "src port", dport: "dst port", "src-port": "src port", "dst-port": "dst port", subnet: "net" },
    ...{ mac: "ether host", "src-mac": "ether src", "dst-mac": "ether dst", ethertype: "ether proto" },
    ...{ ingress: "in-port", egress: "out-port", interface: "in-port", in_iface: "in-port", out_iface: "out-port" },
    ...{ src_ip: "src host", dest_ip: "dst host", src_port: "src port", dest_port: "dst port" },
    ...{ since: "after", until: "before", time: "after", last: "after 15m ago" },
    pppoe: "pppoes",
    ...{ syn: "tcp[tcpflags] & tcp-syn != 0", rst: "tcp[tcpflags] & tcp-rst != 0" },
  }),
);

const otherServices: ReadonlyMap<string, string> = new Map(
  Object.entries({ dns: "domain", dhcp: "bootps", rdp: "ms-wbt-server", smb: "microsoft-ds" }),
);

/** For a service that is not known. */
export function serviceHint(name: string): string | undefined {
  const other = otherServices.get(name.toLowerCase());
  return other ? `did you mean "${other}"?` : didYouMean(name, services().keys(), "give the port's number");
}

/** For a value that stands without a word before it; undefined for names that say nothing. */
export function valueHint({ type, text }: Token, next: Token): string | undefined {
  if (/^\d+[a-z]+$|^\d{4}-\d\d-/.test(text) || (type === "number" && next.text === ":"))
    return 'times stand behind "after", "before" or "between"';
  const [, bytes] = /^(tcp|icmp6?)-?/.exec(text) ?? [];
  if (type === "number" && bytes)
    return bytes === "tcp" ? 'write "tcp[tcpflags] & tcp-syn != 0"' : `write "${bytes}[${bytes}type] = ${bytes}-echo"`;
  if (type === "name") return services().has(text) ? `did you mean "port ${text}"?` : undefined;
  return `did you mean "${type === "number" ? "port" : type === "ethernet" ? "ether host" : "host"} ${text}"?`;
}
