// Changes to a configuration file for `--save`: single tables are put in or taken out as text, so that comments and the
// order of everything else stay. The result is read back before it replaces the file: if it does not say what it should,
// nothing is written.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { PasteError } from "../logger/errors.js";
import { readConfigText } from "./config.js";
import type { PortSpec } from "./port-spec.js";
import { parsePortSpec } from "./port-spec.js";
import type { RuleText } from "./rules.js";
import { parse, stringify } from "./toml.js";
import { scanToml, type TomlTable } from "./toml-lines.js";

type Table = Record<string, unknown>;

export class ConfigEditor {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  addPort(port: PortSpec): void {
    this.#insert("port", portTable(port), undefined);
  }

  removePort(name: string): void {
    this.#remove("port", (table) => portName(table, dirname(this.path)) === name, `port ${name}`);
  }

  /** `before`: the name of the rule to stand in front of; empty: behind all. */
  addRule(rule: RuleText, before: string): void {
    this.#insert("rule", ruleTable(rule), before === "" ? undefined : before);
  }

  removeRule(name: string): void {
    this.#remove("rule", (table) => table.name === name, `rule ${name}`);
  }

  #insert(kind: "port" | "rule", table: Table, before: string | undefined): void {
    const { text, items, places } = this.#read(kind);
    const at = before === undefined ? items.length : items.findIndex((item) => item.name === before);
    if (at < 0) throw this.#refusal(`rule ${before} does not stand in it under that name`);
    const block = `[[${kind}]]\n${stringify(table).trimEnd()}\n`;
    const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
    const next = places[at];
    if (next) lines.splice(commentStart(lines, next.line - 1), 0, ...block.split("\n"));
    else {
      // Behind the last table of its kind, so that sub-tables and comments of others keep their place; else at the end.
      const end = places.length > 0 ? places.at(-1)!.end - 1 : lines.length;
      lines.splice(end, 0, ...(end > 0 ? [""] : []), ...block.trimEnd().split("\n"));
    }
    this.#write(kind, `${lines.join("\n")}\n`, items.toSpliced(at, 0, table), text);
  }

  #remove(kind: "port" | "rule", matches: (table: Table) => boolean, what: string): void {
    const { text, items, places } = this.#read(kind);
    const at = items.findIndex(matches);
    if (at < 0) throw this.#refusal(`${what} does not stand in it`);
    const lines = text.split("\n");
    const place = places[at];
    if (!place) throw this.#refusal(`${what} is not written as a [[${kind}]] table`);
    lines.splice(place.line - 1, place.end - place.line);
    if (lines[place.line - 1] === "" && (place.line < 2 || lines[place.line - 2] === ""))
      lines.splice(place.line - 1, 1);
    this.#write(kind, lines.join("\n"), items.toSpliced(at, 1), text);
  }

  #read(kind: "port" | "rule"): { text: string; items: Table[]; places: TomlTable[] } {
    const text = existsSync(this.path) ? readConfigText(this.path) : "";
    let items: Table[];
    try {
      items = ((parse(text) as Table)[kind] ?? []) as Table[];
    } catch {
      throw this.#refusal("it is no valid TOML any more");
    }
    const places = scanToml(text).tables.filter(({ path }) => path[0] === kind && path.length === 2);
    return { text, items, places };
  }

  #write(kind: string, text: string, items: Table[], before: string): void {
    let good = false;
    try {
      const now = parse(text) as Table;
      const old = parse(before) as Table;
      good = isDeepStrictEqual(plain({ ...now, [kind]: now[kind] ?? [] }), plain({ ...old, [kind]: items }));
    } catch {
      good = false;
    }
    if (!good) throw this.#refusal("it is written in a way that cannot be changed safely");
    mkdirSync(dirname(this.path), { recursive: true });
    const temporary = `${this.path}.${process.pid}.new`;
    const fd = openSync(temporary, "w", 0o644);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.path);
  }

  #refusal(reason: string): PasteError {
    return new PasteError(
      "USAGE",
      `the change is at work, but not saved in ${this.path}: ${reason}; edit the file by hand`,
    );
  }
}

/** The parser's tables have no prototype; ours have. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Index of the first line of the comment that stands directly above a table. */
function commentStart(lines: string[], header: number): number {
  let at = header;
  while (at > 0 && /^\s*#/.test(lines[at - 1]!)) at--;
  return at;
}

function portName(table: Table, folder: string): string {
  try {
    return parsePortSpec(String(table.name ?? table.spec), folder).name;
  } catch {
    return "";
  }
}

/** Only what differs from the defaults. */
function portTable({ name, spec, options }: PortSpec): Table {
  const { access, trunk, native, mirror, mirrorDirection } = options;
  const ranges = trunk.split("+").map((range) => (range.includes("-") ? range : Number(range)));
  return {
    name,
    ...(spec === "" ? {} : { spec }),
    ...(access === 0 ? {} : { access }),
    ...(trunk === "" ? {} : { trunk: trunk === "all" ? trunk : ranges }),
    ...(native === 0 ? {} : { native }),
    ...(mirror.length === 0 ? {} : { mirror }),
    ...(mirrorDirection === "both" ? {} : { mirrorDirection }),
  };
}

/** Only what differs from the defaults. */
function ruleTable(rule: RuleText): Table {
  return {
    name: rule.name,
    ...(rule.filter === "" ? {} : { filter: rule.filter }),
    ...(rule.inPorts.length === 0 ? {} : { in: rule.inPorts }),
    ...(rule.outPorts.length === 0 ? {} : { out: rule.outPorts }),
    ...(rule.snaplen === 0 ? {} : { snaplen: rule.snaplen }),
    ...(rule.sample === 1 ? {} : { sample: rule.sample }),
    ...(rule.skip ? { skip: true } : {}),
    ...(rule.durability === "" ? {} : { durability: rule.durability }),
  };
}
