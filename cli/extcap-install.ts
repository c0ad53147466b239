// Wireshark's folder for programs that capture, and the wrapper in it that starts ours.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { PasteError } from "../logger/errors.js";
import { packageRoot } from "../native/load.js";

const fileName = "paste-switch";
const mark = "written by `paste-switch extcap --install`";

/**
 * The personal extcap folder: what tshark or Wireshark says; up to 4.0 it lies in the configuration folder and is not named. Without
 * either, where newer ones look.
 */
export function extcapFolder(): string {
  for (const program of ["tshark", "wireshark"]) {
    const { stdout = "", error } = spawnSync(program, ["-G", "folders"], { encoding: "utf8" });
    if (error) continue;
    const line = (name: string) => new RegExp(`^${name}:\\s*(.+)$`, "m").exec(stdout)?.[1];
    const personal = line("Personal Extcap path");
    if (personal) return personal;
    const configuration = line("Personal configuration");
    if (configuration) return join(configuration, "extcap");
  }
  return join(process.env.HOME ?? homedir(), ".local", "lib", "wireshark", "extcap");
}

/** For a shell: one word, whatever is in it. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Writes the wrapper and returns its path. Throws USAGE where something else is in the way, PRIVILEGE where it cannot be written. */
export function installExtcap(folder = extcapFolder()): string {
  const path = join(resolve(folder), fileName);
  if (existsSync(path) && !isOurs(path))
    throw new PasteError(
      "USAGE",
      `${path} is there and is not ours: move it away, or choose another folder with --dir`,
    );
  // It would cost each start 40 ms, and nothing here talks to the network.
  const text = `#!/bin/sh
# paste-switch in Wireshark; ${mark}, taken away by --uninstall
unset NODE_EXTRA_CA_CERTS
exec ${quoted(process.execPath)} ${quoted(join(packageRoot(), "dist", "cli", "extcap-main.cjs"))} "$@"
`;
  try {
    makeFolder(resolve(folder));
    writeFileSync(path, text);
    chmodSync(path, 0o755);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PasteError("PRIVILEGE", `${path}: cannot be written (${code}): choose another folder with --dir`, {
      cause,
    });
  }
  return path;
}

/** Takes the wrapper away and returns its path. Throws USAGE where there is none, or one that is not ours. */
export function uninstallExtcap(folder = extcapFolder()): string {
  const path = join(resolve(folder), fileName);
  if (!existsSync(path))
    throw new PasteError("USAGE", `${path} is not there: nothing to take away (--dir names another folder)`);
  if (!isOurs(path)) throw new PasteError("USAGE", `${path} is not ours: it stays`);
  rmSync(path);
  return path;
}

function isOurs(path: string): boolean {
  return readFileSync(path, "utf8").includes(mark);
}

/** Level by level: Node's own `recursive` never comes back where a folder is there that takes none, as in /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}
