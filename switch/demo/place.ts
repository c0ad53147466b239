import { accessSync, constants, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PasteError } from "../../logger/errors.js";

/** Where the demo works: a folder for sockets and exports, and one for the store, on memory where there is room. */
export interface DemoPlace {
  folder: string;
  storeFolder: string;
  remove(): void;
}

const sharedMemory = "/dev/shm";
/** The demo's store and what the system wants beside it; never more of /dev/shm. */
const wantedBytes = 48 * 1024 * 1024;
/** unix(7): sun_path, without its closing zero. */
const maxSocketPathBytes = 107;

const prefix = "paste-switch-demo-";

export function demoPlace(): DemoPlace {
  const folder = temporaryFolder();
  const storeFolder = hasRoom(sharedMemory) ? mkdtempSync(join(sharedMemory, prefix)) : folder;
  return {
    folder,
    storeFolder,
    remove() {
      rmSync(folder, { recursive: true, force: true });
      rmSync(storeFolder, { recursive: true, force: true });
    },
  };
}

/** Characters that mkdtemp puts behind a prefix. */
const randomCharacters = 6;

/** A new folder in $TMPDIR, of a path short enough for the sockets in it. */
function temporaryFolder(): string {
  const parent = tmpdir();
  if (
    Buffer.byteLength(join(parent, prefix.padEnd(prefix.length + randomCharacters, "-"), "control.sock")) >
    maxSocketPathBytes
  )
    throw new PasteError("USAGE", `${parent}: too long for the path of a socket in it: set TMPDIR to a shorter one`);
  try {
    return mkdtempSync(join(parent, prefix));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PasteError(
      "RESOURCE",
      `${parent}: no folder can be made in it (${code}): set TMPDIR to one that can be written`,
    );
  }
}

function hasRoom(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= wantedBytes;
  } catch {
    return false;
  }
}
