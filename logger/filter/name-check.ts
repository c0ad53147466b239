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

  constructor(tests: readonly NameTest[]) {
    this.#tests = tests;
  }

  /** Adds what one store knows. */
  saw({ ports, rules }: KnownNames): void {
    for (const { name } of ports) this.#ports.add(name);
    for (const { name } of rules) this.#rules.add(name);
  }

  /** One line for each name that no record read so far has. */
  lines(): string[] {
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
function globForm(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s");
}
