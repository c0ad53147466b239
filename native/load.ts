// Finds the compiled addon beside the package and loads it; a missing one ends in one line that names the command that builds it.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PasteError } from "../logger/errors.js";

/** The package's root: the nearest folder above this file that holds package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** Those of this package by name: looking on the disk each time costs more than opening a store. */
const loaded = new Map<string, Record<string, unknown>>();

/** Loads `build/Release/NAME.node` below `root` (this package). Throws RESOURCE, with the command that builds it, when it cannot. */
export function loadAddon(name: "paste_switch" | "paste_switch_test", root?: string): Record<string, unknown> {
  if (root !== undefined) return load(name, root);
  const addon = loaded.get(name) ?? load(name, packageRoot());
  loaded.set(name, addon);
  return addon;
}

function load(name: string, root: string): Record<string, unknown> {
  const path = join(root, "build", "Release", `${name}.node`);
  const remedy = `run \`npm ${name === "paste_switch" ? "run install" : "test"}\` in ${root}`;
  if (!existsSync(path))
    throw new PasteError("RESOURCE", `the native addon is not built (${name}.node is missing): ${remedy}`);
  try {
    return createRequire(import.meta.url)(path) as Record<string, unknown>;
  } catch (error) {
    throw new PasteError("RESOURCE", `the native addon does not load (${(error as Error).message}): ${remedy}`);
  }
}
