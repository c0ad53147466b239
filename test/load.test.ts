import test from "ava";
import { loadAddon } from "../native/load.js";

test("the addon loads", (t) => {
  t.truthy(loadAddon("paste_switch"));
});
