// The filter language's front door: text to a BPF program that the C++ side verifies and runs.
//
// What is taken selects what tcpdump selects (libpcap 1.10, capture file of Ethernet), to the last short frame. Known exceptions:
//  - taken here, an error there: `net 10/8`, parentheses around the first of several values, a divisor that begins with the
//    offset 0 (`ip[2] / tcp[0]`);
//  - an error here, taken there: host and network names, `byte N & M` and `byte N | M` (there they test
//    whatever was loaded before), `geneve`, and the words of other link layers;
//  - `protochain` steps over six headers at most, where tcpdump's loop goes on; and behind an authentication header it goes on where that
//    ends, while tcpdump forgets what came before it;
//  - decided right here: `x & 0xffffffff = 0`, which tcpdump takes for never true, and long rows of alternatives (about one random
//    filter in 3000) of which tcpdump's optimiser loses one, as in `not arp host 1.0.0.1 and 1.0.0.2 or arp host (1.0.0.2 or
//    1.0.0.3)`; `tcpdump -O` agrees with this one then.
// A filter that can select nothing (`ip and arp`) is an error in tcpdump and selects nothing here.
import { PasteError } from "../errors.js";
import { assemble } from "./assembler.js";
import { moveBranches } from "./branches.js";
import { toGraph } from "./condition.js";
import type { FrameTest } from "./frame-test.js";
import { generate } from "./generator.js";
import { encodePlan } from "./index-expression.js";
import { type BpfInstruction, encodeProgram } from "./instruction.js";
import { parseFilter } from "./parser.js";
import { type FilterPlan, planFilter } from "./plan.js";
import { checkAccess, type RecordNeed, RecordTests, recordNeeds } from "./record-needs.js";
import type { NameTest, RecordAccess } from "./record-words.js";
import { type TimeRange, timeRange } from "./time-range.js";
import { ValueTable } from "./values.js";

/** What a selected frame's program returns unless told otherwise: more than any frame has. */
export const defaultSnaplen = 262144;

export interface CompiledFilter {
  /** The filter as given. */
  readonly text: string;
  /** At most 4096 instructions, every jump forward, a return at the end. */
  readonly program: readonly BpfInstruction[];
  /** The same as `struct bpf_insn`s, little endian. */
  readonly bytes: Uint8Array;
  /** What the record words of the program from `recordWord.names` on stand for. */
  readonly names: readonly NameTest[];
  /** And those behind them. */
  readonly tests: readonly FrameTest[];
  /** Nothing outside of it is selected; the reader need not look there. */
  readonly range: TimeRange;
  /** What a store's index is asked: nodes of native/core/index/expression.h. Absent: nothing that an index could tell. */
  readonly plan?: Uint8Array;
  /** The same as a tree, and what each condition of the text gave to it: for `explainPlan`. */
  readonly planned: FilterPlan;
  /** Words that ask for more than the frame's bytes. Without one, the program runs anywhere. */
  readonly needs: readonly RecordNeed[];
}

export interface CompileOptions {
  /** What the program returns for a selected frame, 1 to 2^32 - 1. */
  snaplen?: number;
  /** What there is beside a frame's bytes where the filter will run; default "none": words about records are an error. */
  record?: RecordAccess;
  /** What `now`, `15m ago` and `today` count from: nanoseconds since 1970; default the clock. */
  nowNs?: bigint;
}

/**
 * Compiles a filter in the language of pcap-filter(7) for Ethernet frames; it selects the frames that tcpdump would select from
 * a capture file. Words about records (FILTER.md) may stand among its conditions where there are records. Empty text selects
 * every frame. Throws a PasteError with code FILTER that names the column and a way out.
 */
export function compileFilter(text: string, options: CompileOptions = {}): CompiledFilter {
  const snaplen = options.snaplen ?? defaultSnaplen;
  if (!Number.isInteger(snaplen) || snaplen < 1 || snaplen > 0xffffffff)
    throw new PasteError("USAGE", `snaplen must be an integer from 1 to 4294967295, it is ${snaplen}`);
  const values = new ValueTable();
  const expression = parseFilter(text, options.nowNs);
  const needs = recordNeeds(expression);
  checkAccess(needs, options.record ?? "none");
  const tests = new RecordTests(expression);
  const graph = toGraph(generate(expression, values, tests));
  moveBranches(graph);
  const program = assemble(graph, values, snaplen);
  const planned = planFilter(expression, tests);
  const plan = encodePlan(planned.plan);
  return {
    text,
    program,
    bytes: encodeProgram(program),
    names: tests.names,
    tests: tests.frames,
    range: timeRange(expression),
    ...(plan && { plan }),
    planned,
    needs,
  };
}
