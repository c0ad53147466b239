// Runs each bundled command once (scripts/bundle.mjs) and keeps the code that V8 made of it beside the bundle: the next processes need not compile it.
// It fits this Node only, therefore installing makes it again. Without the bundles there is nothing to do, without the addon little.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Script } from "node:vm";

const self = fileURLToPath(import.meta.url);
const folder = resolve(dirname(self), "..", "dist", "cli", "bundles");

/** What a command is run with, in a folder with a store. */
const words = {
  export: ["-r", "a.store", "-F", "pcap", "-w", "-", "host", "10.77.0.1"],
  query: ["-r", "a.store", "host", "10.77.0.1"],
  trace: ["-r", "a.store", "1"],
  store: ["info", "a.store"],
  audit: ["-r", "a.store"],
  port: ["list"],
  rule: ["list"],
  mac: ["list"],
  // It ends where its configuration is missing, when nearly all of it is loaded.
  daemon: ["-f", "no.toml"],
};

async function makeStore(path) {
  const { createStore, StoreAppender } = await import("../dist/logger/index.js");
  const { mixedFrames } = await import("../dist/test/bench/mixed-frames.js");
  await createStore(path, { sizeBytes: 2 ** 24 });
  const appender = await StoreAppender.open(path);
  for (let port = 0; port < 4; port++) appender.addInterface(`port${port}`);
  await appender.append(mixedFrames(0, 100, { rareEvery: 10 }));
  await appender.close();
}

/** In a process of its own: as a user's command runs. */
async function runOnce(command) {
  const file = join(folder, `${command}.cjs`);
  const script = new Script(readFileSync(file, "latin1"), { filename: file });
  const moduleUrl = pathToFileURL(join(dirname(folder), "main.cjs")).href;
  const { start } = script.runInThisContext()(createRequire(moduleUrl), moduleUrl);
  process.on("exit", () => {
    writeFileSync(`${file}.new`, script.createCachedData(), { flush: true });
    renameSync(`${file}.new`, `${file}.cache`);
  });
  await start([command, ...(words[command] ?? [])]);
}

async function runAll() {
  const work = mkdtempSync(join(tmpdir(), "paste-switch-cache-"));
  try {
    await makeStore(join(work, "a.store")).catch(() => {}); // no addon yet: commands say so, and end
    const env = { ...process.env, PASTE_SWITCH_CONTROL: join(work, "no-daemon") };
    for (const name of readdirSync(folder).filter((name) => name.endsWith(".cjs")))
      spawnSync(process.execPath, [self, basename(name, ".cjs")], {
        cwd: work,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        timeout: 60_000,
      });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[2]) await runOnce(process.argv[2]);
else if (existsSync(folder)) await runAll();
