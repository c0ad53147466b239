import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { loadAddon } from "../native/load.js";

test("the addon loads", (t) => {
  t.truthy(loadAddon("paste_switch"));
});

test("a missing addon, and one that is none, end in a line with the command that builds it", (t) => {
  const root = mkdtempSync(join(tmpdir(), "paste-switch-load-"));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  t.throws(() => loadAddon("paste_switch", root), {
    code: "RESOURCE",
    message: `the native addon is not built (paste_switch.node is missing): run \`npm run install\` in ${root}`,
  });
  t.throws(() => loadAddon("paste_switch_test", root), { code: "RESOURCE", message: /: run `npm test` in / });

  mkdirSync(join(root, "build", "Release"), { recursive: true });
  writeFileSync(join(root, "build", "Release", "paste_switch.node"), "not a library");
  t.throws(() => loadAddon("paste_switch", root), {
    code: "RESOURCE",
    message: /^the native addon does not load \(.*\): run `npm run install` in \S+$/,
  });
});
