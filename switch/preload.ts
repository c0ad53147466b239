// Starting a program with the library that serves /dev/netmap (native/preload): which program it is, and whether the library
// can get into it.
import { accessSync, closeSync, constants, existsSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import { hasFileCapabilities } from "../native/host.js";
import { packageRoot } from "../native/load.js";

/** Where the library finds the daemon. */
export const portsVariable = "PASTE_SWITCH_PORTS";

const elfMachines: Record<string, number> = { x64: 62, arm64: 183 };
const scriptDepthMax = 4;

/** The library as the install built it. Throws RESOURCE when it is not there, or lies where it cannot be preloaded from. */
export function preloadLibrary(root: string = packageRoot()): string {
  const path = join(root, "build", "Release", "paste_netmap.so");
  if (!existsSync(path))
    throw new PasteError(
      "RESOURCE",
      `the preload library is not built (${path} is missing): run \`npm run install\` in ${root}`,
    );
  // ld.so(8): LD_PRELOAD is separated by spaces and colons, and knows no quotes.
  if (/[\s:]/.test(path))
    throw new PasteError(
      "RESOURCE",
      `${path}: LD_PRELOAD takes no path with a space or colon in it: install elsewhere`,
    );
  return path;
}

/** The file that a command means, as a shell finds it. Throws USAGE when there is none that may be executed. */
export function findCommand(command: string, searchPath: string = process.env.PATH ?? ""): string {
  if (command === "") throw new PasteError("USAGE", "the command is empty");
  const candidates = command.includes("/")
    ? [resolve(command)]
    : searchPath.split(delimiter).map((folder) => resolve(folder || ".", command));
  const found = candidates.filter((path) => isFile(path));
  const runnable = found.find((path) => mayRun(path));
  if (runnable) return runnable;
  if (found.length > 0) throw new PasteError("USAGE", `${found[0]}: not executable: chmod +x, or name another command`);
  throw new PasteError(
    "USAGE",
    command.includes("/") ? `${command}: no such program` : `${command}: no such program in PATH`,
  );
}

/** Throws USAGE when the library cannot get into the program at `path`: static, of another architecture, with privileges. */
export function checkPreloadable(path: string, searchPath: string = process.env.PATH ?? "", depth = 0): void {
  const start = readStart(path);
  const script = /^#!\s*(\S+)(?:[ \t]+(\S+))?/.exec(start.toString("latin1", 0, 256));
  if (script && depth < scriptDepthMax) {
    const [, interpreter, argument] = script;
    const named = /(^|\/)env$/.test(interpreter!) && argument && !argument.startsWith("-") ? argument : interpreter!;
    checkPreloadable(findCommand(named, searchPath), searchPath, depth + 1);
    return;
  }
  if (start.readUInt32BE(0) !== 0x7f454c46) return; // for the kernel to say
  const machine = elfMachines[process.arch];
  if (start[4] !== 2 || (machine !== undefined && start.readUInt16LE(18) !== machine))
    throw new PasteError("USAGE", `${path}: built for another architecture than this one (${process.arch})`);
  const loader = elfInterpreter(start, path);
  if (loader === undefined)
    throw new PasteError(
      "USAGE",
      `${path}: statically linked: no library can be preloaded into it; build it dynamically`,
    );
  if (loader.includes("ld-musl"))
    throw new PasteError("USAGE", `${path}: linked with musl; the library is for programs of the GNU C library`);
  if (losesEnvironment(path))
    throw new PasteError(
      "USAGE",
      `${path}: setuid, setgid or with file capabilities: the loader ignores LD_PRELOAD for it; run it as its owner, or without them`,
    );
}

/** The environment of a program that is to find the daemon's ports. */
export function preloadEnvironment(
  library: string,
  portsSocket: string,
  env: Record<string, string | undefined> = process.env,
): Record<string, string> {
  return {
    [portsVariable]: portsSocket,
    LD_PRELOAD: env.LD_PRELOAD ? `${library}:${env.LD_PRELOAD}` : library,
  };
}

function readStart(path: string): Buffer {
  const start = Buffer.alloc(4096);
  const fd = openSync(path, "r");
  try {
    readSync(fd, start, 0, start.length, 0);
  } finally {
    closeSync(fd);
  }
  return start;
}

/** The path in PT_INTERP; undefined without one. Program headers behind the first 4 KiB are as good as none. */
function elfInterpreter(start: Buffer, path: string): string | undefined {
  const offset = Number(start.readBigUInt64LE(32));
  const size = start.readUInt16LE(54);
  const count = start.readUInt16LE(56);
  for (let i = 0; i < count; i++) {
    const at = offset + i * size;
    if (size < 56 || at + size > start.length) return undefined;
    if (start.readUInt32LE(at) !== 3) continue;
    const place = Number(start.readBigUInt64LE(at + 8));
    const bytes = Buffer.alloc(Math.min(Number(start.readBigUInt64LE(at + 32)), 4096));
    const fd = openSync(path, "r");
    readSync(fd, bytes, 0, bytes.length, place);
    closeSync(fd);
    return bytes.toString("latin1").replace(/\0.*$/s, "");
  }
  return undefined;
}

/** Whether execve() sets AT_SECURE for it, and so the loader ignores the environment. */
function losesEnvironment(path: string): boolean {
  const { mode, uid, gid } = statSync(path);
  if ((mode & 0o4000) !== 0 && uid !== process.getuid!()) return true;
  if ((mode & 0o2010) === 0o2010 && gid !== process.getgid!()) return true;
  return process.getuid!() !== 0 && hasFileCapabilities(path);
}

function isFile(path: string): boolean {
  let found: Stats;
  try {
    found = statSync(path);
  } catch {
    return false;
  }
  return found.isFile();
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
