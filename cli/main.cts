#!/usr/bin/env node
// Starts a command: from its bundle (scripts/bundle.mjs) where it has one, else from the modules. CommonJS, as Node's loader of ES modules takes
// longer to come up than a bundle to be read.
import fs = require("node:fs");
import url = require("node:url");
import vm = require("node:vm");

type Runner = typeof import("./run.js", { with: { "resolution-mode": "import" }});

async function start([command = "", ...words]: readonly string[]): Promise<void> {
  if (command === "daemon") (await import("../switch/launch.js")).launchEarly(words);
  const { run } = bundled(command) ?? (await import("./run.js"));
  await run(process.argv.slice(2));
}

/** Nothing where the command has none, and where somebody wants to see in which module an error came up. */
function bundled(command: string): Runner | undefined {
  const filename = `${__dirname}/bundles/${command}.cjs`;
  if (!/^[a-z]+$/.test(command) || !fs.existsSync(filename)) return undefined;
  if (process.argv.includes("--debug") || process.env.PASTE_SWITCH_DEBUG === "1") return undefined;
  const cache = `${filename}.cache`;
  // Another V8 than the one that wrote the cache takes no notice of it.
  const cached = fs.existsSync(cache) ? { cachedData: fs.readFileSync(cache) } : {};
  const script = new vm.Script(fs.readFileSync(filename, "latin1"), { filename, ...cached });
  return script.runInThisContext()(require, url.pathToFileURL(__filename).href);
}

void start(process.argv.slice(2));
