import { accessSync, constants, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { undoAtEnd } from "./undo.js";

/** A temporary folder for stores: on /dev/shm where `bytes` fit in it, else below $TMPDIR. */
export function storeFolder(bytes: number): { path: string; remove(): void } {
  const memory = "/dev/shm";
  let base = tmpdir();
  try {
    accessSync(memory, constants.W_OK);
    const { bavail, bsize } = statfsSync(memory);
    if (bavail * bsize > bytes) base = memory;
  } catch {
    // No shared memory here: the table's heading says which medium was used.
  }
  const path = mkdtempSync(join(base, "paste-switch-bench-"));
  return { path, remove: undoAtEnd(() => rmSync(path, { recursive: true, force: true })) };
}
