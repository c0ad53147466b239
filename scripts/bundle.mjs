// Bundles commands, each with all of its modules in one file (dist/cli/bundles/NAME.cjs): to find, read and link 70 modules takes a process longer
// than most questions. cli/main.cts starts them; scripts/code-cache.mjs puts V8's code beside them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Not those that start other files of this package, which look for them beside themselves, nor the one that has an entry of its own. */
const loose = ["bench", "demo", "extcap"];

/** Throws where esbuild is missing, and where a module cannot be bundled. */
export async function bundle(root) {
  const { build } = await import("esbuild");
  const commands = readdirSync(join(root, "dist", "cli", "commands"))
    .filter((name) => name.endsWith(".js"))
    .map((name) => name.replace(".js", ""));
  for (const command of commands.filter((name) => !loose.includes(name)))
    await build({
      entryPoints: [join(root, "dist", "cli", "start.js")],
      outfile: join(root, "dist", "cli", "bundles", `${command}.cjs`),
      bundle: true,
      platform: "node",
      target: "node20",
      format: "cjs",
      minifySyntax: true,
      minifyWhitespace: true,
      legalComments: "none",
      logLevel: "warning",
      // A script of node:vm has no import().
      supported: { "dynamic-import": false },
      define: { "import.meta.url": "moduleUrl" },
      banner: { js: "((require, moduleUrl) => { const module = { exports: {} };" },
      footer: { js: "return module.exports; })" },
      plugins: [modulesOf(command)],
    });
}

/** Of a command's bundle: the other commands stay out, packages come in. */
const modulesOf = (command) => ({
  name: "modules",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/commands\// }, ({ path }) =>
      path === `./commands/${command}.js` ? undefined : { path, external: true },
    );
    onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, "utf8").replaceAll("requirePackage(", "require(");
      if (/new URL\([^)]*import\.meta/.test(contents))
        return { errors: [{ text: `${path} looks for a file beside itself, which it is not in a bundle` }] };
      return { contents, loader: "js" };
    });
  },
});
