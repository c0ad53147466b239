// What a filter that was read to the end with may have meant otherwise: a port or rule that no record names, a time that is still to
// come. Such conditions select nothing, and that is worth a line.
import { PasteError } from "../errors.js";
import type { CompiledFilter } from "./compile.js";
import { nearest } from "./filter-error.js";
import { timeText } from "./times.js";

/** What a reading has learned (StoreNames, or a native reader's names()). */
export interface KnownNames {
  readonly ports: readonly { readonly name: string }[];
  readonly rules: readonly { readonly name: string }[];
}

export class FilterCheck {
  readonly #filter: Pick<CompiledFilter, "names" | "range"> | undefined;
  readonly #ports = new Set<string>();
  readonly #rules = new Set<string>();

  #partly = false;

  constructor(filter: Pick<CompiledFilter, "names" | "range"> | undefined) {
    this.#filter = filter;
  }

  /** Adds what the reading of one store has learned. Blocks that were not read may name others: nothing is said of names then. */
  saw({ ports, rules }: KnownNames, { blocksSkipped }: { readonly blocksSkipped: number }): void {
    if (blocksSkipped > 0) this.#partly = true;
    for (const { name } of ports) this.#ports.add(name);
    for (const { name } of rules) this.#rules.add(name);
  }

  /** Of a reading that came to its end and selected so many frames. Throws FILTER where there are none and a name that no record has. */
  remarks(frames: number): string[] {
    const names = this.#unknownNames();
    if (names.length > 0 && frames === 0) throw new PasteError("FILTER", names.join("; "));
    return frames === 0 ? this.#stillToCome() : names;
  }

  /** One line for each name that no record has; none unless everything was read. */
  #unknownNames(): string[] {
    if (this.#partly || !this.#filter) return [];
    return this.#filter.names.flatMap(({ of, pattern, at }) => {
      const known = [...(of === "rule" ? this.#rules : this.#ports)];
      const form = globForm(pattern);
      if (known.some((name) => form.test(name))) return [];
      const near = nearest(pattern, known);
      const hint = near === undefined ? someOf(known) : `did you mean "${near}"?`;
      return [`filter: no record names a ${of === "rule" ? "rule" : "port"} "${pattern}" at column ${at + 1}: ${hint}`];
    });
  }

  /** `after 22:00` is this evening's, also at three in the morning. */
  #stillToCome(): string[] {
    const fromNs = this.#filter?.range.fromNs ?? 0n;
    if (fromNs <= BigInt(Date.now()) * 1_000_000n) return [];
    return [
      `the filter selects nothing before ${timeText(fromNs)}, which is still to come: a clock without a day means today`,
    ];
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
