// Builds the native addon with node-gyp. Uses Node's own headers where they lie beside its binary, so that nothing is
// downloaded; `--test` builds the addon of the tests too. Exits 1 with one line that says what is missing.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const leastGcc = 11;
const withTests = process.argv.includes("--test");

function fail(message) {
  process.stderr.write(`paste-switch: ${message}\n`);
  process.exit(1);
}

function present(command, args) {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

if (process.platform !== "linux") fail(`the addon builds on Linux only, this is ${process.platform}`);
if (!existsSync(join(root, "node_modules", "node-addon-api")) && !resolvable("node-addon-api"))
  fail("node-addon-api is not installed: run `npm ci`");
if (!present("python3", ["--version"])) fail("python3 is missing: node-gyp needs it (Debian: apt install python3)");
if (!present("make", ["--version"])) fail("make is missing (Debian: apt install make)");
checkCompiler(process.env.CXX ?? "g++");

/** `cxx` as make takes it: a program, with arguments perhaps. */
function checkCompiler(cxx) {
  const [command, ...args] = cxx.trim().split(/\s+/);
  const { status, stdout } = spawnSync(command, [...args, "--version"], { encoding: "utf8" });
  if (status !== 0)
    fail(`the C++ compiler ${cxx} is missing: GCC ${leastGcc} or later is needed (Debian: apt install g++)`);
  if (/clang/i.test(stdout)) return;
  const version = spawnSync(command, [...args, "-dumpversion"], { encoding: "utf8" }).stdout.trim();
  if (Number.parseInt(version, 10) < leastGcc)
    fail(`${cxx} is GCC ${version}: ${leastGcc} or later is needed; CXX=... chooses another compiler`);
}

function resolvable(name) {
  try {
    createRequire(join(root, "package.json")).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** node-gyp as npm carries it: npm names it to every script that it runs; else it is looked for beside node. */
function nodeGyp() {
  const beside = join(dirname(process.execPath), "..", "lib", "node_modules", "npm", "node_modules", "node-gyp", "bin");
  const candidates = [process.env.npm_config_node_gyp, join(beside, "node-gyp.js")];
  return candidates.find((path) => path && existsSync(path));
}

const gyp = nodeGyp();
if (!gyp) fail("node-gyp was not found: build through npm (`npm run build`)");

const args = [gyp, existsSync(join(root, "build", "config.gypi")) ? "build" : "rebuild"];
const headers = join(dirname(process.execPath), "..");
if (existsSync(join(headers, "include", "node", "node_api.h"))) args.push(`--nodedir=${headers}`);
if (args[1] === "build") {
  // binding.gyp may have changed since the last configure: configuring again costs a second and is always right.
  args[1] = "configure";
  run([...args, ...gypDefines()]);
  args[1] = "build";
}
run([...args, ...gypDefines()]);

function gypDefines() {
  return withTests ? ["--", "-Dwith_tests=1"].slice(args[1] === "build" ? 2 : 0) : [];
}

function run(argv) {
  const env = { ...process.env, JOBS: process.env.JOBS ?? "max" };
  const result = spawnSync(process.execPath, argv, { cwd: root, env, encoding: "utf8" });
  if (result.status === 0) return;
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`;
  process.stderr.write(output);
  if (/headers|ENOTFOUND|ECONNREFUSED|EAI_AGAIN/.test(output) && !existsSync(join(headers, "include", "node")))
    fail(`Node's headers are not at ${headers}/include/node and could not be downloaded: install them there`);
  fail("the addon did not build; the compiler's messages are above (GCC 11 or later is needed)");
}
