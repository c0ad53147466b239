// The package's name and version, read from package.json once.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../native/load.js";

let version: string | undefined;

export function packageVersion(): string {
  version ??= (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string }).version;
  return version;
}

/** "paste-switch 0.1.0". */
export function programName(): string {
  return `paste-switch ${packageVersion()}`;
}
