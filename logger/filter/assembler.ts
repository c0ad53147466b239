// A decision graph to BPF instructions: what a way through the graph has loaded is not loaded again, equal nodes are emitted
// once, and jumps that do not fit into eight bits go by `ja`.

import { PasteError } from "../errors.js";
import { type GraphNode, knownOutcome, postorder, type TestNode } from "./condition.js";
import { type BpfInstruction, type JumpTest, jumpCode, maxInstructions, op } from "./instruction.js";
import { type MachineState, ValueEmitter } from "./value-emitter.js";
import type { Value, ValueTable } from "./values.js";

/** A test with its instructions and the two targets, before addresses are known. */
interface Block {
  code: BpfInstruction[];
  jump?: { code: number; k: number; whenTrue: GraphNode; whenFalse: GraphNode };
  at: number;
  far: { whenTrue: boolean; whenFalse: boolean };
}

/** The program of a graph; it returns `snaplen` for a selected frame and 0 for another. */
export function assemble(root: GraphNode, values: ValueTable, snaplen: number): BpfInstruction[] {
  const final = withoutIdleRoot(finalGraph(root, values));
  const order = postorder(final).toReversed();
  // Returns go last, in one order, so that every program ends in one.
  const tests = order.filter((node) => node.kind === "test");
  const returns = order
    .filter((node) => node.kind === "return")
    .toSorted((a, b) => Number(b.accept) - Number(a.accept));
  const blocks = new Map<GraphNode, Block>();
  const states = new Map<GraphNode, MachineState>();
  for (const node of tests) blocks.set(node, testBlock(node, states));
  for (const node of returns)
    blocks.set(node, block([{ code: op.returnConstant, jt: 0, jf: 0, k: node.accept ? snaplen : 0 }]));
  place(blocks);
  return link(blocks);
}

function block(code: BpfInstruction[], jump?: Block["jump"]): Block {
  return { code, ...(jump && { jump }), at: 0, far: { whenTrue: false, whenFalse: false } };
}

/** The graph with constants computed, tests of known outcome taken out, and equal tests made one. */
function finalGraph(root: GraphNode, values: ValueTable): GraphNode {
  const finals = new Map<GraphNode, GraphNode>();
  const known = new Map<string, TestNode>();
  const numbers = new Map<GraphNode, number>();
  for (const node of postorder(root)) {
    let final: GraphNode = node;
    if (node.kind === "test") {
      const [whenTrue, whenFalse] = [finals.get(node.whenTrue)!, finals.get(node.whenFalse)!];
      const rebuilt = simplifiedTest({ ...node, whenTrue, whenFalse }, values);
      if (rebuilt.kind === "test") {
        const { left, test, right } = rebuilt;
        const key = `${left.id} ${test} ${right.id} ${numbers.get(rebuilt.whenTrue)} ${numbers.get(rebuilt.whenFalse)}`;
        final = known.get(key) ?? rebuilt;
        known.set(key, final as TestNode);
      } else final = rebuilt;
    }
    finals.set(node, final);
    if (!numbers.has(final)) numbers.set(final, numbers.size);
  }
  return finals.get(root)!;
}

/**
 * As in tcpdump: when the first test does not matter, neither do those behind it that do not, and they go with their loads. Its
 * own load stays, because it may reject; unless nothing is tested at all.
 */
function withoutIdleRoot(root: GraphNode): GraphNode {
  let end = root;
  while (end.kind === "test" && end.whenTrue === end.whenFalse) end = end.whenTrue;
  if (root.kind === "return" || end === root || end.kind === "return") return end;
  return { ...root, whenTrue: end, whenFalse: end };
}

function simplifiedTest(node: TestNode, values: ValueTable): GraphNode {
  let [left, right] = [values.simplified(node.left), values.simplified(node.right)];
  let { test, whenTrue, whenFalse } = node;
  if (left.kind === "constant" && right.kind !== "constant") {
    [left, right] = [right, left];
    // c > x is not x >= c, and c >= x is not x > c.
    if (test !== "equal" && test !== "anyBit") {
      test = test === "greater" ? "greaterOrEqual" : "greater";
      [whenTrue, whenFalse] = [whenFalse, whenTrue];
    }
  }
  const outcome = knownOutcome(left, test, right);
  if (outcome !== undefined) return outcome ? whenTrue : whenFalse;
  const isZero = right.kind === "constant" && right.value === 0;
  if (
    test === "equal" &&
    isZero &&
    left.kind === "arithmetic" &&
    left.operator === "&" &&
    left.right.kind === "constant"
  )
    return {
      kind: "test",
      left: left.left,
      test: "anyBit",
      right: left.right,
      whenTrue: whenFalse,
      whenFalse: whenTrue,
    };
  return { kind: "test", left, test, right, whenTrue, whenFalse };
}

function testBlock(node: TestNode, states: Map<GraphNode, MachineState>): Block {
  const emitter = new ValueEmitter(states.get(node) ?? {});
  const { left, test, right, whenTrue, whenFalse } = node;
  let code: number = op.jumpConstant | jumpCode[test satisfies JumpTest];
  let k = 0;
  if (right.kind === "constant") {
    emitter.loadA(left);
    k = right.value;
  } else {
    emitter.loadBoth(left, right);
    code = op.jumpX | jumpCode[test];
  }
  for (const target of [whenTrue, whenFalse]) states.set(target, meet(states.get(target), emitter.state));
  return block(emitter.code, { code, k, whenTrue, whenFalse });
}

/** What is certain where two ways meet. */
function meet(known: MachineState | undefined, incoming: MachineState): MachineState {
  if (!known) return { ...incoming };
  const same = (a: Value | undefined, b: Value | undefined) => (a === b ? a : undefined);
  return { a: same(known.a, incoming.a), x: same(known.x, incoming.x) };
}

/** Gives every block its address; a jump found too far takes an instruction of its own, until nothing changes. */
function place(blocks: ReadonlyMap<GraphNode, Block>): void {
  for (let changed = true; changed; ) {
    changed = false;
    let at = 0;
    for (const each of blocks.values()) {
      each.at = at;
      at += each.code.length + (each.jump ? 1 + Number(each.far.whenTrue) + Number(each.far.whenFalse) : 0);
    }
    if (at > maxInstructions)
      throw new PasteError(
        "FILTER",
        `filter: too long: it needs ${at} instructions, the limit is ${maxInstructions}: split it into several rules`,
      );
    for (const each of blocks.values())
      for (const way of ["whenTrue", "whenFalse"] as const) {
        if (!each.jump || each.far[way]) continue;
        if (blocks.get(each.jump[way])!.at - (each.at + each.code.length + 1) <= 255) continue;
        each.far[way] = true;
        changed = true;
      }
  }
}

function link(blocks: ReadonlyMap<GraphNode, Block>): BpfInstruction[] {
  const program: BpfInstruction[] = [];
  for (const { code, jump, far } of blocks.values()) {
    program.push(...code);
    if (!jump) continue;
    const [yes, no] = [blocks.get(jump.whenTrue)!.at, blocks.get(jump.whenFalse)!.at];
    const next = program.length + 1;
    const jt = far.whenTrue ? 0 : yes - next;
    const jf = far.whenFalse ? Number(far.whenTrue) : no - next;
    program.push({ code: jump.code, jt, jf, k: jump.k });
    if (far.whenTrue) program.push({ code: op.jumpAlways, jt: 0, jf: 0, k: yes - program.length - 1 });
    if (far.whenFalse) program.push({ code: op.jumpAlways, jt: 0, jf: 0, k: no - program.length - 1 });
  }
  return program;
}
