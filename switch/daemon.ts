// The daemon: one Switch, its control socket, its signals. Stays in the foreground until SIGTERM or SIGINT.
import { existsSync, statSync, unlinkSync } from "node:fs";
import { resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import type { Durability, FullPolicy, PersistMode, WaitMode } from "../native/engine.js";
import { type FileLock, notifySystemd } from "../native/host.js";
import { groupId } from "./accounts.js";
import { type DaemonConfig, defaultConfig, loadConfig } from "./config.js";
import { ConfigEditor } from "./config-edit.js";
import { type DaemonStats, type Done, prepareProtocol, type Request } from "./control-protocol.js";
import { type Answer, ControlServer } from "./control-server.js";
import { filterCompiler } from "./filter-compiler.js";
import { Health } from "./health.js";
import { claimInstance, type Instance, locateInstance } from "./instance.js";
import { explainDenied, startedAs } from "./launch.js";
import { parsePortSpec } from "./port-spec.js";
import { recoveryText } from "./recovery-text.js";
import { emptyRule, type RuleText } from "./rules.js";
import { Switch } from "./switch.js";
import { programName } from "./version.js";

/** What the command line may say; each is stronger than the configuration, `port` and `log` add to it. */
export interface DaemonOptions {
  name?: string;
  control?: string;
  config?: string;
  store?: string;
  sizeBytes?: number;
  port?: string[];
  log?: string[];
  full?: FullPolicy;
  durability?: Durability;
  persist?: PersistMode;
  wait?: WaitMode;
  threads?: number;
  group?: string;
  /** Applied before the daemon begins (launch.ts). */
  user?: string;
}

/** Items in one part of an answer: far below the longest message. */
const portsPerPart = 200;
const macsPerPart = 4000;
const healthIntervalMs = 1000;

const say = (text: string) => process.stderr.write(`${text}\n`);

/** Runs until a signal ends it; gives the exit status. Throws when it cannot start, with everything undone. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  // A daemon outlives whoever read its first lines.
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners("error").on("error", () => {});
  const daemon = new Daemon(options);
  await daemon.start().catch((error: unknown) => {
    throw explainDenied(error);
  });
  return daemon.ended;
}

class Daemon {
  readonly ended: Promise<number>;
  #end!: (status: number) => void;
  readonly #options: DaemonOptions;
  readonly #instance: Instance;
  readonly #configPath: string;
  #config!: DaemonConfig;
  #lock!: FileLock;
  #startedMs = Date.now();
  #switch!: Switch;
  #server!: ControlServer;
  readonly #health = new Health(say);
  #healthTimer: NodeJS.Timeout | undefined;
  #ready = false;
  /** The signal that ends it; while it starts, what was begun is done first, so that there is one way to leave. */
  #ending = "";
  #reloadWanted = false;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#instance = locateInstance(options, process.env, startedAs());
    this.#configPath = resolve(options.config ?? this.#instance.config);
    this.ended = new Promise((end) => {
      this.#end = end;
    });
  }

  async start(): Promise<void> {
    this.#watch();
    const compile = await filterCompiler();
    const named = this.#options.config !== undefined || existsSync(this.#configPath);
    this.#config = named ? loadConfig(this.#configPath, compile) : defaultConfig();
    const group = this.#options.group ?? this.#config.daemon.group;
    const gid = group === undefined ? undefined : groupId(group);
    this.#lock = claimInstance(this.#instance, gid);
    try {
      await this.#open(gid);
    } catch (error) {
      this.#lock.release();
      throw error;
    }
    this.#announce(named);
    // A signal that came while this thread was busy is heard: from where sockets are read the first turn comes before signals are looked for.
    for (let turn = 0; turn < 2; turn++) await nextTurn();
    if (this.#ending) return this.#close();
    this.#ready = true;
    process.stdout.write("ready\n");
    notifySystemd(`READY=1\nMAINPID=${process.pid}\nSTATUS=forwarding`);
    if (this.#reloadWanted) this.#readRules();
    this.#healthTimer = setInterval(() => this.#health.look(this.#switch.stats()), healthIntervalMs);
    // A first request that comes before waits for it as it would for the daemon to be ready later.
    setImmediate(prepareProtocol);
  }

  async #open(gid: number | undefined): Promise<void> {
    const options = this.#options;
    const { daemon, store, switch: limits, ports } = this.#config;
    const storePath = this.#storePath();
    const size = options.sizeBytes ?? store.sizeBytes;
    this.#switch = await Switch.create({
      ...limits,
      threads: options.threads ?? daemon.threads,
      wait: options.wait ?? daemon.wait,
      portsSocket: this.#instance.ports,
      waitingPorts: ports,
      ports: options.port ?? [],
      rules: this.#rules(this.#config),
      ...(gid === undefined ? {} : { gid }),
      ...(storePath === undefined
        ? {}
        : {
            store: {
              path: storePath,
              ...(size === undefined ? {} : { size }),
              full: this.#full(),
              blockTimeoutMs: store.blockTimeoutMs,
              durability: this.#durability(),
              persist: options.persist ?? store.persist,
              markBytesMin: store.markBytesMin,
              index: store.index,
              indexTunnels: store.indexTunnels,
            },
          }),
    });
    try {
      this.#server = await ControlServer.listen({
        path: this.#instance.control,
        handler: (request) => this.#handle(request),
        ...(gid === undefined ? {} : { gid }),
      });
    } catch (error) {
      await this.#switch.close();
      throw error;
    }
  }

  /** The store that is named; else the instance's own when it is there or can be made; else none. */
  #storePath(): string | undefined {
    const named = this.#options.store ?? this.#config.store.path;
    if (named !== undefined) return named;
    const size = this.#options.sizeBytes ?? this.#config.store.sizeBytes;
    return size !== undefined || existsSync(this.#instance.store) ? this.#instance.store : undefined;
  }

  #full = () => this.#options.full ?? this.#config.store.full;
  #durability = () => this.#options.durability ?? this.#config.store.durability;

  #rules(config: DaemonConfig): RuleText[] {
    return [...config.rules, ...(this.#options.log ?? []).map((filter) => ({ ...emptyRule, filter }))];
  }

  #announce(configured: boolean): void {
    const { medium, recovery, storePath, storeCreated, rules } = this.#switch;
    say(`${programName()}, instance ${this.#instance.name}, pid ${process.pid}, control ${this.#instance.control}`);
    if (configured) say(`configuration ${this.#configPath}`);
    if (storePath === "") say("no store: nothing can be logged");
    else {
      say(`store ${storePath}${storeCreated ? " (made now)" : ""}, ${this.#durability()}, when full: ${this.#full()}`);
      if (medium) say(`medium ${medium.name}: ${medium.survives}`);
      if (recovery) for (const line of recoveryText(recovery)) say(line);
    }
    if (rules.length === 0) say("no rules: nothing is logged");
    this.#health.look(this.#switch.stats());
  }

  #watch(): void {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => this.#finish(signal));
    process.on("SIGHUP", () => {
      this.#reloadWanted = true;
      if (this.#ready) this.#readRules();
    });
  }

  #readRules(): void {
    try {
      say(`rules read again from ${this.#configPath}: ${this.#reload()} at work`);
    } catch (error) {
      say(`rules stay as they were: ${(error as Error).message}`);
    }
  }

  #finish(signal: string): void {
    if (this.#ending) {
      say(`${signal} again: leaving without waiting; the store will be recovered at the next start`);
      process.exit(1);
    }
    this.#ending = signal;
    if (this.#ready) void this.#close();
    else say(`${signal}: ending when the start is through; once more: at once`);
  }

  async #close(): Promise<void> {
    clearInterval(this.#healthTimer);
    notifySystemd("STOPPING=1");
    try {
      await this.#server.close();
      const { selected, logged } = this.#switch.stats();
      await this.#switch.close();
      if (existsSync(this.#instance.ports)) unlinkSync(this.#instance.ports);
      this.#lock.release();
      const before = this.#ready ? "" : ", before it was ready";
      say(`${this.#ending}: closed clean${before}; ${selected} frames selected, ${logged} logged`);
      this.#end(0);
    } catch (error) {
      say(`${this.#ending}: not closed clean: ${(error as Error).message}`);
      this.#end(1);
    }
  }

  /** Puts the configuration's rules (and those of --log) to work; gives how many. */
  #reload(): number {
    if (!existsSync(this.#configPath)) throw new PasteError("USAGE", `there is no configuration ${this.#configPath}`);
    const config = loadConfig(this.#configPath, this.#switch.compile);
    const rules = this.#rules(config);
    this.#switch.setRules(rules);
    return rules.length;
  }

  async *#handle(request: Request): AsyncGenerator<Answer> {
    const done = (name: string, count = 1): Answer => ({ result: "done", body: { name, count } satisfies Done });
    switch (request.call) {
      case "stats":
        yield* this.#stats();
        return;
      case "portList":
        yield* inParts("ports", this.#switch.stats().ports, portsPerPart);
        return;
      case "ruleList":
        yield { result: "rules", body: { rules: this.#switch.ruleStates() } };
        return;
      case "macList":
        yield* inParts("macs", this.#switch.macList(request.body.switch || "vale0"), macsPerPart);
        return;
      case "portAdd": {
        const name = this.#switch.attach(request.body.spec);
        if (request.body.save) this.#editor().addPort(parsePortSpec(request.body.spec));
        yield done(name);
        return;
      }
      case "portRemove":
        this.#switch.detach(request.body.name);
        if (request.body.save) this.#editor().removePort(request.body.name);
        yield done(request.body.name);
        return;
      case "ruleAdd": {
        const { rule, before, save } = request.body;
        if (!rule) throw new PasteError("CONTROL", "ruleAdd: no rule");
        const added = this.#switch.addRule({ ...rule, sample: rule.sample || 1 }, before);
        if (save) this.#editor().addRule(added, before);
        yield done(added.name);
        return;
      }
      case "ruleRemove":
        this.#switch.removeRule(request.body.name);
        if (request.body.save) this.#editor().removeRule(request.body.name);
        yield done(request.body.name);
        return;
      case "macAdd":
        this.#switch.macAdd(request.body.mac, request.body.port, request.body.vlan);
        yield done(request.body.mac);
        return;
      case "macRemove":
        this.#switch.macRemove(request.body.mac, request.body.switch || "vale0", request.body.vlan);
        yield done(request.body.mac);
        return;
      case "macFlush": {
        const { switch: name, port } = request.body;
        yield done(name || "vale0", this.#switch.macFlush(name || "vale0", port));
        return;
      }
      case "trim":
        yield done(this.#switch.storePath, this.#switch.trim(request.body.before));
        return;
      case "reload":
        yield done(this.#configPath, this.#reload());
        return;
      case "hello":
        throw new PasteError("CONTROL", "hello was said already");
    }
  }

  *#stats(): Generator<Answer> {
    const engine = this.#switch.stats();
    const { storePath, medium } = this.#switch;
    const whole: DaemonStats = {
      ...engine,
      rules: this.#switch.ruleStates(engine),
      name: this.#instance.name,
      program: programName(),
      pid: process.pid,
      uptimeMs: Date.now() - this.#startedMs,
      configPath: existsSync(this.#configPath) ? this.#configPath : "",
      storePath,
      storeBytes: storePath === "" ? 0 : statSync(storePath).size,
      full: this.#full(),
      durability: this.#durability(),
      ...(medium ? { medium } : {}),
      ports: engine.ports.slice(0, portsPerPart),
    };
    yield { result: "stats", body: whole };
    for (let at = portsPerPart; at < engine.ports.length; at += portsPerPart)
      yield { result: "stats", body: { ports: engine.ports.slice(at, at + portsPerPart) } };
  }

  #editor(): ConfigEditor {
    return new ConfigEditor(this.#configPath);
  }
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

function* inParts(name: "ports" | "macs", items: unknown[], size: number): Generator<Answer> {
  for (let at = 0; at === 0 || at < items.length; at += size)
    yield { result: name, body: { [name]: items.slice(at, at + size) } };
}
