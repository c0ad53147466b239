// Commands run from bundles with V8's code beside them (scripts/bundle.mjs): that they do, and that nobody can tell.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import test from "ava";
import { packageRoot } from "../support/skip.js";
import { runCli } from "./run-cli.js";

const folder = join(packageRoot, "dist", "cli", "bundles");
const names = readdirSync(folder).filter((name) => name.endsWith(".cjs"));

test("the commands that are asked most have bundles", (t) => {
  t.deepEqual(
    ["export.cjs", "query.cjs", "stats.cjs"].filter((name) => !names.includes(name)),
    [],
  );
});

for (const name of names) {
  test(`${name}: V8 takes the code that lies beside it`, (t) => {
    const cachedData = readFileSync(join(folder, `${name}.cache`));
    const script = new Script(readFileSync(join(folder, name), "latin1"), { cachedData });
    t.false(script.cachedDataRejected, "it was made by another Node: npm run build");
  });

  test(`${name}: the command helps and refuses as it does from its modules`, async (t) => {
    const command = name.replace(".cjs", "");
    for (const words of [["--help"], ["--nonsense"]]) {
      const modules = await runCli([command, ...words], { env: { PASTE_SWITCH_DEBUG: "1" } });
      t.deepEqual(await runCli([command, ...words]), modules);
    }
  });
}
