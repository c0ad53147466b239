// Finds the compiled addon beside the package and loads it; a missing one ends in one line that names the command that builds it.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's root: the nearest folder above this file that holds package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** Loads `build/Release/NAME.node`. Throws an Error whose message is one line and says how to build it. */
export function loadAddon(name: "paste_switch" | "paste_switch_test"): Record<string, unknown> {
  const root = packageRoot();
  const path = join(root, "build", "Release", `${name}.node`);
  if (!existsSync(path))
    throw new Error(`the native addon is not built (${name}.node is missing): run \`npm run install\` in ${root}`);
  return createRequire(import.meta.url)(path) as Record<string, unknown>;
}
