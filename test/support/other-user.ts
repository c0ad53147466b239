// What runs as another user, where root makes one of itself.
import { spawnSync } from "node:child_process";
import type { ExecutionContext } from "ava";
import { skip } from "./skip.js";

export const nobody = 65534;
/** Runs the command behind it as the user nobody, without capabilities. */
export const asNobody = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"] as const;

/** Whether that user can be had here, and may read this file; else the test was skipped, and returns. */
export function nobodyReads(t: ExecutionContext, file: string): boolean {
  const [setpriv, ...args] = asNobody;
  if (process.getuid!() !== 0) skip(t, "only root can be another user");
  else if (spawnSync(setpriv, [...args, "test", "-r", file]).status !== 0)
    skip(t, "other users may not read this folder, or setpriv is missing");
  else return true;
  return false;
}
