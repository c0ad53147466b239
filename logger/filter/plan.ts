// What an index can tell of a filter. Whatever is said here, the filter's program decides about each record that the index names;
// so a plan may name too many, and must never leave one out. Where it is not certain, it says "all". What it leans on: the
// dissector (native/core/frame/dissect.h) finds in a frame whatever BPF's loads at fixed places find there, or calls it odd, and
// odd frames are always named.

import type { FilterExpression, FilterTerm, FilterValue } from "./ast.js";
import type { Direction } from "./direction.js";
import type { FrameTest } from "./frame-test.js";
import { all, allOf, anyOf, type IndexExpression, type IndexField, none, range } from "./index-expression.js";
import { numberAsAddress, portsOf, protocolNumberOf } from "./lookups.js";
import type { RecordTests } from "./record-needs.js";
import { etherType, linkTypes, type Protocol, sap, transportNumbers } from "./words.js";

type Kind<K extends FilterExpression["kind"]> = Extract<FilterExpression, { kind: K }>;

/** What the index is asked for one condition of the text. */
export interface PlannedCondition {
  at: number;
  plan: IndexExpression;
}

export interface FilterPlan {
  plan: IndexExpression;
  conditions: readonly PlannedCondition[];
}

/** `implied`: of the encapsulation words in it, how many must hold when it does. */
interface Planned {
  plan: IndexExpression;
  implied: number;
}

export function planFilter(expression: FilterExpression, tests: RecordTests): FilterPlan {
  const planner = new Planner(tests);
  const { plan } = planner.plan(expression, false, 0);
  return { plan: withFirstFragments(plan, tests.frames), conditions: planner.conditions };
}

/** Later fragments are known by their first ones: these are looked at, too, whatever else is asked for. */
function withFirstFragments(plan: IndexExpression, tests: readonly FrameTest[]): IndexExpression {
  const firsts = tests.flatMap((test) =>
    test.of === "port" ? [range("firstFragmentPort", test.first, test.last, true)] : [],
  );
  return plan.op === "none" ? plan : anyOf(plan, ...firsts);
}

const ipv4Prefix = 0xffffn << 32n;
const encapsulations = ["vlan", "mpls", "pppoes"] as const;
type Encapsulation = (typeof encapsulations)[number];

class Planner {
  readonly conditions: PlannedCondition[] = [];
  /** Words so far that move what follows them. */
  private readonly words: Encapsulation[] = [];

  constructor(private readonly tests: RecordTests) {}

  /**
   * `held`: so many of the words that move what follows are certain to hold where this expression matters. Only if all of them do,
   * what follows them tests what it seems to: in `vlan or ip`, `ip` is looked for four bytes on in frames without a tag. Chains go by
   * iteration, so that recursion is as deep as the parentheses of the text.
   */
  plan(expression: FilterExpression, negated: boolean, held: number): Planned {
    const chain: Kind<"and" | "or">[] = [];
    let first = expression;
    while (first.kind === "and" || first.kind === "or") {
      chain.push(first);
      first = first.left;
    }
    let { plan, implied } = this.single(first, negated, held);
    // Joined once for each row of equal joins: a filter may be a row of thousands.
    let row: { isAnd: boolean; parts: IndexExpression[] } | undefined;
    const joined = () => (row ? (row.isAnd ? allOf : anyOf)(...row.parts) : plan);
    for (const { kind, right } of chain.toReversed()) {
      const isAnd = (kind === "and") !== negated;
      const other = this.plan(right, negated, isAnd ? held + implied : held);
      implied = isAnd ? implied + other.implied : 0;
      if (row?.isAnd !== isAnd) {
        plan = joined();
        row = { isAnd, parts: [plan] };
      }
      row!.parts.push(other.plan);
    }
    return { plan: joined(), implied };
  }

  private single(expression: FilterExpression, negated: boolean, held: number): Planned {
    if (expression.kind === "not") return this.plan(expression.operand, !negated, held);
    const certain = held === this.words.length;
    const plan = negated ? negatedLeaf(expression) : this.leaf(expression, certain);
    const at =
      (expression.kind === "match" || expression.kind === "frame" ? expression.start : undefined) ?? expression.at;
    this.conditions.push({ at, plan });
    const word = encapsulations.find((each) => each === expression.kind);
    if (word) this.words.push(word);
    return { plan, implied: word && !negated ? 1 : 0 };
  }

  private leaf(expression: FilterExpression, certain: boolean): IndexExpression {
    switch (expression.kind) {
      case "name": {
        const { of, pattern } = expression.test;
        const field = of === "in-port" ? "ingress" : of === "out-port" ? "egress" : "rule";
        return { op: "name", field, test: this.tests.numberOfName(expression.test), pattern };
      }
      case "outcome":
        return outcome(expression, false);
      case "flooded":
        return range("egress", 0xffffffff);
      case "community": {
        const [high = 0, low = 0] = expression.digest;
        return range("community", (BigInt(high) << 32n) | BigInt(low));
      }
      case "frame":
        return frameTest(expression.test);
      default:
        return certain ? this.headers(expression) : all;
    }
  }

  /** Conditions on the frame's bytes, after words that are certain to hold. */
  private headers(expression: FilterExpression): IndexExpression {
    switch (expression.kind) {
      case "protocol":
        return this.protocol(expression.protocol);
      case "match":
        return this.match(expression);
      case "relation":
        return this.relation(expression);
      case "broadcast":
        if (expression.protocol === "ip") return anyOf(ipv4("ipDestination", 0), ipv4("ipDestination", 0xffffffff));
        return range("macDestination", 0xffffffffffffn);
      case "multicast":
        if (expression.protocol === "ip") return ipv4("ipDestination", 0xe0000000, 0xe0000000);
        if (expression.protocol === "ip6") return range("ipDestination", 0xffn << 120n, (1n << 128n) - 1n);
        return all;
      case "vlan":
        return expression.id === undefined ? range("vlan", 0, 0xfff) : range("vlan", expression.id);
      case "mpls":
        return this.words.includes("mpls") ? all : range("etherType", etherType.mpls);
      case "pppoes":
        return range("etherType", etherType.pppoes);
      case "pppoed":
        return this.type(etherType.pppoed);
      default:
        return all;
    }
  }

  private protocol(protocol: Protocol): IndexExpression {
    const type = linkTypes[protocol];
    if (type !== undefined) return this.type(type);
    const number = transportNumbers[protocol];
    return number === undefined ? all : range("protocol", number);
  }

  /** Of what MPLS and PPP hold only the IP version is known. */
  private type(type: number): IndexExpression {
    if (type === etherType.ip || type === etherType.ip6) return range("etherType", type);
    if (this.words.includes("mpls") || this.words.includes("pppoes")) return all;
    const overLlc: readonly number[] = [etherType.atalk, etherType.aarp, etherType.ipx, sap.ipx];
    return type < 1536 || type > 0xffff || overLlc.includes(type) ? all : range("etherType", type);
  }

  private match({ qualifier, value, at }: Kind<"match">): IndexExpression {
    const { protocol, direction, kind } = qualifier;
    if (kind === "proto" || kind === "protochain")
      return this.protoNumber(protocol, protocolNumberOf(value, protocol, at));
    if (kind === "port" || kind === "portrange") {
      const { first, last } = portsOf(value, qualifier, at);
      return ports(direction, Math.min(first, last), Math.max(first, last), false);
    }
    if (value.form === "ethernet") {
      const address = numberOf(value.address);
      return directed(direction, (source) => range(source ? "macSource" : "macDestination", address));
    }
    const addresses = directed(direction, (source) =>
      network(source ? "ipSource" : "ipDestination", value, kind === "net"),
    );
    return protocol === "arp" || protocol === "rarp" ? allOf(this.protocol(protocol), addresses) : addresses;
  }

  private protoNumber(protocol: Protocol | undefined, number: number): IndexExpression {
    if (protocol === "link") return this.type(number);
    if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6") return all;
    return number > 255 ? none : range("protocol", number);
  }

  private relation({ relation, left, right }: Kind<"relation">): IndexExpression {
    const exact = relation === "=" && right.kind === "number" ? this.loaded(left, right.value) : all;
    return allOf(this.required(left), this.required(right), exact);
  }

  /** What must hold for a term to mean anything; as in the program, of `a + b` only what `a` needs. */
  private required(term: FilterTerm): IndexExpression {
    if (term.kind === "arithmetic") return this.required(term.left);
    if (term.kind === "negate") return this.required(term.operand);
    return term.kind === "load" && term.protocol !== "link" ? this.protocol(term.protocol) : all;
  }

  /** Bytes at a fixed place that a field of the index holds, such as `icmp[icmptype] = 8`. */
  private loaded(term: FilterTerm, value: number): IndexExpression {
    if (term.kind !== "load" || term.offset.kind !== "number") return all;
    const place = `${term.protocol}[${term.offset.value}:${term.size}]`;
    if (value >= 2 ** (8 * term.size)) return none;
    switch (place) {
      case "icmp[0:1]":
        return range("icmpType", 0x400 | value);
      case "icmp6[0:1]":
        return range("icmpType", 0x600 | value);
      case "tcp[0:2]":
      case "udp[0:2]":
      case "sctp[0:2]":
        return range("portSource", value);
      case "tcp[2:2]":
      case "udp[2:2]":
      case "sctp[2:2]":
        return range("portDestination", value);
      case "ip[9:1]":
      case "ip6[6:1]":
        return range("protocol", value);
      case "ip[12:4]":
        return ipv4("ipSource", value);
      case "ip[16:4]":
        return ipv4("ipDestination", value);
      case "link[12:2]":
        return this.words.includes("pppoes") || value < 1536 ? all : range("etherType", value);
      default:
        return all;
    }
  }
}

/** A field that each record has one value of tells what does not hold, too. */
function negatedLeaf(expression: FilterExpression): IndexExpression {
  return expression.kind === "outcome" ? outcome(expression, true) : all;
}

/** A record's outcome is 0, or 1 + the number of the reason. */
function outcome({ word, reason }: Kind<"outcome">, negated: boolean): IndexExpression {
  if (reason === undefined) return (word === "forwarded") !== negated ? range("outcome", 0) : range("outcome", 1, 255);
  if (!negated) return range("outcome", reason + 1);
  return anyOf(range("outcome", 0, reason), range("outcome", reason + 2, 255));
}

function frameTest(test: FrameTest): IndexExpression {
  switch (test.of) {
    case "host": {
      const isIpv4 = test.address.length === 4;
      const [low, high] = isIpv4 ? mapped(Number(numberOf(test.address)), Number(numberOf(test.mask))) : wide(test);
      return directed(test.direction, (source) => range(source ? "ipSource" : "ipDestination", low, high, true));
    }
    case "port":
      return anyOf(ports(test.direction, test.first, test.last, true), range("unresolvedFragment", 1, 255, true));
    case "protocol":
      return range("protocol", test.number, test.number, true);
    default:
      return all;
  }
}

function wide({ address, mask }: Extract<FrameTest, { of: "host" }>): [bigint, bigint] {
  return [numberOf(address), numberOf(address) | (((1n << 128n) - 1n) ^ numberOf(mask))];
}

function ports(direction: Direction | undefined, first: number, last: number, tunnels: boolean): IndexExpression {
  return directed(direction, (source) => range(source ? "portSource" : "portDestination", first, last, tunnels));
}

function directed(direction: Direction | undefined, build: (source: boolean) => IndexExpression): IndexExpression {
  if (direction === "src" || direction === "dst") return build(direction === "src");
  return direction === "src and dst" ? allOf(build(true), build(false)) : anyOf(build(true), build(false));
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

/** IPv4 addresses stand as ::ffff:a.b.c.d. Of a mask with gaps only the leading ones count. */
function mapped(address: number, mask: number): [bigint, bigint] {
  const rest = 2 ** (32 - Math.clz32(~mask)) - 1;
  const low = (address & ~rest) >>> 0;
  return [ipv4Prefix | BigInt(low), ipv4Prefix | BigInt(low + rest)];
}

function ipv4(field: IndexField, address: number, mask = 0xffffffff): IndexExpression {
  return range(field, ...mapped(address, mask));
}

/** Addresses as the generator understands them (`Generator.match`). */
function network(field: IndexField, value: FilterValue, isNet: boolean): IndexExpression {
  switch (value.form) {
    case "ipv6": {
      const rest = (1n << BigInt(128 - (value.prefixBits ?? 128))) - 1n;
      const low = numberOf(value.address) & ~rest;
      return range(field, low, low | rest);
    }
    case "ipv4 network":
      return ipv4(field, value.address, value.mask);
    case "ipv4":
      return ipv4(field, value.address, (0xffffffff << (32 - value.bits)) >>> 0);
    case "number": {
      const { address, mask } = numberAsAddress(value.value, isNet);
      return ipv4(field, address, mask);
    }
    default:
      return all;
  }
}
