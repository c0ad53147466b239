#!/usr/bin/env node
// Starts a command: from its bundle (scripts/bundle.mjs) where it has one, else from the modules. CommonJS, as Node's loader of ES modules takes
// longer to come up than a bundle to be read.
import fs = require("node:fs");
import url = require("node:url");
import vm = require("node:vm");

type Starter = typeof import("./start.js", { with: { "resolution-mode": "import" }});

async function main(argv: readonly string[]): Promise<void> {
  const { start } = bundled(argv[0] ?? "") ?? (await import("./start.js"));
  await start(argv);
}

/** Nothing where the command has none, and where somebody wants to see in which module an error came up. */
function bundled(command: string): Starter | undefined {
  const filename = `${__dirname}/bundles/${command}.cjs`;
  if (!/^[a-z]+$/.test(command) || !fs.existsSync(filename)) return undefined;
  if (process.argv.includes("--debug") || process.env.PASTE_SWITCH_DEBUG === "1") return undefined;
  const script = new vm.Script(fs.readFileSync(filename, "latin1"), { filename, ...codeOf(filename) });
  return script.runInThisContext()(require, url.pathToFileURL(__filename).href);
}

/** What V8 made of a bundle before; another V8 takes no notice of it. */
function codeOf(filename: string): { cachedData?: Buffer } {
  try {
    return { cachedData: fs.readFileSync(`${filename}.cache`) };
  } catch {
    return {}; // it starts all the same, only later
  }
}

void main(process.argv.slice(2));
