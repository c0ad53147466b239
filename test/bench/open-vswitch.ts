// Open vSwitch's userspace datapath in the hub's namespace: servers, database and sockets of our own in a scratch folder, so that an
// Open vSwitch of this machine is neither used nor touched.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed, until } from "./programs.js";
import { undoAtEnd } from "./undo.js";

const programs = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"];
const schema = "/usr/share/openvswitch/vswitch.ovsschema";
const answerMs = 10_000;

export class OpenVSwitch {
  readonly #folder = mkdtempSync(join(tmpdir(), "paste-ovs-"));
  readonly #netns: string;
  readonly #children: ChildProcess[] = [];
  readonly #socket = join(this.#folder, "db.sock");

  /** Why there is none here; undefined when there is. */
  static missing(): string | undefined {
    if (programs.every(installed) && existsSync(schema)) return undefined;
    return `Open vSwitch is not installed (Debian package openvswitch-switch)`;
  }

  constructor(netns: string) {
    this.#netns = netns;
  }

  /** Throws when its servers do not come up. */
  async start(): Promise<void> {
    const database = join(this.#folder, "conf.db");
    execFileSync("ovsdb-tool", ["create", database, schema], { stdio: "pipe" });
    this.#serve("ovsdb-server", database, `--remote=punix:${this.#socket}`, "--no-chdir");
    await until(() => existsSync(this.#socket));
    this.#serve("ovs-vswitchd", `unix:${this.#socket}`, "--no-chdir");
    await until(() => readdirSync(this.#folder).includes("ovs-vswitchd.ctl"));
    this.#set("add-br", "vswitch", "--", "set", "bridge", "vswitch", "datapath_type=netdev");
  }

  get pid(): number {
    return this.#children[1]!.pid!;
  }

  /** Of type "afxdp", or "system" (packet sockets). Throws when it does not take them. */
  addPorts(interfaces: readonly string[], type: "afxdp" | "system"): void {
    for (const name of interfaces)
      this.#set("add-port", "vswitch", name, "--", "set", "interface", name, `type=${type === "system" ? '""' : type}`);
    for (const name of interfaces) {
      const error = this.#get("get", "interface", name, "error").trim();
      if (error !== "[]") throw new Error(`${name}: ${error}`);
    }
  }

  removePorts(interfaces: readonly string[]): void {
    for (const name of interfaces) this.#set("--if-exists", "del-port", "vswitch", name);
  }

  readonly close = undoAtEnd(() => {
    for (const child of this.#children.reverse()) child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  });

  #serve(program: string, ...args: string[]): void {
    const control = `--unixctl=${join(this.#folder, `${program}.ctl`)}`;
    const log = `--log-file=${join(this.#folder, `${program}.log`)}`;
    const env = { ...process.env, OVS_RUNDIR: this.#folder, OVS_LOGDIR: this.#folder, OVS_DBDIR: this.#folder };
    this.#children.push(
      spawn("ip", ["netns", "exec", this.#netns, program, ...args, control, log], { env, stdio: "ignore" }),
    );
  }

  #set(...args: string[]): void {
    this.#get(...args);
  }

  #get(...args: string[]): string {
    const db = [`--db=unix:${this.#socket}`, `--timeout=${answerMs / 1000}`];
    return execFileSync("ovs-vsctl", [...db, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }
}
