// The daemon runs without capabilities. What has them when it is started goes through the launcher first
// (native/launcher/main.cc), which leaves them with a broker and becomes this program again.
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PasteError } from "../logger/errors.js";
import { becomeProgram, hasFileCapabilities } from "../native/host.js";
import { packageRoot } from "../native/load.js";
import { account, groupId } from "./accounts.js";
import { readConfigText } from "./config.js";
import { type Instance, locateInstance } from "./instance.js";
import { parse } from "./toml.js";

export interface LaunchOptions {
  name?: string;
  control?: string;
  config?: string;
  group?: string;
  user?: string;
}

/** "PID:DESCRIPTOR" of the broker, set by the launcher; PID tells whether it is meant for this process. */
const brokerVariable = "PASTE_SWITCH_BROKER";
/** With --user: whose instance it is, which the user that the daemon became cannot tell. */
const startedAsVariable = "PASTE_SWITCH_STARTED_AS";

type Environment = Record<string, string | undefined>;

/** Whether the launcher started this process. */
export const isLaunched = (env: Environment = process.env) =>
  env[brokerVariable]?.startsWith(`${process.pid}:`) === true;

/** The user by whom this instance was started: it decides where sockets, configuration and store lie. */
export function startedAs(env: Environment = process.env): number {
  const uid = env[startedAsVariable];
  return isLaunched(env) && uid !== undefined && /^\d+$/.test(uid) ? Number(uid) : process.getuid!();
}

/**
 * Gives up this process's capabilities by becoming the launcher, which becomes this program again; then it returns, as it
 * does at once where there is nothing to give up. Throws USAGE, PRIVILEGE and RESOURCE.
 */
export function dropCapabilities(options: LaunchOptions): void {
  // Whatever the environment says: what the launcher started has no capabilities.
  if (isLaunched() && !hasCapabilities()) return;
  const launcher = launcherPath();
  const settings = launchSettings(options);
  const user = settings.user === undefined ? undefined : account(settings.user);
  if (user && process.getuid!() !== 0 && user.uid !== process.getuid!())
    throw new PasteError("PRIVILEGE", `--user ${settings.user}: only root can become another user`);
  if (!hasCapabilities() && !mayUse(launcher)) return;
  if (!existsSync(launcher))
    throw new PasteError(
      "RESOURCE",
      `the launcher is not built (${launcher} is missing): run \`npm run install\` in ${packageRoot()}`,
    );
  const args = settings.devices.flatMap((glob) => ["--allow", glob]);
  const groups = settings.group === undefined ? [] : [groupId(settings.group)];
  // Also back to root, who could not touch what an earlier --user left.
  if (process.getuid!() === 0) handOver(locateInstance(options), user ?? { uid: 0, gid: 0 });
  if (user && process.getuid!() === 0) {
    args.push("--user", `${user.uid}:${user.gid}`);
    groups.push(...user.groups);
    process.env[startedAsVariable] = "0";
  }
  for (const gid of new Set(groups)) args.push("--group", `${gid}`);
  // Node would read these certificates at its start (40 ms of CPU time for a system's), and a daemon speaks no TLS.
  delete process.env.NODE_EXTRA_CA_CERTS;
  becomeProgram(launcher, [...args, "--", process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
}

/** Options of `daemon` that take a value: those that the launcher depends on, and those that stand between them. */
const launchOptions = ["config", "name", "control", "group", "user"] as const;
const otherOptions = ["store", "size", "port", "log", "full", "durability", "persist", "wait", "threads"];

/**
 * dropCapabilities() before anything else is loaded, which would be for nothing in this process. What it does not understand, and
 * every error, is left to the command line's own parser, which comes next and ends in dropCapabilities() again.
 */
export function launchEarly(args: string[]): void {
  try {
    if (!hasCapabilities() && (isLaunched() || !mayUse(launcherPath()))) return;
    const string = { type: "string" } as const;
    const options = Object.fromEntries([...launchOptions, ...otherOptions].map((name) => [name, string]));
    const { values } = parseArgs({ args, options: { ...options, config: { ...string, short: "f" } } });
    dropCapabilities(values as LaunchOptions);
  } catch {
    // Said by the command.
  }
}

/**
 * Root without capabilities opens only what belongs to root, or to everybody: says so where that is why something was
 * refused.
 */
export function explainDenied(error: unknown): unknown {
  const denied =
    error instanceof Error &&
    ((error as NodeJS.ErrnoException).code === "EACCES" || /permission denied|EACCES/i.test(error.message));
  if (!denied || !isLaunched() || process.getuid!() !== 0) return error;
  return new PasteError(
    "PRIVILEGE",
    `${error.message} (the daemon is root without capabilities, so it cannot open other users' files: chown them to root, or --user their owner)`,
    { cause: error },
  );
}

/**
 * What the launcher has to know of the configuration. A file that cannot be read or is wrong gives nothing here: the daemon
 * reads it again, and says so.
 */
function launchSettings(options: LaunchOptions): { devices: string[]; user?: string; group?: string } {
  let daemon: Record<string, unknown> = {};
  const path = resolve(options.config ?? locateInstance(options).config);
  try {
    daemon = (parse(readConfigText(path)).daemon ?? {}) as Record<string, unknown>;
  } catch {
    // Said by loadConfig().
  }
  const text = (key: "user" | "group") => {
    const value = options[key] ?? daemon[key];
    return typeof value === "string" && value !== "" ? { [key]: value } : {};
  };
  const devices = Array.isArray(daemon.devices) ? daemon.devices.filter((glob) => typeof glob === "string") : ["*"];
  // An empty list allows nothing, where no list at all would allow everything.
  return { devices: devices.length === 0 ? [""] : devices, ...text("user"), ...text("group") };
}

const launcherPath = () => join(packageRoot(), "build", "Release", "paste-switch-launcher");

function hasCapabilities(): boolean {
  const status = readFileSync("/proc/self/status", "utf8");
  return !/^CapPrm:\s*0+$/m.test(status);
}

/** Whether the launcher has file capabilities and this user may run it. */
function mayUse(launcher: string): boolean {
  try {
    accessSync(launcher, constants.X_OK);
    return hasFileCapabilities(launcher);
  } catch {
    return false;
  }
}

/** Root's folder of this instance, and what lies there from earlier runs, for the user that the daemon becomes. */
function handOver(instance: Instance, owner: { uid: number; gid: number }): void {
  const { folder, lock, store } = instance;
  // As everywhere: a folder that is not ours alone (a --control in /tmp) stays as it is.
  let ours = basename(dirname(folder)).startsWith("paste-switch");
  if (owner.uid !== 0) {
    mkdirSync(dirname(folder), { recursive: true, mode: 0o755 });
    ours = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined || ours;
  }
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found && !found.isDirectory())
    throw new PasteError("PRIVILEGE", `${folder} is no folder: remove it, or use --control`);
  if (found && ours && found.uid !== owner.uid) chownSync(folder, owner.uid, owner.gid);
  for (const file of ours ? [lock, store] : [store]) if (existsSync(file)) giveFile(file, owner);
}

/** Only a plain file with one name: the user may have put something else there. */
function giveFile(path: string, owner: { uid: number; gid: number }): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = fstatSync(fd);
    if (found.isFile() && found.nlink === 1 && found.uid !== owner.uid) fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}
