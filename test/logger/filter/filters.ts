// The filters of the table: every word and every form of the language, alone and joined, over the addresses of `frames.ts`.

/** By what they are about, separated by semicolons. */
const groups: Record<string, string> = {
  protocols:
    "tcp; udp; sctp; icmp; icmp6; igmp; igrp; pim; vrrp; carp; ah; esp; ip; ip6; arp; rarp; atalk; aarp; decnet; " +
    "lat; sca; mopdl; moprc; iso; esis; es-is; isis; is-is; clnp; l1; l2; iih; lsp; snp; csnp; psnp; stp; ipx; " +
    "netbeui; llc; pppoed",
  "802.2":
    "llc i; llc s; llc u; llc rr; llc rnr; llc rej; llc ui; llc ua; llc disc; llc dm; llc sabme; llc test; llc xid; " +
    "llc frmr; llc and not llc u; iso proto 0x83; iso proto \\clnp; isis proto 18; ether proto 0x42; " +
    "ether proto \\stp; ether proto \\iso; ether proto 0xf0; ether proto 6; ether proto 1500",
  "Ethernet addresses":
    "ether host 02:00:00:00:00:01; ether src 02:00:00:00:00:01; ether dst ff:ff:ff:ff:ff:ff; " +
    "ether src or dst 02-00-00-00-00-02; ether src and dst 2:0:0:0:0:2; ether host 0200.0000.0001; " +
    "ether dst host 020000000001; ether host 02:00:00:00:00:01 or 02:00:00:00:00:02; broadcast; multicast; " +
    "ether broadcast; ether multicast; ip broadcast; ip multicast; ip6 multicast; " +
    "not ether multicast and ip multicast",
  "Ethernet types":
    "ether proto 0x800; ether proto 2048; ether proto \\ip; ether proto \\arp; ether proto \\rarp; " +
    "ether proto \\ip6; ether proto 0x88cc; ether proto \\loopback; ether proto \\ipx; ether proto \\atalk; " +
    "ether proto \\aarp; ether proto 1501; ether[12:2] = 0x800; not ether proto 0x800",
  "IPv4 addresses":
    "host 10.0.0.1; src host 10.0.0.1; dst host 10.0.0.1; src 10.0.0.1; dst 10.0.0.2; ip host 10.0.0.1; " +
    "ip src 10.0.0.1; ip dst host 192.168.1.1; arp host 10.0.0.1; arp src host 10.0.0.2; arp dst 10.0.0.1; " +
    "rarp host 10.1.2.3; src or dst host 10.0.0.1; src and dst host 10.0.0.1; src or dst 10.0.0.1; " +
    "host 10.0.0.1 or 10.0.0.2; host (10.0.0.1 or 10.0.0.2); host 10.0.0.1 and 10.0.0.2; not host 10.0.0.1; " +
    "host 10.0.0.1 and not 10.0.0.2; host not 10.0.0.1; host (10.0.0.1 or not (10.0.0.2)); host 10.1; host 0.0.0.0; " +
    "host 255.255.255.255; ip src and dst host 10.0.0.2; src host 10.0.0.1 or 10.1.2.3; " +
    "dst host 10.0.0.1 and (tcp port 80 or 443) and 10.0.0.1",
  "IPv4 networks":
    "net 10; net 10.0; net 10.1.2; net 10.0.0.0/8; net 10.0.0.0/24; net 192.168.1.0/24; net 10.0/16; net 0.0.0.0/0; " +
    "src net 10.0.0.0/8; dst net 224.0.0.0/4; ip net 10; arp net 10.0.0.0/30; net 10.0.0.0 mask 255.0.0.0; " +
    "net 10.0.0.0 mask 255.255.255.0; src or dst net 192.168; net 10 or 192.168; src and dst net 10; " +
    "not net 10.0.0.0/8; net 0.0.0.0/8; net 10.0.0.1/32; ip src net 128.0.0.0/1; net 192.168.0.0/16 and not 10",
  "IPv6 addresses":
    "host fe80::1; ip6 host fe80::1; src host 2001:db8::1; dst host ff02::1; ip6 src ::1; host ::1; " +
    "ip6 net 2001:db8::/32; net 2001:db8::/32; src net fe80::/10; dst net ff00::/8; net ::/0; ip6 net ::/0; " +
    "net 2001:db8:0:1::/64; net 2001:db8::/33; ip6 src or dst net fe80::/64; host 2001:db8::1/128; " +
    "ip6 src and dst net 2001:db8::/32; host fe80::1 or 2001:db8::1; not host fe80::1; host 2001:db8:0:1:0:0:0.0.0.2",
  ports:
    "port 80; src port 80; dst port 443; tcp port 80; udp port 53; sctp port 80; tcp src port 443; udp dst port 67; " +
    "src or dst port 80; src and dst port 80; tcp src and dst port 443; port 80 or 443; tcp port 80 or 443; " +
    "tcp port (80 or 443); port not 80; not port 80; not tcp port 80; port 80 and 443; portrange 1-1023; " +
    "tcp portrange 80-443; udp dst portrange 5000-9000; src portrange 443-80; portrange 80; portrange 53-53; " +
    "not portrange 1-1023; udp port 53 or tcp port 80; tcp dst port 80 or 443 or 8080; port 0x50; port 0120; " +
    "port 60000; udp src portrange 60000-65535",
  services:
    "port http; port https; port domain; tcp port http; udp port domain; port ssh; udp port mdns; " +
    "port http or https; port bootps; portrange ftp-http; portrange domain-bootps; tcp dst port http-alt",
  "protocol numbers":
    "ip proto 6; ip proto 47; ip proto \\tcp; ip proto gre; ip6 proto 58; ip6 proto 44; ip6 proto \\udp; proto 6; " +
    "proto \\tcp; proto \\udp or \\tcp; proto 17 or 132; proto ospf; ip proto 6 or 17; proto GRE; not proto 6; " +
    "ip6 proto 0; ip6 proto 43; ip proto 115; proto 50 and not ip6",
  lengths:
    "less 60; less 59; greater 60; greater 61; len > 100; len >= 1514; length < 60; len = 60; len != 60; less 0; " +
    "greater 0; len - 14 > 46; ip and len > 100; ip[2:2] > len - 20",
  bytes:
    "ether[0] & 1 = 1; ether[6:4] = 0x02000000; ip[0] & 0xf != 5; ip[0] = 0x45; ip[8] < 5; ip[1] & 0xfc = 0xb8; " +
    "ip[6:2] & 0x1fff != 0; ip[6] & 0x40 != 0; ip[9] = 6; ip[12:4] = 0x0a000001; ip[16] = 224; ip[50] = 1; " +
    "not ip[50] = 1; ip6[6] = 44; ip6[40] = 6; ip6[0] >> 4 = 6; arp[6:2] = 1; arp[7] = 1; udp[4:2] > 20; " +
    "tcp[13] = 2; tcp[13] & 2 != 0; tcp[0:2] = 80; tcp[0:2] > tcp[2:2]; sctp[0:2] = tcp[0:2]; icmp[0] = 8; " +
    "tcp[12] >> 4 = 5; udp[8:4] > 0x12345678; ether[58] = 0; ether[14:4] & 0xf0000000 = 0x40000000; igmp[0] > 5; " +
    "ether[0xffffffff] = 0; ip[-2:2] = 0x800; tcp[-11] = 6; ip[ip[0] & 0xf] = 0; ether[ether[14] & 0xf + 10] > 5; " +
    "tcp[(tcp[12] >> 4) * 4:4] = 0; ip6[ip6[4:2] & 7] != 0; rarp[0:2] = 1; pim[0] & 0xf > 3; vrrp[1] > 10; " +
    "byte 0 = 2; byte 12 > 8; byte 14 < 70; not byte 60 = 0",
  flags:
    "tcp[tcpflags] & tcp-syn != 0; tcp[tcpflags] = tcp-syn; tcp[tcpflags] == tcp-syn|tcp-ack; " +
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0; tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn; " +
    "tcp[tcpflags] & (tcp-rst|tcp-push|tcp-urg|tcp-ece|tcp-cwr) != 0 and not port 80; " +
    "not tcp[tcpflags] & tcp-ack != 0; icmp[icmptype] = icmp-echo; " +
    "icmp[icmptype] = icmp-echo or icmp[icmptype] = icmp-echoreply; " +
    "icmp[icmptype] != icmp-unreach and icmp[icmpcode] = 0; icmp[icmptype] == icmp-timxceed; " +
    "icmp6[icmp6type] = icmp6-neighborsolicit; " +
    "icmp6[icmp6type] == icmp6-echo or icmp6[icmp6type] == icmp6-echoreply; " +
    "icmp6[icmp6type] = icmp6-destinationunreach; not icmp6[icmp6type] = icmp6-neighboradvert",
  arithmetic:
    "ip[2:2] - ((ip[0] & 0xf) << 2) > 40; (ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2) != 0; 7 % 4 + 1 = 2; " +
    "ip[2:2] % 7 = 3; ip[2:2] / 10 = 4; ip[4:2] ^ ip[6:2] > 1000; ip[8] * 2 + 1 = 129; -ip[8] = 0xffffffc0; " +
    "ip[8] | 1 = 65; 1 = 1; 1 = 2; not 1 = 2; ip[2:2] / ip[8] > 1; 100 / ip[6] > 0; ip[9] << ip[8] > 0; " +
    "1 + ip[0] = 0x46; ip[100] * 0 = 0; 0 & ip[100] = 0; ip[20] = ip[20]; 5 < ip[8]; 64 >= ip[8]; 10 = ip[8] % 54; " +
    "ip[8] - 1 - 1 = 62; ip[8] & 0xf0 | 0x0f = 0x4f; 2 + 3 * 4 = 14; ip[0] >> 4 << 4 = 64; ip[8] % 10 % 3 > 0",
  tags:
    "vlan; vlan 0; vlan 5; vlan 100; vlan 4095; not vlan; vlan and tcp; vlan 100 and tcp port 80; vlan and vlan; " +
    "vlan 100 and vlan 5; vlan and ip6; vlan and host 10.0.0.1; vlan or tcp; tcp or vlan and tcp; " +
    "ip or (vlan and ip); vlan and arp; vlan and not ip; not vlan and ip; vlan and ether[12:2] = 0x8100; " +
    "vlan and ip[0] = 0x45; vlan and tcp[tcpflags] & tcp-syn != 0; vlan and vlan and vlan and ip; (vlan) and udp; " +
    "vlan and stp; vlan and llc; ether proto 0x88a8 and vlan and vlan and udp; vlan (100)",
  labels:
    "mpls; mpls 100; mpls 16; mpls 1048575; mpls and tcp; mpls and mpls; mpls 100 and mpls 16; not mpls; " +
    "mpls and ip6; mpls and host 10.0.0.1; mpls and mpls and udp port 53; vlan and mpls; vlan 5 and mpls and tcp; " +
    "mpls and not ip; mpls or ip; mpls and ip[8] > 1",
  pppoe:
    "pppoes; pppoes 7; pppoes 0; pppoes and tcp; pppoes 7 and tcp port 80; pppoes and ip6; not pppoes; " +
    "pppoes and host 10.0.0.1; vlan and pppoes; vlan and pppoes and udp; pppoes and ip[8] > 1; " +
    "pppoes and ether[0:2] = 0x21",
  joined:
    "not (dst net fe80::/10 or len > 6) and arp or (len > 6 and dst net fe80::/10); " +
    "tcp and port 80; tcp && port 80; tcp || udp; ! tcp; not not tcp; not (tcp or udp); tcp or udp and port 53; " +
    "(tcp or udp) and port 53; tcp and not (port 80 or port 443); ip and not tcp and not udp and not icmp; " +
    "arp or ether[60] = 1 or ip; ether[14] = 1 or ether[60] = 2 or ether[14] = 3; ip6 or ether[40] = 7 or not arp; " +
    "ip and ether[80] = 1 and tcp; not (ip[100] = 1 and 1 = 2); ether[70] = 1 or not ether[70] = 1; ip or not ip; " +
    "(tcp or udp) and host 10.0.0.1 and port 53; host 10.0.0.1 and port (80 or 443) or icmp; ip and ip6; " +
    "tcp and udp; src host 10.0.0.1 and dst port 80; tcp port 80 and (host 10.0.0.1 or 10.0.0.2); " +
    "icmp or arp or port 53 or vlan; tcp dst port 80 or udp src port 53 or 67; host 10.0.0.1 and port 80 or 443; " +
    "not (not ip[2:2] = icmp6[37:1] or byte 40 = 8) and byte 12 < 2 or (byte 40 = 8 or not ip[2:2] = icmp6[37:1] and ip); " +
    "not port 22 and not port 53 and not arp; ip and (tcp[13] & 4 != 0 or icmp[0] = 3); " +
    "ip proto 6 and ip[8] < 64 or udp",
};

export const filters: readonly string[] = [
  ...new Set(["", ...Object.values(groups).flatMap((group) => group.split("; "))]),
];
