// Tests joined by and, or and not, and the decision graph that they become: every node tests one value and has two ways out.
import type { JumpTest } from "./instruction.js";
import type { Value, ValueTable } from "./values.js";

export type Condition =
  | { kind: "test"; left: Value; test: JumpTest; right: Value }
  | { kind: "and" | "or"; left: Condition; right: Condition }
  | { kind: "not"; operand: Condition };

export interface TestNode {
  kind: "test";
  left: Value;
  test: JumpTest;
  right: Value;
  whenTrue: GraphNode;
  whenFalse: GraphNode;
}
export interface ReturnNode {
  kind: "return";
  accept: boolean;
}
export type GraphNode = TestNode | ReturnNode;
export type Way = "whenTrue" | "whenFalse";

export function both(left: Condition | undefined, right: Condition): Condition {
  return left ? { kind: "and", left, right } : right;
}

export function either(left: Condition, right: Condition): Condition {
  return { kind: "or", left, right };
}

export function anyOf(conditions: readonly Condition[]): Condition {
  return conditions.reduce(either);
}

export function not(operand: Condition): Condition {
  return { kind: "not", operand };
}

export function compare(values: ValueTable, left: Value, test: JumpTest, right: number): Condition {
  return { kind: "test", left, test, right: values.constant(right) };
}

/** `(left & mask) = right`; against 0 it is one test of bits, so the unmasked value stays at hand for the next test. */
export function masked(values: ValueTable, left: Value, mask: number, right: number): Condition {
  if (mask >>> 0 === 0xffffffff) return compare(values, left, "equal", right);
  const rest = values.arithmetic("&", left, values.constant(mask));
  if (right !== 0) return compare(values, rest, "equal", right);
  return not(compare(values, mask === 0 ? rest : left, "anyBit", mask));
}

/** The graph of a condition. Chains of and/or go by iteration; recursion is as deep as the filter's parentheses. */
export function toGraph(condition: Condition): GraphNode {
  return lower(condition, { kind: "return", accept: true }, { kind: "return", accept: false });
}

function lower(condition: Condition, whenTrue: GraphNode, whenFalse: GraphNode): GraphNode {
  let [rest, yes, no] = [condition, whenTrue, whenFalse];
  for (;;) {
    if (rest.kind === "test") return testNode(rest, yes, no);
    if (rest.kind === "not") [rest, yes, no] = [rest.operand, no, yes];
    else if (rest.kind === "and") [rest, yes] = [rest.left, lower(rest.right, yes, no)];
    else [rest, no] = [rest.left, lower(rest.right, yes, no)];
  }
}

function testNode(
  condition: Extract<Condition, { kind: "test" }>,
  whenTrue: GraphNode,
  whenFalse: GraphNode,
): GraphNode {
  const { left, test, right } = condition;
  const outcome = knownOutcome(left, test, right);
  // Both ways lead to the known one: like tcpdump, `moveBranches` sees the test before it goes.
  const known = outcome ? whenTrue : whenFalse;
  if (outcome !== undefined) return { kind: "test", left, test, right, whenTrue: known, whenFalse: known };
  return { kind: "test", left, test, right, whenTrue, whenFalse };
}

/** The outcome of a test that does not depend on the frame. */
export function knownOutcome(left: Value, test: JumpTest, right: Value): boolean | undefined {
  if (right.kind !== "constant") return undefined;
  if (test === "anyBit" && right.value === 0) return false;
  if (left.kind !== "constant") return undefined;
  if (test === "equal") return left.value === right.value;
  if (test === "greater") return left.value > right.value;
  if (test === "greaterOrEqual") return left.value >= right.value;
  return (left.value & right.value) !== 0;
}

/** Every node once, a node after all nodes that it leads to. Iterative: a graph may be thousands of nodes deep. */
export function postorder(root: GraphNode): GraphNode[] {
  const order: GraphNode[] = [];
  const seen = new Set<GraphNode>();
  const stack: GraphNode[] = [];
  const visit = (node: GraphNode) => {
    if (seen.has(node)) return false;
    seen.add(node);
    stack.push(node);
    return true;
  };
  visit(root);
  while (stack.length > 0) {
    const node = stack.at(-1)!;
    if (node.kind === "test" && (visit(node.whenTrue) || visit(node.whenFalse))) continue;
    order.push(node);
    stack.pop();
  }
  return order;
}
