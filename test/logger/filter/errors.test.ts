// Every complaint, word for word: what is wrong, in which column, and what to do.
import test from "ava";
import { PasteError } from "../../../logger/errors.js";
import { compileFilter } from "../../../logger/filter/compile.js";

const aCondition = 'expected a condition such as "tcp", "host 10.0.0.1" or "port 80"';
const quoting = "only times, names of ports and rules, and payloads are quoted, each behind its word";
const deep = `${"(".repeat(65)}tcp${")".repeat(65)}`;
const manyOperators = `${"1 + ".repeat(300)}1 = 1`;
const many = (count: number, each: string): string => Array.from({ length: count }, () => each).join(" or ");

const errors: readonly (readonly [filter: string, message: string])[] = [
  // Unknown words.
  ["prot 80", 'unknown word "prot" at column 1: did you mean "proto"?'],
  ["tcp and prot 6", 'unknown word "prot" at column 9: did you mean "proto"?'],
  ["hots 10.0.0.1", 'unknown word "hots" at column 1: did you mean "host"?'],
  ["vlna", 'unknown word "vlna" at column 1: did you mean "vlan"?'],
  ["HOST 10.0.0.1", 'unknown word "HOST" at column 1: did you mean "host"?'],
  ["tcp adn udp", 'unknown word "adn" at column 5: did you mean "and"?'],
  ["tcp xyzzy", 'unknown word "xyzzy" at column 5: expected "and", "or" or the end'],
  ["len-4 > 5", 'unknown word "len-4" at column 1: a subtraction needs blanks around "-"'],
  [
    "llc foo",
    'unknown word "foo" at column 5: llc takes i, s, u, rr, rnr, rej, ui, ua, disc, dm, sabme, test, xid, frmr',
  ],
  ["vlan (x)", 'unknown word "x" at column 7: expected the number of a VLAN'],
  ["xyzzy", `unknown word "xyzzy" at column 1: ${aCondition}`],
  // A first letter is seldom mistyped, and words are left unfinished.
  ["hst 10.0.0.1", 'unknown word "hst" at column 1: did you mean "host"?'],
  ["drop", 'unknown word "drop" at column 1: did you mean "dropped"?'],
  // Words that stand where a value may.
  ["port 80 and in-prt x", 'unknown word "in-prt" at column 13: did you mean "in-port"?'],
  ["port 80 and not (droped)", 'unknown word "droped" at column 18: did you mean "dropped"?'],
  ["host 10.0.0.1 and tpc", 'unknown word "tpc" at column 19: did you mean "tcp"?'],
  ["host 10.0.0.1 or web1", '"web1" is no address at column 18: host names are not looked up, give the address'],
  ["ip proto 6 or udp2", 'unknown protocol "udp2" at column 15: did you mean "udp"?'],
  ["port 80 or htps", 'unknown service "htps" at column 12: did you mean "https"?'],
  ["port 80 and dport 443", 'unknown word "dport" at column 13: did you mean "dst port"?'],
  ["src prot 80", 'unknown word "prot" at column 5: did you mean "port"?'],
  ["src hots 10.0.0.1", 'unknown word "hots" at column 5: did you mean "host"?'],
  ["tcp prot 80", 'unknown word "prot" at column 5: did you mean "port"?'],
  // Words before what is no token: they are what is wrong.
  ['tcp and pyload "x"', 'unknown word "pyload" at column 9: did you mean "payload"?'],
  ["pyload /a(b/", 'unknown word "pyload" at column 1: did you mean "payload"?'],
  ["pyload /a)b/", 'unknown word "pyload" at column 1: did you mean "payload"?'],
  ["tpc and (udp", 'unknown word "tpc" at column 1: did you mean "tcp"?'],
  // What other programs call it.
  ["ip.addr == 10.0.0.1", 'unknown word "ip.addr" at column 1: did you mean "host"?'],
  ["http", 'unknown word "http" at column 1: did you mean "port http"?'],
  ["tcp-syn", '"tcp-syn" has no word before it at column 1: write "tcp[tcpflags] & tcp-syn != 0"'],
  ["icmp-echo", '"icmp-echo" has no word before it at column 1: write "icmp[icmptype] = icmp-echo"'],
  ["src-port 80", 'unknown word "src-port" at column 1: did you mean "src port"?'],
  ["pppoe and ip", 'unknown word "pppoe" at column 1: did you mean "pppoes"?'],
  ["port dns", 'unknown service "dns" at column 6: did you mean "domain"?'],
  ["15m ago", 'unknown word "15m" at column 1: times stand behind "after", "before" or "between"'],
  ["14:00", '"14" has no word before it at column 1: times stand behind "after", "before" or "between"'],
  ["tcp[tcpflag] & 2 != 0", 'unknown word "tcpflag" at column 5: did you mean "tcpflags"?'],
  ["tcp[13] = tcp-sy", 'unknown word "tcp-sy" at column 11: did you mean "tcp-syn"?'],
  // Characters and brackets.
  ["tcp @ udp", 'unexpected character "@" at column 5'],
  ["rule 'x", "' is never closed at column 6"],
  ['after "14:00', '" is never closed at column 7'],
  ["tcp 'x", `unexpected character "'" at column 5: ${quoting}`],
  ["port 80,443", 'unexpected character "," at column 8: alternatives are joined by "or"'],
  ["(tcp", '"(" is never closed at column 1'],
  ["tcp)", '")" closes nothing at column 4'],
  ["ip[0", '"[" is never closed at column 3'],
  ["(ip[0)]", '")" closes nothing at column 6'],
  [deep, "nesting is deeper than 64 levels at column 66: leave out parentheses that change nothing"],
  // Filters that end, or go on, in the wrong place.
  ["tcp and", `the filter ends too early at column 8: ${aCondition}`],
  ["not", `the filter ends too early at column 4: ${aCondition}`],
  ["host", "the filter ends too early at column 5: expected an address"],
  ["tcp port", "the filter ends too early at column 9: expected a port"],
  ["src", "the filter ends too early at column 4: expected an address"],
  ["net", "the filter ends too early at column 4: expected a network such as 10.0.0.0/8"],
  ["host 10.0.0.1 or", "the filter ends too early at column 17: expected an address or a condition"],
  ["ip proto", "the filter ends too early at column 9: expected a protocol's number, or its name behind a backslash"],
  ["host 10.0.0.1/", "the filter ends too early at column 15: expected the length of the prefix"],
  ["less", "the filter ends too early at column 5: expected a length in bytes"],
  ["host 10.0.0.1 port 80", 'unexpected "port" at column 15: expected "and", "or" or the end'],
  ["tcp port 80 udp", 'unexpected "udp" at column 13: expected "and", "or" or the end'],
  ["tcp and and udp", `unexpected "and" at column 9: ${aCondition}`],
  ["ether tcp", 'unexpected "tcp" at column 7: expected "host", "src", "dst", "proto", "broadcast" or "multicast"'],
  ["less tcp", 'unexpected "tcp" at column 6: expected a length in bytes'],
  ["net 10.0.0.0 mask 8", 'unexpected "8" at column 19: expected a mask such as 255.0.0.0'],
  // Values.
  ["80", '"80" has no word before it at column 1: did you mean "port 80"?'],
  ["10.0.0.1", '"10.0.0.1" has no word before it at column 1: did you mean "host 10.0.0.1"?'],
  ["tcp and ::1", '"::1" has no word before it at column 9: did you mean "host ::1"?'],
  ["2:0:0:0:0:1", '"2:0:0:0:0:1" has no word before it at column 1: did you mean "ether host 2:0:0:0:0:1"?'],
  ["proto tcp", 'unexpected "tcp" at column 7: expected a value: a protocol\'s name is written \\tcp'],
  ["host (10.0.0.1 or tcp)", 'unexpected "tcp" at column 19: expected a value: a protocol\'s name is written \\tcp'],
  ["host (port 80)", 'unexpected "port" at column 7: expected a value'],
  ["host 300.1.1.1", '"300.1.1.1" is no IPv4 address at column 6: each part is at most 255'],
  ["host foo.example", '"foo.example" is no address at column 6: host names are not looked up, give the address'],
  ["net example", '"example" is no address at column 5: network names are not looked up, give the address'],
  ["host 1.2.3.4.5", '"1.2.3.4.5" is no address at column 6: host names are not looked up, give the address'],
  ["net 10.0.0.1/8", '"10.0.0.1/8" has bits set outside its network at column 5: clear them'],
  ["net 10.0.0.1 mask 255.0.0.0", '"10.0.0.1 mask 255.0.0.0" has bits set outside its network at column 5: clear them'],
  ["net 2001:db8::1/32", '"2001:db8::1/32" has bits set outside its network at column 5: clear them'],
  ["net 10.0.0.0/33", "a prefix of 33 bits at column 14: IPv4 addresses have 32"],
  ["net ::/129", "a prefix of 129 bits at column 8: IPv6 addresses have 128"],
  ["host 10.0.0.0/8", '"10.0.0.0/8" is a network at column 6: did you mean "net 10.0.0.0/8"?'],
  ["host 2001:db8::/32", '"2001:db8::/32" is a network at column 6: did you mean "net 2001:db8::/32"?'],
  ["ether host 10.0.0.1", 'an IPv4 address behind "ether" at column 12: write "ip host", "arp host" or "host"'],
  ["tcp host 10.0.0.1", 'an IPv4 address behind "tcp" at column 10: write "ip host", "arp host" or "host"'],
  ["ip host ::1", 'an IPv6 address behind "ip" at column 9: write "ip6 host" or "host"'],
  [
    "host 2:0:0:0:0:1",
    'an Ethernet address behind words for another at column 6: write "ether host", "ether src" or "ether dst"',
  ],
  // Ports and protocols.
  ["port 70000", "port 70000 is too large at column 6: the largest is 65535"],
  ["portrange 1-70000", "port 70000 is too large at column 11: the largest is 65535"],
  ["port htp", 'unknown service "htp" at column 6: did you mean "http"?'],
  ["port nosuchservice", 'unknown service "nosuchservice" at column 6: give the port\'s number'],
  ["port 80-90", '"80-90" is a range at column 6: did you mean "portrange 80-90"?'],
  ["portrange http", '"http" is no range of ports at column 11: write it as 80-90'],
  ["udp port ssh", 'service "ssh" is tcp, not udp at column 10: give the port\'s number'],
  ["ip port 80", '"ip" has no ports at column 9: ports belong to tcp, udp and sctp'],
  ["port 10.0.0.1", 'an address where a port was expected at column 6: did you mean "host"?'],
  ["port 08", '"08" starts with 0, so it is octal, and has a digit over 7 at column 6'],
  ["port 0x1ffffffff", '"0x1ffffffff" is over 32 bits at column 6: the largest number is 4294967295'],
  ["ip proto foo", 'unknown protocol "foo" at column 10: give its number'],
  ["ether proto \\ip7", 'unknown protocol "ip7" at column 13: did you mean "ip"?'],
  ["ip proto 10.0.0.1", "an address where a protocol was expected at column 10: give its number or \\name"],
  ["tcp proto 6", '"tcp" carries no protocol number at column 11: write "ip proto" or "ether proto"'],
  ["src proto 6", '"proto" takes no direction at column 5: leave out "src" and "dst"'],
  // Bytes and arithmetic.
  ["ip[0:3] = 1", "a size of 3 bytes at column 6: it must be 1, 2 or 4"],
  ["ip[0] =", 'the filter ends too early at column 8: expected a number, "len" or bytes such as "ip[0]"'],
  ["ip[0] + 1", "the filter ends too early at column 10: expected =, !=, <, <=, > or >="],
  ["tcp & 2 != 0", 'unexpected "&" at column 5: expected "[": bytes are written tcp[offset] or tcp[offset:size]'],
  [
    "1 + tcp = 5",
    'unexpected "=" at column 9: expected "[", because bytes are written tcp[offset] or tcp[offset:size]',
  ],
  ["esp[0] = 1", 'bytes of "esp" cannot be addressed at column 1: use "ether[...]", "ip[...]" or "ip6[...]"'],
  ["ip[0] / 0 = 1", "division by zero at column 9"],
  ["ip[0] % (2 - 2) = 1", "division by zero at column 12"],
  ["ip[0] << 32 = 1", "a shift by 32 bits at column 10: values have 32"],
  [manyOperators, "more than 256 operators in one comparison at column 1027"],
  ["byte 3 & 4", '"byte 3 &" has no defined meaning at column 8: write "ether[3] & N != 0"'],
  // What only other captures, or nothing here, can answer.
  ["inbound", '"inbound" cannot be used at column 1: a frame does not carry its direction'],
  ["gateway foo", '"gateway" cannot be used at column 1: it needs host names, which are not looked up'],
  ["tcp protochain 6", '"tcp" has no chain of headers at column 16: write "ip6 protochain"'],
  [
    "geneve",
    '"geneve" cannot be used at column 1: write "udp port 6081", and "any host" or "any port" for what is inside',
  ],
  ["type mgt", '"type" cannot be used at column 1: it belongs to 802.11 captures'],
  ["rulenum 5", '"rulenum" cannot be used at column 1: it belongs to pf logs'],
  ["arp broadcast", '"arp broadcast" at column 1: only ether and ip have it'],
  ["tcp multicast", '"tcp multicast" at column 1: only ether, ip and ip6 have it'],
  // What tags, labels and tunnels rule out.
  ["vlan 4096", "VLAN 4096 is too large at column 6: the largest is 4095"],
  ["mpls 1048576", "MPLS label 1048576 is too large at column 6: the largest is 1048575"],
  ["pppoes 65536", "PPPoE session 65536 is too large at column 8: the largest is 65535"],
  ["mpls and arp", 'this protocol cannot be tested after "mpls" at column 10: only IPv4 and IPv6 can'],
  ["mpls and vlan", '"vlan" after "mpls" at column 10: tags inside MPLS cannot be found'],
  ["pppoes and vlan", '"vlan" after "pppoes" at column 12: PPP frames have no tags'],
  [
    "pppoes and broadcast",
    'Ethernet addresses cannot be tested after "pppoes" at column 12: test them before "pppoes"',
  ],
  // Size.
  [" ".repeat(65537), "the text is longer than 65536 characters at column 65537: split it into several rules"],
  [many(5000, "tcp"), "more than 4096 conditions at column 28673: split the filter into several rules"],
];

for (const [filter, message] of errors)
  test(`complains about: ${filter.length > 60 ? `${filter.slice(0, 60)}... (${filter.length})` : filter}`, (t) => {
    const error = t.throws(() => compileFilter(filter), { instanceOf: PasteError });
    t.is(error.message, `filter: ${message}`);
    t.is(error.code, "FILTER");
  });

test("a program over 4096 instructions is refused with its size", (t) => {
  const filter = Array.from({ length: 3000 }, (_, number) => `ether[${number}] = 1`).join(" or ");
  const error = t.throws(() => compileFilter(filter), { instanceOf: PasteError, code: "FILTER" });
  t.is(error.message, "filter: too long: it needs 6002 instructions, the limit is 4096: split it into several rules");
});

test("operators are counted over all parentheses of a comparison", (t) => {
  const nested = (depth: number): string => (depth === 0 ? "ip[0]" : `(${nested(depth - 1)} / ${nested(depth - 1)})`);
  t.notThrows(() => compileFilter(`${nested(8)} = 1 and ${nested(8)} = 2`));
  const error = t.throws(() => compileFilter(`${nested(9)} = 1`), { instanceOf: PasteError, code: "FILTER" });
  t.regex(error.message, /^filter: more than 256 operators in one comparison at column \d+$/);
});

test("a snaplen that is no positive 32-bit number is a usage error", (t) => {
  for (const snaplen of [0, -1, 1.5, 2 ** 32, Number.NaN])
    t.is(t.throws(() => compileFilter("tcp", { snaplen }), { instanceOf: PasteError }).code, "USAGE");
  t.is(compileFilter("", { snaplen: 96 }).program[0]?.k, 96);
});
