// Bundles commands that answer and end, and the daemon, each with all of its modules in one file (dist/cli/bundles/NAME.cjs): to find, read and link 70 modules
// takes a process longer than most questions. cli/main.ts starts them; scripts/code-cache.mjs puts V8's code beside them.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const commands = ["export", "query", "trace", "store", "import", "audit", "stats", "port", "rule", "mac", "daemon"];

/** Throws where esbuild is missing, and where a module cannot be bundled. */
export async function bundle(root) {
  const { build } = await import("esbuild");
  for (const command of commands)
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
