// A switch in this process: ports, rules and a store over the engine. The daemon is one of these behind a socket; a
// program of the user's own may have one, too.
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import { createStore } from "../logger/store.js";
import {
  createEngine,
  type Durability,
  type EngineStats,
  type FramePlace,
  type FullPolicy,
  type MacInfo,
  type NativeEngine,
  type NativePortOptions,
  native,
  type PersistMode,
  type WaitMode,
} from "../native/engine.js";
import type { RecoveryReport } from "../native/store.js";
import type { MediumInfo } from "./control-protocol.js";
import { filterCompiler } from "./filter-compiler.js";
import { type PortOptions, vlanIds } from "./port-options.js";
import { checkPortName, checkSwitchName, type PortSpec, parsePortSpec, sourceFile } from "./port-spec.js";
import { type CompileFilter, emptyRule, RuleList, type RuleState, type RuleText } from "./rules.js";
import { parseSize } from "./units.js";

export interface SwitchOptions {
  /** Absent: nothing can be logged. */
  store?: {
    path: string;
    /** Makes the store when it is missing: bytes, or a text such as "64M". */
    size?: number | string;
    full?: FullPolicy;
    blockTimeoutMs?: number;
    durability?: Durability;
    persist?: PersistMode;
    markBytesMin?: number;
    /** Index what is logged, by a thread of low priority; default true. */
    index?: boolean;
    /** Headers inside of tunnels, too; default true. */
    indexTunnels?: boolean;
  };
  /** Specifications such as "vale0:a", "vale0:r=pcap:FILE" or "tap:t0,access=5". */
  ports?: string[];
  /** Ports whose devices may be missing: they are waited for, in state "down". */
  waitingPorts?: PortSpec[];
  /** In their order; a text is the filter of a rule without a name. */
  rules?: (string | Partial<RuleText>)[];
  /** Where other processes (and PortClient) become ports; absent: nowhere. Must not exist. */
  portsSocket?: string;
  /** Group that may use the socket and read the store. */
  gid?: number;
  threads?: number;
  wait?: WaitMode;
  macEntries?: number;
  macEntriesPerPort?: number;
  macAgeMs?: number;
  /** Bytes of each forwarding thread's memory for frames that devices fill. */
  frameMemoryBytes?: number;
  framePlace?: FramePlace;
}

export class Switch {
  /** What opening the store found; undefined without a store. */
  readonly recovery: RecoveryReport | undefined;
  readonly medium: MediumInfo | undefined;
  readonly storePath: string;
  /** True when this switch made its store. */
  readonly storeCreated: boolean;
  #engine: NativeEngine;
  readonly compile: CompileFilter;
  #rules: RuleList;
  #closed: Promise<void> | undefined;

  private constructor(engine: NativeEngine, compile: CompileFilter, storePath: string, storeCreated: boolean) {
    this.#engine = engine;
    this.compile = compile;
    this.#rules = new RuleList([], compile);
    this.storePath = storePath;
    this.storeCreated = storeCreated;
    this.recovery = engine.recovery() ?? undefined;
    this.medium = engine.medium() ?? undefined;
  }

  /** Opens the store (recovering it if need be), starts forwarding, attaches ports, puts rules to work. */
  static async create(options: SwitchOptions): Promise<Switch> {
    const compile = await filterCompiler();
    // Whatever can be refused without touching anything is refused first.
    const rules = new RuleList((options.rules ?? []).map(completeRule), compile);
    const ports = (options.ports ?? []).map((text) => parsePortSpec(text));
    const storePath = options.store ? resolve(options.store.path) : "";
    const storeCreated = options.store ? await makeStore(storePath, options.store.size, options.gid) : false;
    const undo = () => {
      if (storeCreated) rmSync(storePath, { force: true });
    };
    const engine = await createEngine({
      threads: options.threads ?? 1,
      wait: options.wait ?? "adaptive",
      durability: options.store?.durability ?? "strict",
      persist: options.store?.persist ?? "auto",
      markBytesMin: options.store?.markBytesMin ?? 0,
      macEntries: options.macEntries ?? 16384,
      macEntriesPerPort: options.macEntriesPerPort ?? 4096,
      macAgeMs: options.macAgeMs ?? 300_000,
      frameMemoryBytes: options.frameMemoryBytes ?? 0,
      framePlace: options.framePlace ?? "auto",
      portsSocket: options.portsSocket ?? "",
      socketMode: options.gid === undefined ? 0o600 : 0o660,
      socketGid: options.gid ?? -1,
      ...(options.store
        ? {
            store: {
              path: storePath,
              full: options.store.full ?? "overwrite",
              blockTimeoutMs: options.store.blockTimeoutMs ?? 1000,
              index: options.store.index ?? true,
              indexTunnels: options.store.indexTunnels ?? true,
            },
          }
        : {}),
    }).catch((error) => {
      undo();
      throw error;
    });
    const made = new Switch(engine, compile, storePath, storeCreated);
    try {
      made.setRules(rules.rules);
      // Frames wait until every port is there: the first that a host sends is often an ARP request, and one that is lost since
      // the host it asks for has no port yet is asked again after a second.
      engine.setReceiving(false);
      engine.start();
      for (const port of options.waitingPorts ?? []) made.#attach(port, true);
      for (const port of ports) made.#attach(port, false);
      engine.setReceiving(true);
    } catch (error) {
      await made.close();
      undo();
      throw error;
    }
    return made;
  }

  /** Attaches a port by its specification; gives its name. */
  attach(text: string): string {
    const port = parsePortSpec(text);
    this.#attach(port, false);
    return port.name;
  }

  #attach({ name, spec, options }: PortSpec, wait: boolean): void {
    const file = sourceFile(spec);
    if (file !== undefined && !existsSync(file)) throw new PasteError("PORT", `port ${name}: there is no file ${file}`);
    native(() => this.#engine.attach(name, spec, nativeOptions(options), wait));
  }

  detach(name: string): void {
    checkPortName(name);
    native(() => this.#engine.detach(name));
  }

  get rules(): readonly RuleText[] {
    return this.#rules.rules;
  }

  /** The rules with what they did. */
  ruleStates(stats: EngineStats = this.stats()): RuleState[] {
    const counters = new Map(stats.rules.map((rule) => [rule.name, rule]));
    return this.#rules.rules.map((rule) => {
      const { hits = 0, logged = 0, bytes = 0 } = counters.get(rule.name) ?? {};
      return { ...rule, hits, logged, bytes };
    });
  }

  /** Replaces all rules at once; when one is wrong, all stay as they were. */
  setRules(rules: readonly RuleText[]): void {
    this.#work(new RuleList(rules, this.compile));
  }

  /** Adds a rule before the named one, or behind all; gives it with its final name. */
  addRule(rule: string | Partial<RuleText>, before = ""): RuleText {
    const { list, added } = this.#rules.with(completeRule(rule), before);
    this.#work(list);
    return added;
  }

  removeRule(name: string): void {
    this.#work(this.#rules.without(name));
  }

  #work(list: RuleList): void {
    const { specs, text } = list.compiled();
    native(() => this.#engine.setRules(specs, text));
    this.#rules = list;
  }

  macList(switchName = "vale0"): MacInfo[] {
    return native(() => this.#engine.macList(checkSwitchName(switchName)));
  }

  macAdd(mac: string, port: string, fid = 0): void {
    const switchName = checkPortName(port).split(":")[0]!;
    native(() => this.#engine.macAdd(switchName, checkMac(mac), fid, port));
  }

  macRemove(mac: string, switchName = "vale0", fid = 0): void {
    native(() => this.#engine.macRemove(checkSwitchName(switchName), checkMac(mac), fid));
  }

  /** Forgets learned addresses, of one port or all; gives how many. */
  macFlush(switchName = "vale0", port = ""): number {
    if (port !== "") checkPortName(port);
    return native(() => this.#engine.macFlush(checkSwitchName(switchName), port));
  }

  stats(): EngineStats {
    return native(() => this.#engine.stats());
  }

  /** Gives up sealed blocks whose records all lie before `sequence`; gives how many. */
  trim(sequence: bigint): number {
    if (this.storePath === "") throw new PasteError("STORE", "there is no store to trim: this switch runs without one");
    return native(() => this.#engine.trim(sequence));
  }

  /** Stops receiving, delivers what is on its way, closes the store clean. */
  close(): Promise<void> {
    this.#closed ??= this.#engine.drain();
    return this.#closed;
  }
}

/** Starts a switch in this process. */
export function createSwitch(options: SwitchOptions = {}): Promise<Switch> {
  return Switch.create(options);
}

export function nativeOptions({
  access,
  trunk,
  native: untagged,
  mirror,
  mirrorDirection,
}: PortOptions): NativePortOptions {
  const allowed = vlanIds(trunk);
  const policy = access !== 0 ? "access" : trunk !== "" ? "trunk" : "transparent";
  return {
    vlan: { policy, vid: access || untagged, ...(policy === "trunk" && allowed ? { allowed } : {}) },
    mirror: { ports: mirror, in: mirrorDirection !== "out", out: mirrorDirection !== "in" },
  };
}

function completeRule(rule: string | Partial<RuleText>): RuleText {
  return { ...emptyRule, ...(typeof rule === "string" ? { filter: rule } : rule) };
}

function checkMac(mac: string): string {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac))
    throw new PasteError("USAGE", `"${mac}" is no address: write it as 02:00:00:00:00:01`);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    throw new PasteError("USAGE", `${mac} is a multicast address: it cannot be behind one port`);
  return mac.toLowerCase();
}

/** Makes the store when it is missing and a size is given. True when it was made. */
async function makeStore(path: string, size: number | string | undefined, gid?: number): Promise<boolean> {
  const exists = existsSync(path);
  if (!exists) {
    if (size === undefined)
      throw new PasteError(
        "STORE",
        `there is no store ${path}: give its size (--size 64M) to make it, or use \`paste-switch store create\``,
      );
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    await createStore(path, { sizeBytes: typeof size === "number" ? size : parseSize(size, "size") });
  }
  if (gid !== undefined && statSync(path).uid === process.getuid!()) {
    chownSync(path, -1, gid);
    chmodSync(path, 0o640);
  }
  return !exists;
}
