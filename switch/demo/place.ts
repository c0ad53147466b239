import { accessSync, constants, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where the demo works: a folder for sockets and exports, and one for the store, on memory where there is room. */
export interface DemoPlace {
  folder: string;
  storeFolder: string;
  remove(): void;
}

const sharedMemory = "/dev/shm";
/** The demo's store and what the system wants beside it; never more of /dev/shm. */
const wantedBytes = 48 * 1024 * 1024;

export function demoPlace(): DemoPlace {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-demo-"));
  const storeFolder = hasRoom(sharedMemory) ? mkdtempSync(join(sharedMemory, "paste-switch-demo-")) : folder;
  return {
    folder,
    storeFolder,
    remove() {
      rmSync(folder, { recursive: true, force: true });
      rmSync(storeFolder, { recursive: true, force: true });
    },
  };
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
