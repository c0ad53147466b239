// One packet as an object for JSON, with the names of EVE (the JSON of Suricata) where EVE has one. logger/QUERY.md lists them.
import { communityId } from "../../native/query.js";
import type { PrintablePacket } from "./packet.js";
import { type PacketFacts, packetFacts } from "./packet-facts.js";

export interface PacketJson {
  timestamp: string;
  /** Which of several sources it is from. */
  source?: string;
  /** The store's number; a string beyond 2^53. */
  seq?: number | string;
  flow_id?: number;
  in_iface?: string;
  out_iface?: string;
  vlan?: number[];
  src_ip?: string;
  src_port?: number;
  dest_ip?: string;
  dest_port?: number;
  proto?: string;
  icmp_type?: number;
  icmp_code?: number;
  community_id?: string;
  rule?: string;
  outcome?: string;
  wire_length: number;
  captured_length: number;
  ether?: { src_mac: string; dest_mac: string; ether_type?: number };
  tcp?: { tcp_flags: string; [flag: string]: string | true };
  ip_fragment?: true;
}

const protocolNames = new Map<number, string>([
  [1, "ICMP"],
  [2, "IGMP"],
  [4, "IPIP"],
  [6, "TCP"],
  [17, "UDP"],
  [33, "DCCP"],
  [41, "IPV6"],
  [47, "GRE"],
  [50, "ESP"],
  [51, "AH"],
  [58, "IPv6-ICMP"],
  [89, "OSPF"],
  [103, "PIM"],
  [112, "VRRP"],
  [132, "SCTP"],
  [136, "UDPLITE"],
]);

/** EVE's name of an IP protocol; a number that has none is given with three digits, as EVE does. */
export function protocolName(protocol: number): string {
  return protocolNames.get(protocol) ?? String(protocol).padStart(3, "0");
}

/** `utc`: the time with +0000 instead of the local offset. */
export function packetJson(packet: PrintablePacket, options: { utc?: boolean } = {}): PacketJson {
  const facts = packetFacts(packet.bytes);
  const json: PacketJson = {
    timestamp: eveTime(packet.timeNs, options.utc ?? false),
    wire_length: packet.wireLength,
    captured_length: packet.bytes.length,
  };
  if (packet.source !== undefined) json.source = packet.source;
  if (packet.sequence !== undefined)
    json.seq = packet.sequence <= Number.MAX_SAFE_INTEGER ? Number(packet.sequence) : String(packet.sequence);
  if (packet.inPort) json.in_iface = packet.inPort;
  if (packet.outPort) json.out_iface = packet.outPort;
  if (packet.rule) json.rule = packet.rule;
  if (packet.outcome) json.outcome = packet.outcome;
  addFacts(json, facts);
  const community = mayHaveFlow(facts) ? communityId(packet.bytes) : undefined;
  if (community !== undefined) {
    json.community_id = community;
    json.flow_id = flowId(community);
  }
  return json;
}

function addFacts(json: PacketJson, facts: PacketFacts): void {
  if (facts.vlans.length > 0) json.vlan = facts.vlans;
  if (facts.sourceIp !== undefined) json.src_ip = facts.sourceIp;
  if (facts.sourcePort !== undefined) json.src_port = facts.sourcePort;
  if (facts.destinationIp !== undefined) json.dest_ip = facts.destinationIp;
  if (facts.destinationPort !== undefined) json.dest_port = facts.destinationPort;
  if (facts.ipProtocol !== undefined) json.proto = protocolName(facts.ipProtocol);
  else if (facts.etherType === 0x0806) json.proto = "ARP";
  if (facts.icmpType !== undefined) json.icmp_type = facts.icmpType;
  if (facts.icmpCode !== undefined) json.icmp_code = facts.icmpCode;
  if (facts.laterFragment) json.ip_fragment = true;
  if (facts.sourceMac !== undefined && facts.destinationMac !== undefined) {
    json.ether = { src_mac: facts.sourceMac, dest_mac: facts.destinationMac };
    if (facts.etherType !== undefined) json.ether.ether_type = facts.etherType;
  }
  if (facts.tcpFlags !== undefined) json.tcp = eveTcpFlags(facts.tcpFlags);
}

const flagNames = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

/** {"tcp_flags": "12", "syn": true, "ack": true}. */
export function eveTcpFlags(flags: number): { tcp_flags: string; [flag: string]: string | true } {
  const json: { tcp_flags: string; [flag: string]: string | true } = { tcp_flags: flags.toString(16).padStart(2, "0") };
  for (const [bit, name] of flagNames.entries()) if (flags & (1 << bit)) json[name] = true;
  return json;
}

/** IP, or MPLS or PPPoE with perhaps IP behind it: of others none is asked for. */
function mayHaveFlow({ ipProtocol, etherType = 0 }: PacketFacts): boolean {
  return ipProtocol !== undefined || etherType === 0x8847 || etherType === 0x8848 || etherType === 0x8864;
}

/** A number below 2^51 for programs that want one: the first bits of the Community ID's digest. */
export function flowId(community: string): number {
  const digest = Buffer.from(community.slice(2), "base64");
  return Number(digest.readBigUInt64BE(0) >> 13n);
}

const second = 1_000_000_000n;
const pad = (value: number | bigint, digits: number) => String(value).padStart(digits, "0");

/** "2026-11-22T14:30:01.000000001+0100": EVE's form, with all nine digits. */
export function eveTime(ns: bigint, utc: boolean): string {
  const date = new Date(Number(ns / 1_000_000n));
  const offset = utc ? 0 : -date.getTimezoneOffset();
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const zone = `${offset < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(offset) / 60), 2)}${pad(Math.abs(offset) % 60, 2)}`;
  return `${local}.${pad(ns % second, 9)}${zone}`;
}
