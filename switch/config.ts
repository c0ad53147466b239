// The daemon's configuration: TOML, every key optional. examples/paste-switch.toml shows all of them.
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import type { Durability, FramePlace, FullPolicy, PersistMode, WaitMode } from "../native/engine.js";
import { type ConfigPath, type ConfigTables, checkTables } from "./config-schema.js";
import { type OptionPair, optionProblem } from "./port-options.js";
import { checkPortName, type PortSpec, parsePortSpec } from "./port-spec.js";
import { type CompileFilter, emptyRule, type RuleText, ruleProblems } from "./rules.js";
import { parse, TomlError } from "./toml.js";
import { scanToml } from "./toml-lines.js";
import { parseSize } from "./units.js";

export interface StoreConfig {
  path?: string;
  /** Of a store that has to be created. */
  sizeBytes?: number;
  full: FullPolicy;
  blockTimeoutMs: number;
  durability: Durability;
  persist: PersistMode;
  markBytesMin: number;
  index: boolean;
  indexTunnels: boolean;
}

export interface DaemonConfig {
  /** `user` and `devices` are applied before the daemon begins (launch.ts). */
  daemon: { group?: string; user?: string; devices: string[]; threads: number; wait: WaitMode };
  store: StoreConfig;
  switch: {
    macEntries: number;
    macEntriesPerPort: number;
    macAgeMs: number;
    /** Bytes of each forwarding thread's memory for frames that devices fill; 0 = the default. */
    frameMemoryBytes: number;
    framePlace: FramePlace;
  };
  ports: PortSpec[];
  rules: RuleText[];
}

export interface ConfigProblem {
  /** From 1. */
  line: number;
  /** "store.size", "rule[2].filter"; empty for a fault of syntax. Items of a list count from 1, as people do. */
  key: string;
  message: string;
}

const frameMemoryBytesMax = 2 ** 30;

/** The rule fields' keys in the file, where they differ. */
const ruleKeys: Partial<Record<keyof RuleText, string>> = { inPorts: "in", outPorts: "out" };

/** The configuration of a text, or every problem in it. Relative paths count from `folder`. */
export function parseConfig(
  text: string,
  folder: string,
  compile: CompileFilter,
): { config: DaemonConfig | undefined; problems: ConfigProblem[] } {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    return { config: undefined, problems: [{ line: error.line, key: "", message }] };
  }
  const { lineOf } = scanToml(text);
  const problems: ConfigProblem[] = [];
  const report: Report = (path, message) => {
    problems.push({ line: lineOf(path), key: keyText(path), message });
  };
  const tables = checkTables(raw, report);
  const config = tables ? build(tables, folder, compile, report) : undefined;
  problems.sort((a, b) => a.line - b.line);
  return { config: problems.length === 0 ? config : undefined, problems };
}

/** Reads and checks a file. Throws USAGE with the first problem, and how many there are. */
export function loadConfig(path: string, compile: CompileFilter): DaemonConfig {
  const { config, problems } = parseConfig(readConfigText(path), dirname(resolve(path)), compile);
  if (config) return config;
  const more =
    problems.length > 1 ? ` (and ${problems.length - 1} more: see \`paste-switch config check ${path}\`)` : "";
  throw new PasteError("USAGE", `${problemText(path, problems[0]!)}${more}`);
}

export function defaultConfig(): DaemonConfig {
  return parseConfig("", process.cwd(), () => new Uint8Array()).config!;
}

/** Only of a regular file: a FIFO would hold whoever reads it until somebody writes, and is empty for the next one. Throws USAGE. */
export function readConfigText(path: string): string {
  try {
    const found = statSync(path);
    if (!found.isFile() && !found.isDirectory())
      throw new PasteError("USAGE", `configuration ${path}: it is no regular file: write it into one`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof PasteError) throw error;
    const reason = { ENOENT: "there is no such file", EACCES: "you may not read it", EISDIR: "it is a folder" };
    const code = (error as NodeJS.ErrnoException).code ?? "";
    throw new PasteError("USAGE", `configuration ${path}: ${reason[code as keyof typeof reason] ?? code}`, {
      cause: error,
    });
  }
}

/** "FILE:LINE: KEY: what is wrong", as compilers write it. */
export function problemText(path: string, { line, key, message }: ConfigProblem): string {
  return `${path}:${line}: ${key ? `${key}: ` : ""}${message}`;
}

type Report = (path: ConfigPath, message: string) => void;

function build(parsed: ConfigTables, folder: string, compile: CompileFilter, report: Report): DaemonConfig {
  const attempt = <T>(path: ConfigPath, make: () => T): T | undefined => {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof PasteError)) throw error;
      report(path, error.message);
      return undefined;
    }
  };
  const { size, path, ...storeRest } = parsed.store;
  const store: StoreConfig = storeRest;
  if (path !== undefined) store.path = resolve(folder, path);
  if (size !== undefined) {
    const bytes = attempt(["store", "size"], () => parseSize(String(size), "size"));
    if (bytes !== undefined) store.sizeBytes = bytes;
  }
  if (parsed.switch.macEntriesPerPort > parsed.switch.macEntries)
    report(
      ["switch", "macEntriesPerPort"],
      `${parsed.switch.macEntriesPerPort} is more than macEntries, ${parsed.switch.macEntries}`,
    );
  const { frameMemory, ...switchRest } = parsed.switch;
  const frameMemoryBytes =
    frameMemory === undefined
      ? 0
      : (attempt(["switch", "frameMemory"], () => parseSize(String(frameMemory), "frameMemory")) ?? 0);
  if (frameMemoryBytes > frameMemoryBytesMax)
    report(["switch", "frameMemory"], `${frameMemory} is out of range: at most 1G for each forwarding thread`);
  const { group, user, ...daemonRest } = parsed.daemon;
  return {
    daemon: { ...daemonRest, ...(group === undefined ? {} : { group }), ...(user === undefined ? {} : { user }) },
    store,
    switch: { ...switchRest, frameMemoryBytes },
    ports: buildPorts(parsed, folder, attempt, report),
    rules: buildRules(parsed, compile, report),
  };
}

function buildPorts(
  parsed: ConfigTables,
  folder: string,
  attempt: <T>(path: ConfigPath, make: () => T) => T | undefined,
  report: Report,
): PortSpec[] {
  const ports: PortSpec[] = [];
  const names = new Set<string>();
  parsed.port.forEach((table, index) => {
    const { name, spec } = table;
    if (name === undefined && spec === undefined) {
      report(["port", index], "needs a name, a spec, or both");
      return;
    }
    const options = optionPairs(table);
    const wrong = options.flatMap(({ key, pair }) => {
      const problem = optionProblem(pair);
      return problem ? [{ key, problem }] : [];
    });
    for (const { key, problem } of wrong) report(["port", index, key], problem);
    if (wrong.length > 0) return;
    const port = attempt(["port", index, spec === undefined ? "name" : "spec"], () => {
      const text = name === undefined ? spec! : spec === undefined ? name : `${checkPortName(name)}=${spec}`;
      return parsePortSpec(
        text,
        folder,
        options.map(({ pair }) => pair),
      );
    });
    if (!port) return;
    if (names.has(port.name)) report(["port", index], `${port.name} is configured twice: names are unique`);
    names.add(port.name);
    ports.push(port);
  });
  return ports;
}

/** Keys of [[port]] as the options that they stand for. */
function optionPairs(table: ConfigTables["port"][number]): { key: string; pair: OptionPair }[] {
  const { access, trunk, native, mirror, mirrorDirection } = table;
  const values = {
    access: access?.toString(),
    trunk: Array.isArray(trunk) ? trunk.join("+") : trunk,
    native: native?.toString(),
    mirror: mirror?.join("+"),
    mirrorDirection,
  };
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, pair: [key === "mirrorDirection" ? "mirror-direction" : key, value] as const }],
  );
}

function buildRules(parsed: ConfigTables, compile: CompileFilter, report: Report): RuleText[] {
  const names = new Set<string>();
  return parsed.rule.map(({ in: inPorts, out: outPorts, ...rest }, index) => {
    const rule: RuleText = {
      ...emptyRule,
      ...rest,
      name: rest.name ?? "",
      durability: rest.durability ?? "",
      inPorts,
      outPorts,
    };
    for (const { field, message } of ruleProblems(rule, compile))
      report(["rule", index, ruleKeys[field] ?? field], message);
    if (rule.name !== "" && names.has(rule.name))
      report(["rule", index, "name"], `"${rule.name}" is configured twice: names are unique`);
    names.add(rule.name);
    return rule;
  });
}

function keyText(path: ConfigPath): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part + 1}]` : text ? `${text}.${part}` : part),
    "",
  );
}
