// What the tables of a configuration may hold, each value by itself. What depends on other values, files or filters is checked
// in config.ts.
// valita: loading zod and building this schema with it took 80 ms of the 200 ms of CPU time from starting the daemon to
// "ready", which hosts see as an outage; this takes 3 (process.cpuUsage() around each import, Node 20).
import type * as valita from "@badrap/valita";
import { requirePackage } from "../native/packages.js";
import { rulesMax } from "./rules.js";

const v = requirePackage("@badrap/valita") as typeof valita;

const powerOfTwo = (min: number, max: number) =>
  whole(min, max).chain((value) =>
    (value & (value - 1)) === 0 ? v.ok(value) : v.err(`${value}: must be a power of two`),
  );

/** TOML has infinities and NaN, too. */
const number = v.number().chain((value) => (Number.isFinite(value) ? v.ok(value) : v.err(`${value} is not a number`)));
const integer = number.chain((value) =>
  Number.isInteger(value) ? v.ok(value) : v.err(`${value} is not a whole number`),
);

function whole(min: number, max: number): valita.Type<number> {
  return integer.chain((value) => {
    if (value < min) return v.err(`${value} is out of range: at least ${min}`);
    return value > max ? v.err(`${value} is out of range: at most ${max}`) : v.ok(value);
  });
}

const text = v.string().assert((value) => value !== "", "must not be empty");

function oneOf<const T extends string>(...words: T[]): valita.Type<T> {
  const list = words.map((word) => `"${word}"`).join(", ");
  return v
    .unknown()
    .chain((value) =>
      words.includes(value as T) ? v.ok<T>(value as T) : v.err(`${shown(value)} is not one of ${list}`),
    );
}

const isCount = (value: unknown) => typeof value === "string" || Number.isInteger(value);

const size = v
  .unknown()
  .chain((value) =>
    isCount(value)
      ? v.ok(value as string | number)
      : v.err(`${shown(value)} is no size: write bytes, or a text such as "64M"`),
  );

const vlans = v
  .unknown()
  .chain((value) =>
    typeof value === "string" || (Array.isArray(value) && value.every(isCount))
      ? v.ok(value as string | (string | number)[])
      : v.err(`${shown(value)} is no list of VLANs: write "all", or ids and ranges such as [10, "20-30"]`),
  );

function listOf<T>(item: valita.Type<T>, max: number): valita.Type<T[]> {
  return v.array(item).assert((list) => list.length <= max, `at most ${max} are allowed`);
}

/** A glob over what the broker may open: a kind and a name, or everything. */
const deviceGlob = v
  .string()
  .chain((glob) =>
    /^(\*|(tap|xdp|netmap|netns|[*?]+):.+)$/.test(glob)
      ? v.ok(glob)
      : v.err(`"${glob}": must be like "tap:*", "xdp:eth0", "netmap:*", "netns:blue" or "*"`),
  );

const tables = {
  daemon: v.object({
    group: text.optional(),
    user: text.optional(),
    devices: listOf(deviceGlob, 1000).optional(() => ["*"]),
    threads: whole(1, 16).default(1),
    wait: oneOf("adaptive", "block", "busy").default("adaptive"),
  }),
  store: v.object({
    path: text.optional(),
    size: size.optional(),
    full: oneOf("overwrite", "stop", "block").default("overwrite"),
    blockTimeoutMs: whole(1, 3_600_000).default(1000),
    durability: oneOf("strict", "relaxed").default("strict"),
    persist: oneOf("auto", "pack", "mark").default("auto"),
    markBytesMin: whole(0, 65536).default(0),
    index: v.boolean().default(true),
    indexTunnels: v.boolean().default(true),
  }),
  switch: v.object({
    macEntries: powerOfTwo(64, 1 << 20).default(16384),
    macEntriesPerPort: whole(1, 1 << 20).default(4096),
    macAgeMs: whole(1000, 86_400_000).default(300_000),
    frameMemory: size.optional(),
    framePlace: oneOf("auto", "store", "dram").default("auto"),
  }),
  port: v.object({
    name: v.string().optional(),
    spec: v.string().optional(),
    access: integer.optional(),
    trunk: vlans.optional(),
    native: integer.optional(),
    mirror: v.array(v.string()).optional(),
    mirrorDirection: oneOf("in", "out", "both").optional(),
  }),
  rule: v.object({
    name: text.optional(),
    filter: v.string().default(""),
    in: v.array(v.string()).optional(() => []),
    out: v.array(v.string()).optional(() => []),
    snaplen: integer.default(0),
    sample: integer.default(1),
    skip: v.boolean().default(false),
    durability: oneOf("strict", "relaxed").optional(),
  }),
};

const schema = v.object({
  daemon: tables.daemon.optional(() => tables.daemon.parse({})),
  store: tables.store.optional(() => tables.store.parse({})),
  switch: tables.switch.optional(() => tables.switch.parse({})),
  port: listOf(tables.port, 1024).optional(() => []),
  rule: listOf(tables.rule, rulesMax).optional(() => []),
});

/** A configuration's tables with every default filled in. */
export type ConfigTables = valita.Infer<typeof schema>;

export type ConfigPath = (string | number)[];

/** Checks what a TOML file said, and reports each value or key that cannot be; undefined when there was one. */
export function checkTables(
  raw: unknown,
  report: (path: ConfigPath, message: string) => void,
): ConfigTables | undefined {
  const result = schema.try(raw);
  if (result.ok) return result.value;
  for (const issue of result.issues) {
    if (issue.code === "unrecognized_keys")
      for (const key of issue.keys) report([...issue.path, key], `unknown key: ${knownKeys(issue.path)}`);
    else if (issue.code === "invalid_type")
      report(issue.path, `${shown(valueAt(raw, issue.path))} is not ${typeNames[issue.expected[0]!]}`);
    else if (issue.code === "custom_error") report(issue.path, issue.message ?? "");
    else report(issue.path, `${shown(valueAt(raw, issue.path))}: ${issue.code}`);
  }
  return undefined;
}

/** Every key of a configuration, as "store.size". */
export function configKeys(): string[] {
  return Object.entries(tables).flatMap(([table, { shape }]) => Object.keys(shape).map((key) => `${table}.${key}`));
}

function knownKeys([table]: ConfigPath): string {
  const [place, known] =
    table === undefined ? ["a configuration", tables] : [`[${table}]`, tables[table as keyof typeof tables].shape];
  return `${place} may have ${Object.keys(known).join(", ")}`;
}

const typeNames: Record<string, string> = {
  number: "a number",
  object: "a table",
  array: "a list",
  string: "a text",
  boolean: "true or false",
};

function valueAt(raw: unknown, path: ConfigPath): unknown {
  return path.reduce((at, key) => (at as Record<string | number, unknown> | undefined)?.[key], raw);
}

function shown(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" ? "this" : String(value);
}
