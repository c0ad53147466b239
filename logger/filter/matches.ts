// Conditions on addresses, ports and protocol numbers. The order of tests is part of their meaning: a load beyond the
// captured bytes rejects the frame at once, so a test that fails before it makes a difference under `not`.

import { anyOf, both, type Condition, compare, either, masked, not } from "./condition.js";
import type { Direction } from "./direction.js";
import type { FrameLayout } from "./frame-layout.js";
import type { Value, ValueTable } from "./values.js";
import { etherType } from "./words.js";

const ipv6FragmentHeader = 44;
const ipv6Extensions = [0, 60, 43, ipv6FragmentHeader];
/** Headers that `protochain` steps over. */
const chainSteps = 6;
const portTransports = { tcp: 6, udp: 17, sctp: 132 } as const;
export type PortTransport = keyof typeof portTransports;

/** Builds the conditions of one place in the text: `layout` is as the words before it have left it. */
export class Matches {
  constructor(
    private readonly values: ValueTable,
    private readonly layout: FrameLayout,
    /** Where in the text, for errors. */
    private readonly at: number,
  ) {}

  ipv4Host(
    protocol: "ip" | "arp" | "rarp",
    address: number,
    mask: number,
    direction: Direction | undefined,
  ): Condition {
    const [source, destination] = protocol === "ip" ? [12, 16] : [14, 24];
    return directed(direction, source, destination, (field) =>
      both(this.type(etherType[protocol]), masked(this.values, this.layout.network(field, 4), mask, address)),
    );
  }

  ipv6Host(address: Uint8Array, prefixBits: number, direction: Direction | undefined): Condition {
    const view = new DataView(address.buffer, address.byteOffset, 16);
    return directed(direction, 8, 24, (field) => {
      let condition = this.type(etherType.ip6);
      for (let word = 0; word < 4; word++) {
        const bits = Math.max(0, Math.min(32, prefixBits - word * 32));
        const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
        const value = this.layout.network(field + word * 4, 4);
        condition = both(condition, masked(this.values, value, mask, view.getUint32(word * 4)));
      }
      return condition;
    });
  }

  ethernetHost(address: Uint8Array, direction: Direction | undefined): Condition {
    const view = new DataView(address.buffer, address.byteOffset, 6);
    return directed(direction, 6, 0, (field) => {
      const low = compare(this.values, this.layout.header(field + 2, 4), "equal", view.getUint32(2));
      return both(low, compare(this.values, this.layout.header(field, 2), "equal", view.getUint16(0)));
    });
  }

  /** A port, or a range of them, of one transport or of TCP, UDP and SCTP; IPv6 only directly behind its header. */
  ports(
    wanted: number | readonly [number, number],
    transport: PortTransport | undefined,
    direction: Direction | undefined,
  ): Condition {
    const transports = transport ? [transport] : (["sctp", "tcp", "udp"] as const);
    const each = (build: (number: number) => Condition) => anyOf(transports.map((name) => build(portTransports[name])));
    const ipv6 = each((number) => {
      const isTransport = compare(this.values, this.layout.network(6, 1), "equal", number);
      const ports = directed(direction, 0, 2, (field) => this.isPort(this.layout.network(40 + field, 2), wanted));
      return both(isTransport, ports);
    });
    const ipv4 = each((number) => {
      const isTransport = compare(this.values, this.layout.network(9, 1), "equal", number);
      const ports = directed(direction, 0, 2, (field) => this.isPort(this.behindIpv4(field), wanted));
      return both(both(isTransport, this.firstFragment()), ports);
    });
    return either(both(this.type(etherType.ip6), ipv6), both(this.type(etherType.ip), ipv4));
  }

  ipv4Protocol(number: number): Condition {
    return both(this.type(etherType.ip), compare(this.values, this.layout.network(9, 1), "equal", number));
  }

  /** The next header, also behind a fragment header, but behind no other extension header. */
  ipv6Protocol(number: number): Condition {
    const next = this.layout.network(6, 1);
    const fragmented = both(
      compare(this.values, next, "equal", ipv6FragmentHeader),
      compare(this.values, this.layout.network(40, 1), "equal", number),
    );
    return both(this.type(etherType.ip6), either(compare(this.values, next, "equal", number), fragmented));
  }

  ipProtocol(number: number): Condition {
    return either(this.ipv4Protocol(number), this.ipv6Protocol(number));
  }

  /**
   * The protocol, or one behind headers that follow the IP header: hop-by-hop options, routing, fragment, destination options (IPv6) and
   * authentication. A program without loops has the steps written out: as far as `chainSteps`, behind an authentication header one more.
   */
  protocolChain(protocol: "ip" | "ip6" | undefined, number: number): Condition {
    const { layout, values } = this;
    const ipv4 = () =>
      both(
        this.type(etherType.ip),
        this.chainFrom(layout.network(9, 1), layout.ipHeaderLength(), number, false, chainSteps),
      );
    const ipv6 = () =>
      both(
        this.type(etherType.ip6),
        this.chainFrom(layout.network(6, 1), values.constant(40), number, true, chainSteps),
      );
    if (protocol === "ip") return ipv4();
    return protocol === "ip6" ? ipv6() : either(ipv4(), ipv6());
  }

  /** `next` is a header's number, which begins `at` bytes into the packet. Both bytes of a header are loaded before it is judged. */
  private chainFrom(next: Value, at: Value, number: number, isIpv6: boolean, steps: number): Condition {
    const { layout, values } = this;
    const found = compare(values, next, "equal", number);
    if (steps === 0) return found;
    const [following, length] = [layout.network(0, 1, at), layout.network(1, 1, at)];
    const step = (extra: number, unit: number, left: number): Condition => {
      const units = values.arithmetic("+", length, values.constant(extra));
      const behind = values.arithmetic("+", values.arithmetic("*", units, values.constant(unit)), at);
      const loaded = compare(values, length, "greaterOrEqual", 0);
      return both(loaded, this.chainFrom(following, behind, number, isIpv6, left));
    };
    const authenticated = both(compare(values, next, "equal", 51), step(2, 4, Math.min(1, steps - 1)));
    if (!isIpv6) return either(found, authenticated);
    const isExtension = anyOf(ipv6Extensions.map((each) => compare(values, next, "equal", each)));
    return either(found, either(both(isExtension, step(1, 8, steps - 1)), authenticated));
  }

  /** Not a fragment of an IPv4 datagram other than the first. */
  firstFragment(): Condition {
    return masked(this.values, this.layout.network(6, 2), 0x1fff, 0);
  }

  private type(type: number): Condition {
    return this.layout.type(type, this.at);
  }

  private behindIpv4(field: number): Value {
    return this.layout.network(field, 2, this.layout.ipHeaderLength());
  }

  private isPort(port: Value, wanted: number | readonly [number, number]): Condition {
    if (typeof wanted === "number") return compare(this.values, port, "equal", wanted);
    const above = compare(this.values, port, "greaterOrEqual", Math.min(...wanted));
    return both(above, not(compare(this.values, port, "greater", Math.max(...wanted))));
  }
}

/** One field, either or both, as the direction says; neither word means either field. */
function directed(
  direction: Direction | undefined,
  source: number,
  destination: number,
  build: (field: number) => Condition,
): Condition {
  if (direction === "src") return build(source);
  if (direction === "dst") return build(destination);
  const join = direction === "src and dst" ? both : either;
  return join(build(source), build(destination));
}
