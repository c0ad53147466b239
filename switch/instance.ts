// Where one daemon's sockets, configuration and store lie, and how it makes sure that it is the only one there.
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, type Stats, unlinkSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import { type FileLock, lockFile } from "../native/host.js";

export interface Instance {
  name: string;
  /** Folder of the sockets. */
  folder: string;
  control: string;
  /** The native socket by which programs become ports. */
  ports: string;
  /** Held for as long as the daemon lives. */
  lock: string;
  config: string;
  store: string;
}

export interface InstanceOptions {
  name?: string | undefined;
  /** The control socket, elsewhere than where `name` puts it. */
  control?: string | undefined;
}

type Environment = Record<string, string | undefined>;

/** sun_path has 108 bytes, one of them the end. */
const socketPathBytesMax = 107;

/** Paths by DESIGN section 8. Makes nothing. Throws USAGE for a name or path that cannot be. */
export function locateInstance(
  options: InstanceOptions = {},
  env: Environment = process.env,
  uid = process.getuid!(),
): Instance {
  const name = options.name ?? "default";
  if (!/^[0-9A-Za-z_][0-9A-Za-z_.-]{0,31}$/.test(name))
    throw new PasteError("USAGE", `--name "${name}": use letters, digits, _ . and -, at most 32`);
  // An explicit --name is stronger than the environment: otherwise it would be ignored in silence.
  const fromEnvironment = options.name === undefined ? env.PASTE_SWITCH_CONTROL : undefined;
  const elsewhere = options.control ?? (fromEnvironment || undefined);
  const control = elsewhere ? resolve(elsewhere) : join(runtimeFolder(env, uid), name, "control.sock");
  const folder = dirname(control);
  const file = basename(control);
  const ports = join(folder, file === "control.sock" ? "ports.sock" : `${file.replace(/\.sock$/, "")}.ports.sock`);
  for (const path of [control, ports])
    if (Buffer.byteLength(path) > socketPathBytesMax)
      throw new PasteError(
        "USAGE",
        `${path}: longer than the ${socketPathBytesMax} bytes of a socket's path: use --control with a shorter one`,
      );
  const home = env.HOME ?? homedir();
  const configFolder =
    uid === 0 ? "/etc/paste-switch" : join(env.XDG_CONFIG_HOME || join(home, ".config"), "paste-switch");
  const dataFolder =
    uid === 0 ? "/var/lib/paste-switch" : join(env.XDG_DATA_HOME || join(home, ".local", "share"), "paste-switch");
  return {
    name,
    folder,
    control,
    ports,
    lock: `${control}.lock`,
    config: join(configFolder, `${name}.toml`),
    store: join(dataFolder, `${name}.store`),
  };
}

function runtimeFolder(env: Environment, uid: number): string {
  if (uid === 0) return "/run/paste-switch";
  if (env.XDG_RUNTIME_DIR) return join(env.XDG_RUNTIME_DIR, "paste-switch");
  return `/tmp/paste-switch-${uid}`;
}

/**
 * Makes the folder of the sockets, takes the instance's lock, and removes sockets that a dead daemon left: with the lock
 * held nobody can be listening on them. Release the lock last. Throws CONTROL when another daemon holds it.
 */
export function claimInstance(instance: Instance, gid?: number): FileLock {
  makeFolder(dirname(instance.folder), undefined);
  makeFolder(instance.folder, gid);
  const lock = lockFile(instance.lock);
  if (!lock)
    throw new PasteError(
      "CONTROL",
      `a daemon is running at ${instance.control}${pidOf(instance)}: stop it, or choose another --name or --control`,
    );
  try {
    for (const path of [instance.control, instance.ports]) removeStale(path);
  } catch (error) {
    lock.release();
    throw error;
  }
  lock.write(`${process.pid}\n`);
  return lock;
}

function pidOf(instance: Instance): string {
  const pid = readFileSync(instance.lock, "utf8").trim();
  return /^\d+$/.test(pid) ? ` (pid ${pid})` : "";
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket())
    throw new PasteError("CONTROL", `${path} exists and is no socket: remove it, or choose another --control`);
  unlinkSync(path);
}

/**
 * A missing folder is made 0700, or 0750 for a group. One that exists in a place where others may
 * write must be a real folder of ours, not a link, and closed to others: someone may have put it there to catch us.
 */
function makeFolder(path: string, gid: number | undefined): void {
  const parent = dirname(path);
  if (!existsSync(parent)) makeFolder(parent, undefined);
  let made = false;
  try {
    // Root's folder of all instances is open, so that a group can reach its own instance's folder.
    mkdirSync(path, { mode: process.getuid!() === 0 && parent === "/run" ? 0o755 : 0o700 });
    made = true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw folderError(path, error);
  }
  const found = lstatSync(path);
  if (!found.isDirectory()) throw new PasteError("PRIVILEGE", `${path} is no folder: remove it, or use --control`);
  if (othersMayWrite(lstatSync(parent))) {
    if (found.uid !== process.getuid!())
      throw new PasteError(
        "PRIVILEGE",
        `${path} belongs to user ${found.uid}, not to you: remove it, or use --control`,
      );
    if ((found.mode & 0o022) !== 0 && !isSticky(found))
      throw new PasteError("PRIVILEGE", `${path} can be written by others: chmod 700 it, or use --control`);
  }
  // A folder that is not ours alone (a --control in /tmp) is never given to the group.
  if (gid !== undefined && (made || basename(parent).startsWith("paste-switch"))) {
    chownSync(path, -1, gid);
    chmodSync(path, 0o750);
  }
}

const othersMayWrite = (folder: Stats) => (folder.mode & 0o002) !== 0;
const isSticky = (folder: Stats) => (folder.mode & 0o1000) !== 0;

function folderError(path: string, error: unknown): PasteError {
  const code = (error as NodeJS.ErrnoException).code;
  const denied = code === "EACCES" || code === "EPERM" || code === "EROFS";
  return new PasteError(
    denied ? "PRIVILEGE" : "RESOURCE",
    `cannot make the folder ${path} (${code}): use --control to put the sockets elsewhere`,
    {
      cause: error,
    },
  );
}
