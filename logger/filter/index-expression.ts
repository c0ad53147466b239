// What an index is asked (native/core/index/expression.h): a tree whose answer has every record that matches, and perhaps more.
import { addressText } from "./any-test.js";

/** Fields of an index: number, bytes of a value, and what a plan calls it. */
export const indexFields = {
  macSource: [1, 6, "source MAC"],
  macDestination: [2, 6, "destination MAC"],
  vlan: [3, 2, "VLAN"],
  etherType: [4, 2, "EtherType"],
  ipSource: [5, 16, "source address"],
  ipDestination: [6, 16, "destination address"],
  protocol: [7, 1, "IP protocol"],
  portSource: [8, 2, "source port"],
  portDestination: [9, 2, "destination port"],
  icmpType: [10, 2, "ICMP type"],
  community: [11, 8, "Community ID"],
  ingress: [12, 4, "in-port"],
  egress: [13, 4, "out-port"],
  rule: [14, 4, "rule"],
  outcome: [15, 1, "outcome"],
  firstFragmentPort: [16, 2, "port of a first fragment"],
  unresolvedFragment: [17, 1, "later fragment"],
} as const;
export type IndexField = keyof typeof indexFields;

export type IndexExpression =
  | { op: "all" | "none" }
  /** `tunnels`: an index that was made without looking into tunnels cannot tell. */
  | { op: "range"; field: IndexField; low: bigint; high: bigint; tunnels: boolean }
  /** `test`: number of the filter's name test. */
  | { op: "name"; field: "ingress" | "egress" | "rule"; test: number; pattern: string }
  | { op: "and" | "or"; parts: readonly IndexExpression[] };

export const all: IndexExpression = { op: "all" };
export const none: IndexExpression = { op: "none" };

/** As the C++ side has them. */
const opNumbers = { all: 0, none: 1, range: 2, and: 3, or: 4, name: 5 } as const;
const nodeBytes = 40;
const maxNodes = 4096;
const needsTunnels = 0x80;

export function range(field: IndexField, low: bigint | number, high = low, tunnels = false): IndexExpression {
  return { op: "range", field, low: BigInt(low), high: BigInt(high), tunnels };
}

export function allOf(...parts: readonly IndexExpression[]): IndexExpression {
  const left = flat("and", parts).filter(({ op }) => op !== "all");
  return left.some(({ op }) => op === "none") ? none : joined("and", left, all);
}

export function anyOf(...parts: readonly IndexExpression[]): IndexExpression {
  const left = flat("or", parts).filter(({ op }) => op !== "none");
  return left.some(({ op }) => op === "all") ? all : joined("or", left, none);
}

function flat(op: "and" | "or", parts: readonly IndexExpression[]): IndexExpression[] {
  return parts.flatMap((part) => (part.op === op ? part.parts : [part]));
}

function joined(op: "and" | "or", parts: readonly IndexExpression[], empty: IndexExpression): IndexExpression {
  const different = new Map(parts.map((part) => [keyOf(part), part]));
  const [first = empty] = different.values();
  return different.size <= 1 ? first : { op, parts: [...different.values()] };
}

/** Equal keys are equal expressions; joins are not told apart by what they join. */
function keyOf(part: IndexExpression): unknown {
  if (part.op === "range") return `${part.field} ${part.low} ${part.high} ${part.tunnels}`;
  return part.op === "name" ? `name ${part.test}` : part;
}

/** The nodes in postfix order, 40 bytes each. Undefined: everything would have to be looked at, or there are too many nodes. */
export function encodePlan(plan: IndexExpression): Uint8Array | undefined {
  if (plan.op === "all") return undefined;
  const nodes: Buffer[] = [];
  encode(plan, nodes);
  return nodes.length > maxNodes ? undefined : new Uint8Array(Buffer.concat(nodes));
}

function encode(plan: IndexExpression, nodes: Buffer[]): void {
  const node = Buffer.alloc(nodeBytes);
  node[0] = opNumbers[plan.op];
  if (plan.op === "and" || plan.op === "or") {
    for (const part of plan.parts) encode(part, nodes);
    node.writeUInt32LE(plan.parts.length, 4);
  } else if (plan.op === "range") {
    node[1] = indexFields[plan.field][0] | (plan.tunnels ? needsTunnels : 0);
    for (const [at, value] of [
      [8, plan.low],
      [24, plan.high],
    ] as const) {
      node.writeBigUInt64BE(value >> 64n, at);
      node.writeBigUInt64BE(BigInt.asUintN(64, value), at + 8);
    }
  } else if (plan.op === "name") {
    node[1] = indexFields[plan.field][0];
    node.writeUInt32LE(plan.test, 4);
  }
  nodes.push(node);
}

function bytesOf(value: bigint, size: number): Buffer {
  return Buffer.from(value.toString(16).padStart(size * 2, "0"), "hex");
}

/** In words: `source address 10.0.0.0/8 and (source port 80 or destination port 80)`. */
export function planText(plan: IndexExpression): string {
  switch (plan.op) {
    case "all":
      return "everything";
    case "none":
      return "nothing";
    case "name":
      return `${plan.field === "rule" ? "rule" : indexFields[plan.field][2]} "${plan.pattern}"`;
    case "range":
      if (plan.field === "unresolvedFragment") return "later fragment of unknown ports";
      if (plan.field === "egress") return "flooded";
      return `${indexFields[plan.field][2]} ${rangeText(plan)}`;
    default:
      return plan.parts
        .map((part) => (part.op === "and" || part.op === "or" ? `(${planText(part)})` : planText(part)))
        .join(` ${plan.op} `);
  }
}

function rangeText({ field, low, high }: Extract<IndexExpression, { op: "range" }>): string {
  if (field === "ipSource" || field === "ipDestination") return networkText(low, high);
  if (low !== high) return `${valueText(field, low)} to ${valueText(field, high)}`;
  return valueText(field, low);
}

function valueText(field: IndexField, value: bigint): string {
  const bytes = bytesOf(value, indexFields[field][1]);
  switch (field) {
    case "macSource":
    case "macDestination":
      return bytes.toString("hex").replaceAll(/..(?!$)/g, "$&:");
    case "etherType":
    case "community":
      return `0x${bytes.toString("hex")}`;
    case "icmpType":
      return `${bytes[1]} of IPv${bytes[0]}`;
    default:
      return `${value}`;
  }
}

/** The range of addresses that begin with the same bits. */
function networkText(low: bigint, high: bigint): string {
  const bytes = bytesOf(low, 16);
  const isIpv4 = low >> 32n === 0xffffn && high >> 32n === 0xffffn;
  const text = addressText(isIpv4 ? bytes.subarray(12) : bytes);
  if (low === high) return text;
  return `${text}/${(isIpv4 ? 32 : 128) - (low ^ high).toString(2).length}`;
}
