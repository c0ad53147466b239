// The daemon's configuration: TOML, every key optional. examples/paste-switch.toml shows all of them.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { PasteError } from "../logger/errors.js";
import type { Durability, FramePlace, FullPolicy, PersistMode, WaitMode } from "../native/engine.js";
import { type OptionPair, optionProblem } from "./port-options.js";
import { checkPortName, type PortSpec, parsePortSpec } from "./port-spec.js";
import { type CompileFilter, emptyRule, type RuleText, ruleProblems, rulesMax } from "./rules.js";
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
const whole = (min: number, max: number) => z.int().min(min).max(max);
const powerOfTwo = (min: number, max: number) =>
  whole(min, max).refine((value) => (value & (value - 1)) === 0, "must be a power of two");

/** A glob over what the broker may open: a kind and a name, or everything. */
const deviceGlob = z
  .string()
  .regex(/^(\*|(tap|xdp|netmap|netns|[*?]+):.+)$/, 'must be like "tap:*", "xdp:eth0", "netmap:*", "netns:blue" or "*"');

const schema = z.strictObject({
  daemon: z
    .strictObject({
      group: z.string().min(1).optional(),
      user: z.string().min(1).optional(),
      devices: z.array(deviceGlob).max(1000).default(["*"]),
      threads: whole(1, 16).default(1),
      wait: z.enum(["adaptive", "block", "busy"]).default("adaptive"),
    })
    .prefault({}),
  store: z
    .strictObject({
      path: z.string().min(1).optional(),
      size: z.union([z.string(), z.int()]).optional(),
      full: z.enum(["overwrite", "stop", "block"]).default("overwrite"),
      blockTimeoutMs: whole(1, 3_600_000).default(1000),
      durability: z.enum(["strict", "relaxed"]).default("strict"),
      persist: z.enum(["auto", "pack", "mark"]).default("auto"),
      markBytesMin: whole(0, 65536).default(0),
    })
    .prefault({}),
  switch: z
    .strictObject({
      macEntries: powerOfTwo(64, 1 << 20).default(16384),
      macEntriesPerPort: whole(1, 1 << 20).default(4096),
      macAgeMs: whole(1000, 86_400_000).default(300_000),
      frameMemory: z.union([z.string(), z.int()]).optional(),
      framePlace: z.enum(["auto", "store", "dram"]).default("auto"),
    })
    .prefault({}),
  port: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        spec: z.string().optional(),
        access: z.int().optional(),
        trunk: z.union([z.string(), z.array(z.union([z.int(), z.string()]))]).optional(),
        native: z.int().optional(),
        mirror: z.array(z.string()).optional(),
        mirrorDirection: z.enum(["in", "out", "both"]).optional(),
      }),
    )
    .max(1024)
    .default([]),
  rule: z
    .array(
      z.strictObject({
        name: z.string().min(1).optional(),
        filter: z.string().default(""),
        in: z.array(z.string()).default([]),
        out: z.array(z.string()).default([]),
        snaplen: z.int().default(0),
        sample: z.int().default(1),
        skip: z.boolean().default(false),
        durability: z.enum(["strict", "relaxed"]).optional(),
      }),
    )
    .max(rulesMax)
    .default([]),
});
type Parsed = z.infer<typeof schema>;

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
  const report = (path: PropertyKey[], message: string) =>
    problems.push({ line: lineOf(path as (string | number)[]), key: keyText(path), message });

  const result = schema.safeParse(raw);
  if (!result.success) for (const issue of result.error.issues) describe(issue, raw, report);
  // What the schema refuses has no checked value; the rest is still looked at, so that one run names every problem.
  const parsed: Parsed | undefined = result.success ? result.data : undefined;
  const config = parsed ? build(parsed, folder, compile, report) : undefined;
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
  return build(
    schema.parse({}),
    process.cwd(),
    () => new Uint8Array(),
    () => 0,
  );
}

export function readConfigText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
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

type Report = (path: PropertyKey[], message: string) => void;

function build(parsed: Parsed, folder: string, compile: CompileFilter, report: Report): DaemonConfig {
  const attempt = <T>(path: PropertyKey[], make: () => T): T | undefined => {
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
  parsed: Parsed,
  folder: string,
  attempt: <T>(path: PropertyKey[], make: () => T) => T | undefined,
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
function optionPairs(table: Parsed["port"][number]): { key: string; pair: OptionPair }[] {
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

function buildRules(parsed: Parsed, compile: CompileFilter, report: Report): RuleText[] {
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

/** A schema issue in words. */
function describe(issue: z.core.$ZodIssue, raw: unknown, report: Report): void {
  if (issue.code === "unrecognized_keys")
    for (const key of issue.keys) report([...issue.path, key], `unknown key: ${knownKeys(issue.path)}`);
  else report(issue.path, issueText(issue, raw));
}

const typeNames: Record<string, string> = {
  int: "a whole number",
  number: "a number",
  object: "a table",
  array: "a list",
  string: "a text",
  boolean: "true or false",
};

function issueText(issue: z.core.$ZodIssue, raw: unknown): string {
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], raw);
  const shown = typeof value === "string" ? `"${value}"` : typeof value === "object" ? "this" : String(value);
  switch (issue.code) {
    case "invalid_value":
      return `${shown} is not one of ${issue.values.map((item) => `"${String(item)}"`).join(", ")}`;
    case "too_small":
    case "too_big": {
      const bound = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
      if (issue.origin === "string") return "must not be empty";
      return issue.origin === "array" ? `${bound} are allowed` : `${shown} is out of range: ${bound}`;
    }
    case "invalid_type":
      return `${shown} is not ${typeNames[issue.expected] ?? issue.expected}`;
    case "invalid_union":
      return `${shown} is no size: write bytes, or a text such as "64M"`;
    default:
      return `${shown}: ${issue.message}`;
  }
}

/** Every key of a configuration, as "store.size"; the test of the annotated example reads it. */
export function configKeys(): string[] {
  return (Object.keys(schema.shape) as (keyof typeof schema.shape)[]).flatMap((table) =>
    Object.keys(tableShape(table)).map((key) => `${table}.${key}`),
  );
}

function knownKeys(path: PropertyKey[]): string {
  const shape = schema.shape;
  const table = path[0] as keyof typeof shape | undefined;
  const keys = table === undefined ? Object.keys(shape) : Object.keys(tableShape(table));
  return `${table === undefined ? "a configuration" : `[${table}]`} may have ${keys.join(", ")}`;
}

function tableShape(table: keyof typeof schema.shape): object {
  let inner: unknown = schema.shape[table];
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) inner = inner.unwrap();
  if (inner instanceof z.ZodArray) inner = inner.element;
  return inner instanceof z.ZodObject ? inner.shape : {};
}

function keyText(path: PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part + 1}]` : text ? `${text}.${String(part)}` : String(part),
    "",
  );
}
