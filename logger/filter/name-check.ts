// Whether the ports and rules that a filter names were met: a name that nothing has selects nothing, and that is worth a line.
import { nearest } from "./filter-error.js";
import type { NameTest } from "./record-words.js";

/** What a reading has learned (StoreNames, or a native reader's names()). */
export interface KnownNames {
  readonly ports: readonly { readonly name: string }[];
  readonly rules: readonly { readonly name: string }[];
}

export class NameCheck {
  readonly #tests: readonly NameTest[];
  readonly #ports = new Set<string>();
  readonly #rules = new Set<string>();

  #partly = false;

  constructor(tests: readonly NameTest[]) {
    this.#tests = tests;
  }

  /** Adds what the reading of one store has learned. Blocks that were not read may name others: nothing is said then. */
  saw({ ports, rules }: KnownNames, { blocksSkipped }: { readonly blocksSkipped: number }): void {
    if (blocksSkipped > 0) this.#partly = true;
    for (const { name } of ports) this.#ports.add(name);
    for (const { name } of rules) this.#rules.add(name);
  }

  /** One line for each name that no record has; none unless everything was read. */
  lines(): string[] {
    if (this.#partly) return [];
    return this.#tests.flatMap(({ of, pattern, at }) => {
      const known = [...(of === "rule" ? this.#rules : this.#ports)];
      const form = globForm(pattern);
      if (known.some((name) => form.test(name))) return [];
      const near = nearest(pattern, known);
      const hint = near === undefined ? someOf(known) : `did you mean "${near}"?`;
      return [`filter: no record names a ${of === "rule" ? "rule" : "port"} "${pattern}" at column ${at + 1}: ${hint}`];
    });
  }
}

function someOf(known: readonly string[]): string {
  if (known.length === 0) return "none is named in what was read";
  const rest = known.length > 5 ? ` and ${known.length - 5} more` : "";
  return `there are ${known.toSorted().slice(0, 5).join(", ")}${rest}`;
}

/** As glob_matches() in native/core/base/glob.cc. */
export function globForm(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s");
}
