// The words of pcap-filter(7) and the numbers behind them (IANA ether types, protocol numbers, ICMP types; RFC 9293 flags).
import { anyWord, communityWord, nameWords, outcomeWords, payloadWord, timeWords } from "./record-words.js";

/** Words that name a protocol, alone (`tcp`), before another word (`tcp port 80`) or before `[`. */
export const protocols = [
  "link",
  "ip",
  "arp",
  "rarp",
  "sctp",
  "tcp",
  "udp",
  "icmp",
  "igmp",
  "igrp",
  "pim",
  "vrrp",
  "carp",
  "atalk",
  "aarp",
  "decnet",
  "lat",
  "sca",
  "mopdl",
  "moprc",
  "ip6",
  "icmp6",
  "ah",
  "esp",
  "iso",
  "esis",
  "isis",
  "l1",
  "l2",
  "iih",
  "lsp",
  "snp",
  "csnp",
  "psnp",
  "clnp",
  "stp",
  "ipx",
  "netbeui",
] as const;
export type Protocol = (typeof protocols)[number];

const protocolAliases: Record<string, Protocol> = {
  ether: "link",
  fddi: "link",
  tr: "link",
  wlan: "link",
  ppp: "link",
  slip: "link",
  "es-is": "esis",
  "is-is": "isis",
};
const protocolWords = new Map<string, Protocol>([
  ...protocols.map((name): [string, Protocol] => [name, name]),
  ...Object.entries(protocolAliases),
]);

/** The protocol that a word names, or undefined. */
export function protocolOf(word: string): Protocol | undefined {
  return protocolWords.get(word);
}

/** What a protocol is called in messages: `link` is written `ether` here. */
export function protocolName(protocol: Protocol): string {
  return protocol === "link" ? "ether" : protocol;
}

/** Words with a meaning of their own in the grammar. */
export const keywords: ReadonlySet<string> = new Set(
  (
    "src dst host net mask port portrange proto protochain less greater byte len length broadcast multicast " +
    "vlan mpls pppoed pppoes llc flow and or not " +
    [...timeWords, ...nameWords, ...outcomeWords, communityWord, anyWord, payloadWord].join(" ")
  ).split(" "),
);

/** Words of pcap-filter(7) that nothing on Ethernet in a capture can answer, and why. */
export const refusedWords: ReadonlyMap<string, string> = new Map([
  ["gateway", "it needs host names, which are not looked up"],
  ["inbound", "a frame does not carry its direction"],
  ["outbound", "a frame does not carry its direction"],
  ["ifindex", "a frame does not carry its interface"],
  ["geneve", 'write "udp port 6081", and "any host" or "any port" for what is inside'],
  ["radio", "it belongs to 802.11 captures"],
  ...refuse("it belongs to 802.11 captures", "type subtype dir direction addr1 addr2 addr3 addr4 ra ta"),
  ...refuse("it belongs to 802.11 captures", "address1 address2 address3 address4"),
  ...refuse("it belongs to pf logs", "on ifname rset ruleset rnr rulenum srnr subrulenum reason action"),
  ...refuse("it belongs to ATM captures", "lane metac bcc oam oamf4 oamf4ec oamf4sc sc ilmic vpi vci"),
  ...refuse("it belongs to ATM captures", "connectmsg metaconnect"),
  ...refuse("it belongs to SS7 captures", "fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls hsio hopc hdpc hsls"),
]);

function refuse(reason: string, words: string): [string, string][] {
  return words.split(" ").map((word) => [word, reason]);
}

/** Named numbers: offsets, ICMP and ICMPv6 types, TCP flags. */
export const numbers: ReadonlyMap<string, number> = new Map(
  Object.entries({
    icmptype: 0,
    icmpcode: 1,
    "icmp-echoreply": 0,
    "icmp-unreach": 3,
    "icmp-sourcequench": 4,
    "icmp-redirect": 5,
    "icmp-echo": 8,
    "icmp-routeradvert": 9,
    "icmp-routersolicit": 10,
    "icmp-timxceed": 11,
    "icmp-paramprob": 12,
    "icmp-tstamp": 13,
    "icmp-tstampreply": 14,
    "icmp-ireq": 15,
    "icmp-ireqreply": 16,
    "icmp-maskreq": 17,
    "icmp-maskreply": 18,
    icmp6type: 0,
    icmp6code: 1,
    "icmp6-destinationunreach": 1,
    "icmp6-packettoobig": 2,
    "icmp6-timeexceeded": 3,
    "icmp6-parameterproblem": 4,
    "icmp6-echo": 128,
    "icmp6-echoreply": 129,
    "icmp6-multicastlistenerquery": 130,
    "icmp6-multicastlistenerreportv1": 131,
    "icmp6-multicastlistenerdone": 132,
    "icmp6-routersolicit": 133,
    "icmp6-routeradvert": 134,
    "icmp6-neighborsolicit": 135,
    "icmp6-neighboradvert": 136,
    "icmp6-redirect": 137,
    "icmp6-routerrenum": 138,
    "icmp6-nodeinformationquery": 139,
    "icmp6-nodeinformationresponse": 140,
    "icmp6-ineighbordiscoverysolicit": 141,
    "icmp6-ineighbordiscoveryadvert": 142,
    "icmp6-multicastlistenerreportv2": 143,
    "icmp6-homeagentdiscoveryrequest": 144,
    "icmp6-homeagentdiscoveryreply": 145,
    "icmp6-mobileprefixsolicit": 146,
    "icmp6-mobileprefixadvert": 147,
    "icmp6-certpathsolicit": 148,
    "icmp6-certpathadvert": 149,
    "icmp6-multicastrouteradvert": 151,
    "icmp6-multicastroutersolicit": 152,
    "icmp6-multicastrouterterm": 153,
    tcpflags: 13,
    "tcp-fin": 0x01,
    "tcp-syn": 0x02,
    "tcp-rst": 0x04,
    "tcp-push": 0x08,
    "tcp-ack": 0x10,
    "tcp-urg": 0x20,
    "tcp-ece": 0x40,
    "tcp-cwr": 0x80,
  }),
);

/** Protocol numbers of what a word alone means (`tcp`). */
export const transportNumbers: Partial<Record<Protocol, number>> = {
  ...{
    icmp: 1,
    igmp: 2,
    tcp: 6,
    igrp: 9,
    udp: 17,
    esp: 50,
    ah: 51,
    icmp6: 58,
    pim: 103,
    vrrp: 112,
    carp: 112,
    sctp: 132,
  },
};

/** Ether types, and below 1536 the service access points of 802.2 (RFC 9542, IEEE 802 numbers). */
export const etherType = {
  ip: 0x0800,
  arp: 0x0806,
  mopdl: 0x6001,
  moprc: 0x6002,
  decnet: 0x6003,
  lat: 0x6004,
  sca: 0x6007,
  rarp: 0x8035,
  atalk: 0x809b,
  aarp: 0x80f3,
  vlan: 0x8100,
  ipx: 0x8137,
  ip6: 0x86dd,
  mpls: 0x8847,
  pppoed: 0x8863,
  pppoes: 0x8864,
  providerVlan: 0x88a8,
  loopback: 0x9000,
  oldQinQ: 0x9100,
} as const;
export const sap = { ip: 0x06, stp: 0x42, snap: 0xaa, ipx: 0xe0, netbeui: 0xf0, iso: 0xfe } as const;

/** Ether type or service access point of what a word alone means (`arp`). */
export const linkTypes: Partial<Record<Protocol, number>> = {
  ...{ ip: etherType.ip, arp: etherType.arp, rarp: etherType.rarp, ip6: etherType.ip6, atalk: etherType.atalk },
  ...{ aarp: etherType.aarp, decnet: etherType.decnet, sca: etherType.sca, lat: etherType.lat },
  ...{ mopdl: etherType.mopdl, moprc: etherType.moprc, iso: sap.iso, stp: sap.stp, ipx: sap.ipx, netbeui: sap.netbeui },
};

/** Names that `ether proto \NAME` takes. */
export const etherProtocols: ReadonlyMap<string, number> = new Map<string, number>([
  ...(["aarp", "arp", "atalk", "decnet", "ip", "ip6", "lat", "loopback", "mopdl", "moprc", "rarp", "sca"] as const).map(
    (name): [string, number] => [name, etherType[name]],
  ),
  ["iso", sap.iso],
  ["stp", sap.stp],
  ["ipx", sap.ipx],
  ["netbeui", sap.netbeui],
]);

/** Names that `ip proto \NAME`, `ip6 proto \NAME` and `proto \NAME` take (IANA protocol numbers). */
export const ipProtocols: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ip: 0,
    hopopt: 0,
    icmp: 1,
    igmp: 2,
    ggp: 3,
    ipencap: 4,
    "ip-encap": 4,
    st: 5,
    tcp: 6,
    egp: 8,
    igp: 9,
    pup: 12,
    udp: 17,
    hmp: 20,
    "xns-idp": 22,
    rdp: 27,
    "iso-tp4": 29,
    dccp: 33,
    xtp: 36,
    ddp: 37,
    "idpr-cmtp": 38,
    ipv6: 41,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    idrp: 45,
    rsvp: 46,
    gre: 47,
    esp: 50,
    "ipsec-esp": 50,
    ah: 51,
    "ipsec-ah": 51,
    skip: 57,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    rspf: 73,
    vmtp: 81,
    eigrp: 88,
    ospf: 89,
    ospfigp: 89,
    "ax.25": 93,
    ipip: 94,
    etherip: 97,
    encap: 98,
    pim: 103,
    ipcomp: 108,
    vrrp: 112,
    l2tp: 115,
    isis: 124,
    sctp: 132,
    fc: 133,
    "mobility-header": 135,
    udplite: 136,
    "mpls-in-ip": 137,
    hip: 139,
    shim6: 140,
    wesp: 141,
    rohc: 142,
  }),
);

/** Names that `iso proto \NAME` takes: network layer protocol identifiers (ISO/IEC TR 9577). */
export const isoProtocols: ReadonlyMap<string, number> = new Map([
  ["clnp", 0x81],
  ["esis", 0x82],
  ["isis", 0x83],
]);

/** `llc NAME`: mask and value of the control byte (IEEE 802.2). */
export const llcTypes: ReadonlyMap<string, { mask: number; value: number }> = new Map([
  ["i", { mask: 0x01, value: 0x00 }],
  ["s", { mask: 0x03, value: 0x01 }],
  ["u", { mask: 0x03, value: 0x03 }],
  ["rr", { mask: 0x0f, value: 0x01 }],
  ["rnr", { mask: 0x0f, value: 0x05 }],
  ["rej", { mask: 0x0f, value: 0x09 }],
  ["ui", { mask: 0xef, value: 0x03 }],
  ["ua", { mask: 0xef, value: 0x63 }],
  ["disc", { mask: 0xef, value: 0x43 }],
  ["dm", { mask: 0xef, value: 0x0f }],
  ["sabme", { mask: 0xef, value: 0x6f }],
  ["test", { mask: 0xef, value: 0xe3 }],
  ["xid", { mask: 0xef, value: 0xaf }],
  ["frmr", { mask: 0xef, value: 0x87 }],
]);
