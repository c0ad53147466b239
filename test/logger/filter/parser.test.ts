// The tree that later words will stand beside: what binds to what, what a bare value takes over, and where each node began.
import test from "ava";
import type { FilterExpression, FilterTerm } from "../../../logger/filter/ast.js";
import { parseFilter } from "../../../logger/filter/parser.js";

/** A tree as fully parenthesised text. */
function shown(expression: FilterExpression): string {
  switch (expression.kind) {
    case "and":
    case "or":
      return `(${shown(expression.left)} ${expression.kind} ${shown(expression.right)})`;
    case "not":
      return `not ${shown(expression.operand)}`;
    case "protocol":
      return expression.protocol;
    case "match": {
      const { protocol, direction, kind } = expression.qualifier;
      const value = expression.value.form === "number" ? expression.value.value : expression.value.form;
      return [protocol, direction, kind, value].filter((part) => part !== undefined).join(" ");
    }
    case "relation":
      return `${shownTerm(expression.left)} ${expression.relation} ${shownTerm(expression.right)}`;
    default:
      return "id" in expression ? `${expression.kind} ${expression.id}` : expression.kind;
  }
}

function shownTerm(term: FilterTerm): string {
  if (term.kind === "number") return String(term.value);
  if (term.kind === "frame length") return "len";
  if (term.kind === "load") return `${term.protocol}[${shownTerm(term.offset)}:${term.size}]`;
  if (term.kind === "negate") return `-${shownTerm(term.operand)}`;
  return `(${shownTerm(term.left)} ${term.operator} ${shownTerm(term.right)})`;
}

const trees: readonly (readonly [filter: string, tree: string])[] = [
  ["", "everything"],
  [" \t\n", "everything"],
  // `and` and `or` bind alike, to the left.
  ["tcp or udp and icmp", "((tcp or udp) and icmp)"],
  ["tcp and udp or icmp", "((tcp and udp) or icmp)"],
  ["tcp or (udp and icmp)", "(tcp or (udp and icmp))"],
  ["not tcp and udp", "(not tcp and udp)"],
  ["! tcp || not not udp", "(not tcp or udp)"],
  // A bare value takes over the words of the condition before it.
  ["port 80 or 443", "(port 80 or port 443)"],
  [
    "tcp dst port 80 or 443 or udp port 53 or 67",
    "(((tcp dst port 80 or tcp dst port 443) or udp port 53) or udp port 67)",
  ],
  ["port (80 or 443) and not 22", "((port 80 or port 443) and not port 22)"],
  ["port 80 and (udp port 53) and 22", "((port 80 and udp port 53) and port 22)"],
  ["port 80 and (tcp or 443)", ""],
  ["src or dst net 10 or 11", "(src or dst net 10 or src or dst net 11)"],
  ["dst and src port 80", "src and dst port 80"],
  ["ether proto 0x800 or \\arp", "(link proto 2048 or link proto name)"],
  ["vlan 5 and vlan", "(vlan 5 and vlan)"],
  // Arithmetic.
  ["1 + 2 * 3 = len", "(1 + (2 * 3)) = len"],
  ["1 - 2 - 3 = 4", "((1 - 2) - 3) = 4"],
  ["1 | 2 & 3 << 4 + 5 = 6", "(1 | (2 & (3 << (4 + 5)))) = 6"],
  ["-1 + 2 = 3", "(-1 + 2) = 3"],
  ["(1 + 2) * 3 = 4", "((1 + 2) * 3) = 4"],
  // Without precedence, as in tcpdump's grammar: what follows % and ^ is their right operand, and -a % b is -(a % b).
  ["7 % 4 + 1 = 2", "(7 % (4 + 1)) = 2"],
  ["1 + 7 % 4 = 2", "(1 + (7 % 4)) = 2"],
  ["1 ^ 2 & 3 = 4", "(1 ^ (2 & 3)) = 4"],
  ["-7 % 4 = 2", "-(7 % 4) = 2"],
  ["tcp[tcpflags] & (tcp-syn|tcp-ack) != 0", "(tcp[13:1] & (2 | 16)) != 0"],
  ["ip[ip[0:2] + 1:4] = 0x10", "ip[(ip[0:2] + 1):4] = 16"],
  ["len >= 010", "len >= 8"],
];

for (const [filter, tree] of trees)
  test(`reads ${JSON.stringify(filter)} as ${tree || "an error"}`, (t) => {
    if (tree) t.is(shown(parseFilter(filter)), tree);
    else t.throws(() => parseFilter(filter), { code: "FILTER" });
  });

test("nodes know where they began", (t) => {
  const expression = parseFilter("tcp and not host 10.0.0.1");
  if (expression.kind !== "and" || expression.right.kind !== "not") return t.fail(shown(expression));
  t.deepEqual([expression.left.at, expression.at, expression.right.at, expression.right.operand.at], [0, 4, 8, 17]);
});
