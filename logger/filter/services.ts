// Service names for `port NAME`: facts of the IANA registry of service names and port numbers, cut down to the usual ones and
// to the transports that Debian's /etc/services (netbase) lists, because that is what tcpdump asks. No file is read, so a
// filter means the same on every machine.

const overTcpAndUdp =
  "echo 7, discard 9, sink 9, null 9, daytime 13, chargen 19, ttytst 19, source 19, time 37, timserver 37, " +
  "tacacs 49, domain 53, kerberos 88, kerberos5 88, krb5 88, kerberos-sec 88, sunrpc 111, portmapper 111, " +
  "snmp 161, snmp-trap 162, snmptrap 162, ldap 389, svrloc 427, https 443, kpasswd 464, rtsp 554, ldp 646, " +
  "syslog 514, ldaps 636, domain-s 853, openvpn 1194, radius 1812, radius-acct 1813, radacct 1813, " +
  "nfs 2049, rtcm-sc104 2101, isns 3205, nut 3493, sip 5060, sip-tls 5061";
const overTcp =
  "tcpmux 1, systat 11, users 11, qotd 17, quote 17, ftp-data 20, ftp 21, ssh 22, telnet 23, smtp 25, " +
  "mail 25, whois 43, nicname 43, gopher 70, finger 79, http 80, www 80, pop3 110, pop-3 110, auth 113, " +
  "authentication 113, tap 113, ident 113, nntp 119, readnews 119, untp 119, epmap 135, loc-srv 135, " +
  "netbios-ssn 139, imap2 143, imap 143, bgp 179, microsoft-ds 445, submissions 465, ssmtp 465, smtps 465, " +
  "urd 465, nqs 607, ipp 631, exec 512, login 513, shell 514, cmd 514, printer 515, spooler 515, uucp 540, " +
  "uucpd 540, nntps 563, snntp 563, submission 587, rsync 873, ftps-data 989, ftps 990, telnets 992, " +
  "imaps 993, pop3s 995, socks 1080, rmiregistry 1099, ms-sql-s 1433, cisco-sccp 2000, cvspserver 2401, " +
  "dict 2628, gpsd 2947, iscsi-target 3260, mysql 3306, ms-wbt-server 3389, distcc 3632, svn 3690, " +
  "subversion 3690, sieve 4190, epmd 4369, ntske 4460, xmpp-client 5222, jabber-client 5222, " +
  "xmpp-server 5269, jabber-server 5269, postgresql 5432, postgres 5432, amqps 5671, amqp 5672, x11 6000, " +
  "x11-0 6000, redis 6379, ircs-u 6697, font-service 7100, xfs 7100, http-alt 8080, webcache 8080, " +
  "bacula-dir 9101, nbd 10809, zabbix-agent 10050, zabbix-trapper 10051, hkp 11371, zebra 2601, " +
  "ospfd 2604, bgpd 2605, munin 4949, lrrd 4949, nrpe 5666, nsca 5667, syslog-tls 6514, ircd 6667, " +
  "git 9418";
const overUdp =
  "bootps 67, bootpc 68, tftp 69, ntp 123, netbios-ns 137, netbios-dgm 138, xdmcp 177, ipx 213, " +
  "ptp-event 319, ptp-general 320, isakmp 500, asf-rmcp 623, biff 512, comsat 512, who 513, whod 513, " +
  "talk 517, ntalk 518, route 520, router 520, routed 520, dhcpv6-client 546, dhcpv6-server 547, " +
  "ms-sql-m 1434, l2f 1701, l2tp 1701, ipsec-nat-t 4500, iax 4569, mdns 5353, babel 6696";

/** A service's port, and its transport where only one of the two carries it. */
export interface Service {
  port: number;
  transport?: "tcp" | "udp";
}

function rows(table: string, transport?: "tcp" | "udp"): [string, Service][] {
  return table.split(", ").map((row) => {
    const [name = "", port] = row.split(" ");
    return [name, transport ? { port: Number(port), transport } : { port: Number(port) }];
  });
}

let table: ReadonlyMap<string, Service> | undefined;

/** By name; made for the first filter that asks, as most name none. */
export function services(): ReadonlyMap<string, Service> {
  table ??= new Map([...rows(overTcpAndUdp), ...rows(overTcp, "tcp"), ...rows(overUdp, "udp")]);
  return table;
}
