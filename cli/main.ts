#!/usr/bin/env node
// Starts a command: from its bundle (scripts/bundle.mjs) where it has one, else from the modules.
import type * as runner from "./run.js";

const argv = process.argv.slice(2);
const [command = ""] = argv;
if (command === "daemon") (await import("../switch/launch.js")).launchEarly(argv.slice(1));
const { run } = bundled() ?? (await import("./run.js"));
await run(argv);

/** Nothing where the command has none, and where somebody wants to see in which module an error came up. */
function bundled(): typeof runner | undefined {
  // Imported, they would cost more: of a builtin Node makes an ES module by loading all that it has for later.
  const { existsSync, readFileSync } = process.getBuiltinModule("node:fs");
  const file = `${import.meta.dirname}/bundles/${command}.cjs`;
  if (!/^[a-z]+$/.test(command) || !existsSync(file)) return undefined;
  if (argv.includes("--debug") || process.env.PASTE_SWITCH_DEBUG === "1") return undefined;
  const { Script } = process.getBuiltinModule("node:vm");
  const { createRequire } = process.getBuiltinModule("node:module");
  const cache = `${file}.cache`;
  // Another V8 than the one that wrote the cache takes no notice of it.
  const cached = existsSync(cache) ? { cachedData: readFileSync(cache) } : {};
  const script = new Script(readFileSync(file, "latin1"), { filename: file, ...cached });
  return script.runInThisContext()(createRequire(import.meta.url), import.meta.url);
}
