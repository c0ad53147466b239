// The rules at work, in order: the first that matches a frame decides whether and how it is kept.
import { PasteError } from "../logger/errors.js";
import type { RuleSpec } from "../native/engine.js";

/** A rule as a person writes it. */
export interface RuleText {
  /** Unique; empty when adding: the next free one of r1, r2, ... */
  name: string;
  /** pcap-filter(7); empty selects every frame. */
  filter: string;
  /** Ports by name or pattern ("vale0:*"); empty: any. */
  inPorts: string[];
  outPorts: string[];
  /** Bytes kept of a frame; 0: all of it. */
  snaplen: number;
  /** One frame in N is kept. */
  sample: number;
  /** Matched frames are not logged. */
  skip: boolean;
  /** Empty: as the store. */
  durability: "strict" | "relaxed" | "";
}

/** A rule and what it did. */
export interface RuleState extends RuleText {
  hits: number;
  logged: number;
  bytes: number;
}

/** Compiles filter text to classic BPF, struct bpf_insn little-endian. Throws FILTER. */
export type CompileFilter = (text: string) => Uint8Array;

export const rulesMax = 1024;
const snaplenMax = 256 * 1024;
const namePattern = /^[0-9A-Za-z_][0-9A-Za-z_.-]{0,62}$/;
/** Every port's name has a colon: what has none, and no star to stand for it, would never match. */
const portPattern = /^(?=.*[:*])[0-9A-Za-z_:*?]{1,31}$/;

export const emptyRule: RuleText = {
  name: "",
  filter: "",
  inPorts: [],
  outPorts: [],
  snaplen: 0,
  sample: 1,
  skip: false,
  durability: "",
};

/** Every problem of one rule by itself, with the field it lies in; compiling its filter is part of the check. */
export function ruleProblems(rule: RuleText, compile: CompileFilter): { field: keyof RuleText; message: string }[] {
  const problems: { field: keyof RuleText; message: string }[] = [];
  const check = (good: boolean, field: keyof RuleText, message: string) => {
    if (!good) problems.push({ field, message });
  };
  check(
    rule.name === "" || namePattern.test(rule.name),
    "name",
    `"${rule.name}" is no name: use letters, digits, _ . -`,
  );
  for (const field of ["inPorts", "outPorts"] as const)
    for (const port of rule[field])
      check(portPattern.test(port), field, `"${port}" is no port: write a name such as vale0:a, or vale0:*`);
  check(
    rule.snaplen >= 0 && rule.snaplen <= snaplenMax,
    "snaplen",
    `${rule.snaplen} is not from 0 (all) to ${snaplenMax}`,
  );
  check(rule.sample >= 1 && rule.sample <= 2 ** 31, "sample", `${rule.sample} is not from 1 (all) to ${2 ** 31}`);
  check(
    ["", "strict", "relaxed"].includes(rule.durability),
    "durability",
    `"${rule.durability}" is not strict or relaxed`,
  );
  try {
    compile(rule.filter);
  } catch (error) {
    if (!(error instanceof PasteError)) throw error;
    problems.push({ field: "filter", message: error.message });
  }
  return problems;
}

/** An ordered rule set. Changes give a new one, so that a failed change leaves the old one at work. */
export class RuleList {
  readonly rules: readonly RuleText[];
  #compile: CompileFilter;

  /** Rules without a name get the next free one. Throws USAGE or FILTER for the first that is wrong. */
  constructor(rules: readonly RuleText[], compile: CompileFilter) {
    this.#compile = compile;
    if (rules.length > rulesMax)
      throw new PasteError("USAGE", `${rules.length} rules: at most ${rulesMax} can be at work`);
    const taken = new Set<string>();
    for (const { name } of rules) {
      if (name !== "" && taken.has(name))
        throw new PasteError("USAGE", `rule "${name}" exists already: names are unique, choose another`);
      taken.add(name);
    }
    let next = 1;
    this.rules = rules.map((rule) => {
      for (const { field, message } of ruleProblems(rule, compile))
        throw field === "filter"
          ? new PasteError("FILTER", message)
          : new PasteError("USAGE", `rule ${rule.name ? `"${rule.name}"` : "to add"}: ${field}: ${message}`);
      let name = rule.name;
      while (name === "" || (rule.name === "" && taken.has(name))) name = `r${next++}`;
      taken.add(name);
      return { ...rule, name };
    });
  }

  get last(): RuleText | undefined {
    return this.rules.at(-1);
  }

  /** With one more rule, before the named one or behind all. `added` is the rule under its final name. */
  with(rule: RuleText, before = ""): { list: RuleList; added: RuleText } {
    const at = before === "" ? this.rules.length : this.#index(before);
    const list = new RuleList([...this.rules.slice(0, at), rule, ...this.rules.slice(at)], this.#compile);
    return { list, added: list.rules[at]! };
  }

  without(name: string): RuleList {
    const at = this.#index(name);
    return new RuleList(this.rules.toSpliced(at, 1), this.#compile);
  }

  /** What the engine runs, and the text that the store keeps of it. */
  compiled(): { specs: RuleSpec[]; text: string } {
    const specs = this.rules.map((rule): RuleSpec => {
      const spec: RuleSpec = {
        name: rule.name,
        filter: rule.filter,
        program: this.#compile(rule.filter),
        inPorts: rule.inPorts,
        outPorts: rule.outPorts,
        snaplen: rule.snaplen === 0 ? 0xffffffff : rule.snaplen,
        sample: rule.sample,
        skip: rule.skip,
      };
      if (rule.durability !== "") spec.durability = rule.durability;
      return spec;
    });
    return { specs, text: JSON.stringify(this.rules) };
  }

  #index(name: string): number {
    const at = this.rules.findIndex((rule) => rule.name === name);
    const known = this.rules.map((rule) => rule.name).join(", ");
    if (at < 0) throw new PasteError("USAGE", `no rule "${name}": ${known ? `there are ${known}` : "there are none"}`);
    return at;
  }
}
