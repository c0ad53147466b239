// Shortens the ways through a decision graph. What it does is visible: where a test is moved before a load that would have
// rejected a short frame, the frame is selected. tcpdump's optimiser does that, so these are its moves (the predicate
// movement of Begel, McCanne and Graham, "BPF+", SIGCOMM 1999, section 6.1), in its order:
//  1. a way that leads to a test whose outcome is known on it leads past that test;
//  2. of tests in a row that lead to the same place, those of the value that was tested just before come first.
import { type GraphNode, postorder, type TestNode, type Way } from "./condition.js";
import type { Value } from "./values.js";

/** Graphs beyond this are left alone: the sets below grow with its square. */
const maxNodes = 6000;
/** The moves may chase each other in a circle; tcpdump gives up after as many rounds. */
const maxRounds = 100;

const ways: readonly Way[] = ["whenTrue", "whenFalse"];

const indexOf = (way: Way) => (way === "whenTrue" ? 0 : 1);

/** A way out of a test. */
interface Exit {
  from: TestNode;
  way: Way;
}

/** Moves the branches of the graph in place. */
export function moveBranches(root: GraphNode): void {
  if (root.kind === "return" || postorder(root).length > maxNodes) return;
  for (let round = 0; round < maxRounds && new Round(root).run(); round++);
}

/** One round over a graph whose tests it numbers; each number is a bit of the sets, each way has two numbers of its own. */
class Round {
  private changed = false;
  private readonly numbers = new Map<TestNode, number>();
  /** Tests by their longest distance to a return, the farthest last. */
  private readonly levels: TestNode[][] = [];
  /** For each test, the tests that every way from the root to it passes. */
  private readonly dominators: BitSet[];
  /** For each way, the ways (test number * 2, + 1 for false) that every way from the root through it passes. */
  private readonly dominatingWays: BitSet[];
  private readonly nodes: TestNode[] = [];
  private readonly numbersByValue = new Map<Value, number[]>();
  /** The ways into each node that a frame can take, from the first row that is found on kept up to date while tests move. */
  private liveWays: Map<GraphNode, Exit[]> | undefined;
  /** Tests that moved in this round: what led to them is not what leads to them now. */
  private readonly moved = new Set<TestNode>();

  constructor(private readonly root: TestNode) {
    this.findLevels();
    this.dominators = newSets(this.nodes.length, this.nodes.length);
    this.dominatingWays = newSets(this.nodes.length * 2, this.nodes.length * 2);
    this.findDominators();
  }

  /** Whether anything moved. */
  run(): boolean {
    for (const level of this.levels) for (const node of level) for (const way of ways) this.shorten(node, way);
    const incoming = incomingOf(this.levels.toReversed().flat());
    for (const level of this.levels)
      for (const node of level) for (const way of ways) this.pullUp(node, way, incoming.get(node) ?? []);
    return this.changed;
  }

  private findLevels(): void {
    const heights = new Map<GraphNode, number>();
    for (const node of postorder(this.root)) {
      if (node.kind === "return") heights.set(node, 0);
      else {
        const height = Math.max(heights.get(node.whenTrue)!, heights.get(node.whenFalse)!) + 1;
        heights.set(node, height);
        this.levels[height - 1] ??= [];
        this.levels[height - 1]!.unshift(node);
        this.numbers.set(node, this.nodes.length);
        const alike = this.numbersByValue.get(node.left);
        if (alike) alike.push(this.nodes.length);
        else this.numbersByValue.set(node.left, [this.nodes.length]);
        this.nodes.push(node);
      }
    }
  }

  private findDominators(): void {
    const rootNumber = this.numbers.get(this.root)!;
    this.dominators[rootNumber]!.fill(0);
    for (const way of ways) this.dominatingWays[rootNumber * 2 + indexOf(way)]!.fill(0);
    for (const level of this.levels.toReversed())
      for (const node of level) {
        const number = this.numbers.get(node)!;
        insert(this.dominators[number]!, number);
        for (const way of ways) {
          const set = this.dominatingWays[number * 2 + indexOf(way)]!;
          insert(set, number * 2 + indexOf(way));
          const target = node[way];
          if (target.kind === "return") continue;
          const next = this.numbers.get(target)!;
          intersect(this.dominators[next]!, this.dominators[number]!);
          for (const each of ways) intersect(this.dominatingWays[next * 2 + indexOf(each)]!, set);
        }
      }
  }

  /** Leads a way past tests that do not matter or whose outcome a way before it has settled. */
  private shorten(node: TestNode, way: Way): void {
    const first = node[way];
    if (first.kind === "test" && first.whenTrue === first.whenFalse) this.lead(node, way, first.whenTrue);
    const settled = this.dominatingWays[this.numbers.get(node)! * 2 + indexOf(way)]!;
    for (;;) {
      const target = node[way];
      if (target.kind === "return") return;
      const outcome = this.settledOutcome(target, settled);
      if (!outcome) return;
      this.lead(node, way, target[outcome]);
    }
  }

  private settledOutcome(target: TestNode, settled: BitSet): Way | undefined {
    for (const number of this.numbersByValue.get(target.left)!) {
      const pair = (settled[number >> 4]! >>> ((number & 15) * 2)) & 3;
      if (pair === 0) continue;
      for (const way of ways) {
        const outcome = pair & (1 << indexOf(way)) ? outcomeAfter(this.nodes[number]!, way, target) : undefined;
        if (outcome) return outcome;
      }
    }
    return undefined;
  }

  private get live(): Map<GraphNode, Exit[]> {
    this.liveWays ??= incomingOf(postorder(this.root).toReversed());
    return this.liveWays;
  }

  private lead(node: TestNode, way: Way, target: GraphNode): void {
    node[way] = target;
    this.changed = true;
  }

  /**
   * For a row of tests that starts at `first` and whose `shared` ways all lead to one place: the first test of the value
   * that all tests before the row have looked at, behind tests of other values, moves before them. `incoming` are the ways
   * into `first`, also those of tests that this round has cut off: they hold a move back until the next round.
   */
  private pullUp(first: TestNode, shared: Way, incoming: readonly Exit[]): void {
    const value = incoming[0]?.from.left;
    if (!value || incoming.some(({ from }) => from.left !== value)) return;
    const onward: Way = shared === "whenTrue" ? "whenFalse" : "whenTrue";
    const inRow = (node: GraphNode): node is TestNode =>
      node.kind === "test" && node[shared] === first[shared] && this.dominates(first, node);

    let previous: TestNode | undefined;
    let other: GraphNode = first;
    for (; ; other = previous[onward]) {
      if (!inRow(other)) return;
      if (other.left !== value) break;
      previous = other;
    }
    const between: TestNode[] = [other];
    let pulled: GraphNode = other[onward];
    for (; ; pulled = pulled[onward]) {
      if (!inRow(pulled)) return;
      if (pulled.left === value) break;
      between.push(pulled);
    }
    // A copy: the list changes with the moves below.
    const entries = previous ? [{ from: previous, way: onward }] : [...(this.live.get(first) ?? [])];
    if (!this.isRow([...between, pulled], onward, entries, value)) return;
    this.redirect([{ from: between.at(-1)!, way: onward }], pulled[onward]);
    this.redirect([{ from: pulled, way: onward }], other);
    this.redirect(entries, pulled);
    this.moved.add(pulled);
  }

  /**
   * Whether a frame reaches these tests by `entries`, all of which have just looked at `value`, and one after the other; the
   * last may also be entered by ways on which the tests before it would only lead to it. The dominators above are those of
   * the round's beginning, so this has to be seen: a test that moves before a way into the row would be lost to that way.
   */
  private isRow(row: readonly TestNode[], onward: Way, entries: readonly Exit[], value: Value): boolean {
    const into = (node: TestNode): readonly Exit[] => this.live.get(node) ?? [];
    const [between, pulled] = [row.slice(0, -1), row.at(-1)!];
    // A row that no frame reaches any more has no ways into it.
    if (!into(pulled).some(({ from }) => from === between.at(-1)) || entries.length === 0) return false;
    if (into(row[0]!).length !== entries.length || entries.some(({ from }) => from.left !== value)) return false;
    if (between.slice(1).some((node) => into(node).length !== 1)) return false;
    return into(pulled).every(({ from, way }) => {
      if (from === between.at(-1)) return true;
      if (this.moved.has(from)) return false;
      const settled = this.dominatingWays[this.numbers.get(from)! * 2 + indexOf(way)]!;
      return between.every((node) => this.settledOutcome(node, settled) === onward);
    });
  }

  private redirect(exits: readonly Exit[], target: GraphNode): void {
    for (const { from, way } of exits) {
      const left = this.live.get(from[way])!;
      left.splice(
        left.findIndex((exit) => exit.from === from && exit.way === way),
        1,
      );
      const joined = this.live.get(target);
      if (joined) joined.push({ from, way });
      else this.live.set(target, [{ from, way }]);
      this.lead(from, way, target);
    }
  }

  private dominates(first: TestNode, node: TestNode): boolean {
    const number = this.numbers.get(first)!;
    return (this.dominators[this.numbers.get(node)!]![number >> 5]! & (1 << (number & 31))) !== 0;
  }
}

/** Which way `target` goes for a frame that left `before`, a test of the same value, by `way`; undefined if unknown. */
function outcomeAfter(before: TestNode, way: Way, target: TestNode): Way | undefined {
  const againstConstant = before.right.kind === "constant";
  if (before.test !== target.test || againstConstant !== (target.right.kind === "constant")) return undefined;
  if (before.right === target.right) return way;
  return way === "whenTrue" && before.test === "equal" && againstConstant ? "whenFalse" : undefined;
}

/** The ways into each test and return, those of later nodes first. */
function incomingOf(nodes: readonly GraphNode[]): Map<GraphNode, Exit[]> {
  const incoming = new Map<GraphNode, Exit[]>();
  for (const from of nodes) {
    if (from.kind === "return") continue;
    for (const way of ways) {
      const list = incoming.get(from[way]);
      if (list) list.unshift({ from, way });
      else incoming.set(from[way], [{ from, way }]);
    }
  }
  return incoming;
}

/** Words of 32 bits in plain arrays: most graphs are small, and typed arrays cost more to make than all that is done with them. */
type BitSet = number[];

function newSets(count: number, bits: number): BitSet[] {
  return Array.from({ length: count }, () => new Array<number>((bits + 31) >> 5).fill(-1));
}

function insert(set: BitSet, bit: number): void {
  set[bit >> 5]! |= 1 << (bit & 31);
}

function intersect(set: BitSet, other: BitSet): void {
  for (let word = 0; word < set.length; word++) set[word]! &= other[word]!;
}
