// The tree of a filter to one condition. Goes through the text from left to right, because `vlan`, `mpls` and `pppoes` move
// what every later word means. Orders of tests, and what is not tested, are tcpdump's (libpcap 1.10): see `matches.ts`.
import type { FilterExpression, FilterTerm, FilterValue, Qualifier, Relation } from "./ast.js";
import { anyOf, both, type Condition, compare, either, masked, not } from "./condition.js";
import { filterError } from "./filter-error.js";
import { FrameLayout } from "./frame-layout.js";
import { nameError, numberAsAddress, portsOf, protocolNumberOf } from "./lookups.js";
import { Matches } from "./matches.js";
import { leaves, RecordTests } from "./record-needs.js";
import { flagFlooded, recordWord, timeEnd } from "./record-words.js";
import type { Value, ValueTable } from "./values.js";
import {
  etherType,
  isoProtocols,
  linkTypes,
  llcTypes,
  type Protocol,
  protocolName,
  sap,
  transportNumbers,
} from "./words.js";

type Expression<Kind extends FilterExpression["kind"]> = Extract<FilterExpression, { kind: Kind }>;

/** A value, and what must hold of a frame for it to mean anything. */
interface Computed {
  value: Value;
  requires?: Condition;
}

/** IS-IS PDU types (ISO/IEC 10589), in the order in which they are tested. */
const isisPdus: Partial<Record<Protocol, readonly number[]>> = {
  l1: [26, 24, 18, 15, 17],
  l2: [27, 25, 20, 16, 17],
  iih: [17, 15, 16],
  lsp: [18, 20],
  snp: [27, 26, 24, 25],
  csnp: [24, 25],
  psnp: [26, 27],
};
const behindIpv4: readonly Protocol[] = ["sctp", "tcp", "udp", "icmp", "igmp", "igrp", "pim", "vrrp", "carp"];
const networkHeaders: readonly Protocol[] = [
  ...(["ip", "arp", "rarp", "atalk", "decnet", "sca", "lat", "moprc", "mopdl", "ip6"] as const),
];

/** The condition that a filter's tree states; `tests` are those of the tree. Throws FILTER errors for what cannot be tested. */
export function generate(
  expression: FilterExpression,
  values: ValueTable,
  tests = new RecordTests(expression),
): Condition {
  return new Generator(values, tests).whole(expression);
}

/** How long a condition's slowest word takes: hashes and looking into tunnels take longer than loads, searching longest. */
function slowness(expression: FilterExpression): number {
  let slowest = 0;
  for (const leaf of leaves(expression)) {
    if (leaf.kind === "frame" && leaf.word === "payload") return 2;
    if (leaf.kind === "frame" || leaf.kind === "community") slowest = 1;
  }
  return slowest;
}

class Generator {
  private readonly layout: FrameLayout;

  constructor(
    private readonly values: ValueTable,
    private readonly tests: RecordTests,
  ) {
    this.layout = new FrameLayout(values);
  }

  /**
   * A whole filter. What all of it must fulfil may be asked in any order (a load that rejects a frame says no, too), so the slow words
   * come last. Conditions are made in the order of the text, because `vlan` moves what follows it.
   */
  whole(expression: FilterExpression): Condition {
    const parts: { condition: Condition; slow: number }[] = [];
    const rest: FilterExpression[] = [];
    let first = expression;
    while (first.kind === "and") {
      rest.push(first.right);
      first = first.left;
    }
    for (const part of [first, ...rest.toReversed()])
      parts.push({ condition: this.condition(part), slow: slowness(part) });
    return parts
      .toSorted((a, b) => a.slow - b.slow)
      .map(({ condition }) => condition)
      .reduce((left, right) => both(left, right));
  }

  /** Chains of and/or go by iteration, so that recursion is as deep as the parentheses of the text. */
  condition(expression: FilterExpression): Condition {
    const chain: Expression<"and" | "or">[] = [];
    let first = expression;
    while (first.kind === "and" || first.kind === "or") {
      chain.push(first);
      first = first.left;
    }
    let condition = this.single(first);
    for (const { kind, right } of chain.toReversed())
      condition = { kind, left: condition, right: this.condition(right) };
    return condition;
  }

  private single(expression: Exclude<FilterExpression, Expression<"and" | "or">>): Condition {
    const { values, layout } = this;
    switch (expression.kind) {
      case "everything":
        return compare(values, values.constant(0), "equal", 0);
      case "not":
        return not(this.condition(expression.operand));
      case "protocol":
        return this.protocol(expression.protocol, expression.at);
      case "match":
        return this.match(expression);
      case "relation":
        return this.relation(expression);
      case "broadcast":
        return this.broadcast(expression);
      case "multicast":
        return this.multicast(expression);
      case "less":
        return not(compare(values, values.frameLength(), "greater", expression.length));
      case "greater":
        return compare(values, values.frameLength(), "greaterOrEqual", expression.length);
      case "byte":
        return this.byte(expression);
      case "vlan":
      case "mpls":
      case "pppoes":
        return layout[expression.kind](expression.id, expression.at);
      case "pppoed":
        return layout.type(etherType.pppoed, expression.at);
      case "llc":
        return this.llc(expression);
      case "time":
        return this.time(expression);
      case "name":
        return compare(values, values.recordWord(this.tests.wordOfName(expression.test)), "equal", 1);
      case "frame":
        return compare(values, values.recordWord(this.tests.wordOfFrame(expression.test)), "equal", 1);
      case "community": {
        const has = compare(values, values.recordWord(recordWord.hasCommunity), "equal", 1);
        const word = (i: number) => values.recordWord(recordWord.community + i);
        return expression.digest.reduce((all, each, i) => both(all, compare(values, word(i), "equal", each)), has);
      }
      case "outcome":
        return this.outcome(expression);
      case "flooded":
        return compare(values, values.recordWord(recordWord.flags), "anyBit", flagFlooded);
    }
  }

  private time({ fromNs, toNs }: Expression<"time">): Condition {
    const from = fromNs > 0n ? this.notBefore(fromNs) : undefined;
    if (toNs === timeEnd) return from ?? this.single({ kind: "everything", at: 0 });
    return both(from, not(this.notBefore(toNs)));
  }

  /** A record's time is 64 bits, a test's values 32: the upper half decides unless it is equal. */
  private notBefore(timeNs: bigint): Condition {
    const { values } = this;
    const [high, low] = [Number(timeNs >> 32n), Number(timeNs & 0xffffffffn)];
    const upper = values.recordWord(recordWord.timeHigh);
    if (low === 0) return compare(values, upper, "greaterOrEqual", high);
    const lower = compare(values, values.recordWord(recordWord.timeLow), "greaterOrEqual", low);
    return either(compare(values, upper, "greater", high), both(compare(values, upper, "equal", high), lower));
  }

  /** A record's outcome is 0, or 1 + the number of the reason. */
  private outcome({ word, reason }: Expression<"outcome">): Condition {
    const outcome = this.values.recordWord(recordWord.outcome);
    if (reason !== undefined) return compare(this.values, outcome, "equal", reason + 1);
    const forwarded = compare(this.values, outcome, "equal", 0);
    return word === "forwarded" ? forwarded : not(forwarded);
  }

  private protocol(protocol: Protocol, at: number): Condition {
    const type = linkTypes[protocol];
    if (type !== undefined) return this.layout.type(type, at);
    const number = transportNumbers[protocol];
    const matches = new Matches(this.values, this.layout, at);
    if (number !== undefined) {
      if (protocol === "icmp6") return matches.ipv6Protocol(number);
      if (["icmp", "igmp", "igrp", "vrrp", "carp"].includes(protocol)) return matches.ipv4Protocol(number);
      return matches.ipProtocol(number);
    }
    const pdus = isisPdus[protocol];
    if (pdus) return anyOf(pdus.map((pdu) => this.isisPdu(pdu, at)));
    return this.osi(isoProtocols.get(protocol)!, at);
  }

  private osi(identifier: number, at: number): Condition {
    return both(this.layout.type(sap.iso, at), compare(this.values, this.layout.osi(0), "equal", identifier));
  }

  private isisPdu(pdu: number, at: number): Condition {
    return both(this.osi(isoProtocols.get("isis")!, at), compare(this.values, this.layout.osi(4), "equal", pdu));
  }

  private match({ qualifier, value, at }: Expression<"match">): Condition {
    const matches = new Matches(this.values, this.layout, at);
    const { protocol, direction, kind } = qualifier;
    if (kind === "proto") return this.protoNumber(protocol, value, at);
    if (kind === "protochain") {
      if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6")
        throw filterError(at, `"${protocolName(protocol)}" has no chain of headers`, 'write "ip6 protochain"');
      return matches.protocolChain(protocol, protocolNumberOf(value, protocol, at));
    }
    if (kind === "port" || kind === "portrange") {
      const { first, last, transport } = portsOf(value, qualifier, at);
      return matches.ports(kind === "port" ? first : [first, last], transport, direction);
    }
    switch (value.form) {
      case "name":
        throw nameError(value.name, kind, at);
      case "ethernet":
        if (protocol !== "link" || kind === "net")
          throw filterError(
            at,
            "an Ethernet address behind words for another",
            'write "ether host", "ether src" or "ether dst"',
          );
        this.requireEthernet(at);
        return matches.ethernetHost(value.address, direction);
      case "ipv6":
        if (value.prefixBits !== undefined && value.prefixBits !== 128 && kind !== "net")
          throw filterError(at, `"${value.text}" is a network`, `did you mean "net ${value.text}"?`);
        if (protocol !== undefined && protocol !== "ip6")
          throw filterError(at, `an IPv6 address behind "${protocolName(protocol)}"`, 'write "ip6 host" or "host"');
        return matches.ipv6Host(value.address, value.prefixBits ?? 128, direction);
      case "ipv4 network":
        if (kind !== "net") throw filterError(at, `"${value.text}" is a network`, `did you mean "net ${value.text}"?`);
        return this.ipv4(matches, qualifier, value.address, value.mask, at);
      case "ipv4":
        return this.ipv4(matches, qualifier, value.address, ((0xffffffff << (32 - value.bits)) >>> 0) as number, at);
      case "number": {
        const { address, mask } = numberAsAddress(value.value, kind === "net");
        return this.ipv4(matches, qualifier, address, mask, at);
      }
    }
  }

  private ipv4(matches: Matches, qualifier: Qualifier, address: number, mask: number, at: number): Condition {
    const { protocol, direction } = qualifier;
    if (protocol === "ip" || protocol === "arp" || protocol === "rarp")
      return matches.ipv4Host(protocol, address, mask, direction);
    if (protocol !== undefined)
      throw filterError(
        at,
        `an IPv4 address behind "${protocolName(protocol)}"`,
        'write "ip host", "arp host" or "host"',
      );
    const ip = matches.ipv4Host("ip", address, mask, direction);
    if (this.layout.insideMpls) return ip;
    const arp = matches.ipv4Host("arp", address, mask, direction);
    return either(either(ip, arp), matches.ipv4Host("rarp", address, mask, direction));
  }

  private protoNumber(protocol: Protocol | undefined, value: FilterValue, at: number): Condition {
    const matches = new Matches(this.values, this.layout, at);
    const number = protocolNumberOf(value, protocol, at);
    switch (protocol) {
      case undefined:
        return matches.ipProtocol(number);
      case "link":
        return this.layout.type(number, at);
      case "ip":
        return matches.ipv4Protocol(number);
      case "ip6":
        return matches.ipv6Protocol(number);
      case "iso":
        return this.osi(number, at);
      case "isis":
        return this.isisPdu(number, at);
    }
    throw filterError(
      at,
      `"${protocolName(protocol)}" carries no protocol number`,
      'write "ip proto" or "ether proto"',
    );
  }

  private relation({ relation, left, right }: Expression<"relation">): Condition {
    const [first, second] = [this.term(left), this.term(right)];
    const test =
      relation === "=" || relation === "!=" ? "equal" : relation === ">" || relation === "<=" ? "greater" : undefined;
    const compared: Condition = {
      kind: "test",
      left: first.value,
      test: test ?? "greaterOrEqual",
      right: second.value,
    };
    const negated: readonly Relation[] = ["!=", "<=", "<"];
    const condition = negated.includes(relation) ? not(compared) : compared;
    const requires = second.requires ? both(first.requires, second.requires) : first.requires;
    return both(requires, condition);
  }

  private term(term: FilterTerm): Computed {
    const { values } = this;
    switch (term.kind) {
      case "number":
        return { value: values.constant(term.value) };
      case "frame length":
        return { value: values.frameLength() };
      case "negate": {
        const operand = this.term(term.operand);
        return { ...operand, value: values.negate(operand.value) };
      }
      case "load":
        return this.load(term);
      case "arithmetic": {
        const [left, right] = [this.term(term.left), this.term(term.right)];
        this.checkOperand(term.operator, right.value, term.right.at);
        // tcpdump drops what the right operand requires: in `ip[0] + tcp[0] = 1` only `ip` is tested.
        return { ...left, value: values.arithmetic(term.operator, left.value, right.value) };
      }
    }
  }

  private checkOperand(operator: string, right: Value, at: number): void {
    const constant = this.values.simplified(right);
    if (constant.kind !== "constant") return;
    if ((operator === "/" || operator === "%") && constant.value === 0) throw filterError(at, "division by zero");
    if ((operator === "<<" || operator === ">>") && constant.value > 31)
      throw filterError(at, `a shift by ${constant.value} bits`, "values have 32");
  }

  private load({ protocol, offset, size, at }: Extract<FilterTerm, { kind: "load" }>): Computed {
    const { values, layout } = this;
    const index = this.term(offset);
    if (protocol === "link") return { ...index, value: layout.header(0, size, index.value) };
    if (networkHeaders.includes(protocol)) {
      const requires = both(index.requires, this.protocol(protocol, at));
      return { value: layout.network(0, size, index.value), requires };
    }
    if (behindIpv4.includes(protocol)) {
      const first = both(this.protocol(protocol, at), new Matches(values, layout, at).firstFragment());
      const requires = both(layout.type(etherType.ip, at), both(index.requires, first));
      return { value: layout.network(0, size, values.arithmetic("+", index.value, layout.ipHeaderLength())), requires };
    }
    if (protocol === "icmp6") {
      const next = compare(values, layout.network(6, 1), "equal", 58);
      const requires = both(both(index.requires, layout.type(etherType.ip6, at)), next);
      return { value: layout.network(40, size, index.value), requires };
    }
    throw filterError(at, `bytes of "${protocol}" cannot be addressed`, 'use "ether[...]", "ip[...]" or "ip6[...]"');
  }

  private broadcast({ protocol, at }: Expression<"broadcast">): Condition {
    const { values, layout } = this;
    if (protocol === undefined || protocol === "link") {
      this.requireEthernet(at);
      return new Matches(values, layout, at).ethernetHost(new Uint8Array(6).fill(0xff), "dst");
    }
    if (protocol !== "ip") throw filterError(at, `"${protocolName(protocol)} broadcast"`, "only ether and ip have it");
    // A capture tells no netmask: all bits of the address count as host bits.
    const destination = layout.network(16, 4);
    const all = either(compare(values, destination, "equal", 0), compare(values, destination, "equal", 0xffffffff));
    return both(layout.type(etherType.ip, at), all);
  }

  private multicast({ protocol, at }: Expression<"multicast">): Condition {
    const { values, layout } = this;
    if (protocol === undefined || protocol === "link") {
      this.requireEthernet(at);
      return compare(values, layout.header(0, 1), "anyBit", 1);
    }
    if (protocol === "ip")
      return both(layout.type(etherType.ip, at), compare(values, layout.network(16, 1), "greaterOrEqual", 224));
    if (protocol === "ip6")
      return both(layout.type(etherType.ip6, at), compare(values, layout.network(24, 1), "equal", 255));
    throw filterError(at, `"${protocolName(protocol)} multicast"`, "only ether, ip and ip6 have it");
  }

  private byte({ offset, relation, value }: Expression<"byte">): Condition {
    const byte = this.layout.header(offset, 1);
    if (relation === "=") return compare(this.values, byte, "equal", value);
    if (relation === ">") return compare(this.values, byte, "greater", value);
    return not(compare(this.values, byte, "greaterOrEqual", value));
  }

  private llc({ type, at }: Expression<"llc">): Condition {
    this.requireEthernet(at);
    const any = this.layout.anyLlc();
    if (type === undefined) return any;
    const { mask, value } = llcTypes.get(type)!;
    return both(any, masked(this.values, this.layout.llc(2, 1), mask, value));
  }

  private requireEthernet(at: number): void {
    if (!this.layout.hasEthernetHeader)
      throw filterError(at, 'Ethernet addresses cannot be tested after "pppoes"', 'test them before "pppoes"');
  }
}
