// What a filter says, before anything is known of BPF. Every node carries `at`, the place of its first character, so that a
// later stage can still point at it. Words that test more than the frame's bytes (time, port, rule, outcome) are nodes beside
// the others; `record-words.ts` says where they may be used.

import type { Direction } from "./direction.js";
import type { FrameTest } from "./frame-test.js";
import type { AluOperator, LoadSize } from "./instruction.js";
import type { NameTest } from "./record-words.js";
import type { Protocol } from "./words.js";

export type Kind = "host" | "net" | "port" | "portrange" | "proto" | "protochain";

/** The words before a value: `tcp src port` 80. What was not written is absent. */
export interface Qualifier {
  protocol?: Protocol;
  direction?: Direction;
  kind?: Kind;
  /** Of any layer of the frame, in tunnels too. */
  any?: true;
}

/** A bare value; a name is not yet looked up, because what it may name depends on the qualifier. */
export type FilterValue =
  | { form: "number"; value: number }
  | { form: "name"; name: string }
  /** `address` is left-justified; `bits` is how many of its bits were written: 10.1 has 16. */
  | { form: "ipv4"; address: number; bits: number }
  | { form: "ipv4 network"; address: number; mask: number; text: string }
  | { form: "ipv6"; address: Uint8Array; prefixBits?: number; text: string }
  | { form: "ethernet"; address: Uint8Array };

/** An unsigned 32-bit expression. */
export type FilterTerm =
  | { kind: "number"; value: number; at: number }
  | { kind: "frame length"; at: number }
  | { kind: "load"; protocol: Protocol; offset: FilterTerm; size: LoadSize; at: number }
  | { kind: "arithmetic"; operator: AluOperator; left: FilterTerm; right: FilterTerm; at: number }
  | { kind: "negate"; operand: FilterTerm; at: number };

export type Relation = "=" | "!=" | ">" | ">=" | "<" | "<=";

interface Chain<Kind extends string> {
  kind: Kind;
  left: FilterExpression;
  right: FilterExpression;
  at: number;
}
interface Cast<Kind extends string> {
  kind: Kind;
  protocol?: Protocol;
  at: number;
}
interface Length<Kind extends string> {
  kind: Kind;
  length: number;
  at: number;
}
interface Encapsulation<Kind extends string> {
  kind: Kind;
  id?: number;
  at: number;
}

export type FilterExpression =
  | { kind: "everything"; at: number }
  | Chain<"and">
  | Chain<"or">
  | { kind: "not"; operand: FilterExpression; at: number }
  | { kind: "protocol"; protocol: Protocol; at: number }
  /** `start`: where its words begin, if it has any of its own; `at` is the value's place. */
  | { kind: "match"; qualifier: Qualifier; value: FilterValue; at: number; start?: number }
  | { kind: "relation"; relation: Relation; left: FilterTerm; right: FilterTerm; at: number }
  | Cast<"broadcast">
  | Cast<"multicast">
  /** `less N`: at most N bytes on the wire; `greater N`: at least N. */
  | Length<"less">
  | Length<"greater">
  | { kind: "byte"; offset: number; relation: "=" | "<" | ">"; value: number; at: number }
  | Encapsulation<"vlan">
  | Encapsulation<"mpls">
  | Encapsulation<"pppoes">
  | { kind: "pppoed"; at: number }
  | { kind: "llc"; type?: string; at: number }
  /** From `fromNs` up to, but not including, `toNs`; 0 and `timeEnd` are no bounds. `word` is what was written. */
  | { kind: "time"; word: string; fromNs: bigint; toNs: bigint; at: number }
  /** `digest`: five numbers. */
  | { kind: "community"; digest: readonly number[]; at: number }
  | { kind: "name"; test: NameTest; at: number }
  | { kind: "frame"; word: "any" | "payload"; test: FrameTest; at: number; start?: number }
  /** `reason`: number of the one reason for being dropped, absent for any. */
  | { kind: "outcome"; word: "dropped" | "forwarded"; reason?: number; at: number }
  | { kind: "flooded"; at: number };
