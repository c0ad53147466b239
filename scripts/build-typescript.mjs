// Compiles TypeScript into dist/ and bundles commands (`--check`: types only). Says what is missing when the compiler was left out.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const checkOnly = process.argv.includes("--check");

if (!existsSync(tsc)) {
  process.stderr.write(
    "paste-switch: TypeScript is not installed (--omit=dev leaves it out), so dist/ cannot be built here: " +
      "run `npm ci` with development dependencies, or install the packed tarball\n",
  );
  process.exit(1);
}
if (!checkOnly) rmSync(join(root, "dist"), { recursive: true, force: true });
const result = spawnSync(process.execPath, [tsc, "-p", root, ...(checkOnly ? ["--noEmit"] : [])], { encoding: "utf8" });
if (/Unable to resolve @typescript\//.test(result.stderr ?? "")) {
  process.stderr.write(
    "paste-switch: the TypeScript compiler's binary is an optional package (--omit=optional leaves it out), so dist/ cannot " +
      "be built here: run `npm ci`\n",
  );
  process.exit(1);
}
process.stdout.write(result.stdout ?? "");
process.stderr.write(result.stderr ?? "");
if (result.status !== 0) process.exit(1);
if (!checkOnly) {
  chmodSync(join(root, "dist", "cli", "main.cjs"), 0o755);
  await bundle(root).catch((error) => {
    process.stderr.write(`paste-switch: commands cannot be bundled: ${error.message.split("\n")[0]}: run \`npm ci\`\n`);
    process.exit(1);
  });
  spawnSync(process.execPath, [join(root, "scripts", "code-cache.mjs")], { stdio: "inherit" });
}
