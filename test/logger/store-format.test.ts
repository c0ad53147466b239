// logger/FORMAT.md and logger/layout.ts say what the code does: the worked example is written anew and compared, and every field that
// the layout has is named in the document.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { checkLayout, constants, layoutDifferences, structs } from "../../logger/layout.js";
import { createStore } from "../../logger/store.js";
import { storeAddon } from "../../native/store.js";
import { openDriver, storeFolder } from "../support/native-store.js";
import { packageRoot } from "../support/skip.js";

const document = readFileSync(join(packageRoot, "logger", "FORMAT.md"), "utf8");

/** Lines of 16 bytes, "offset  hex", as the document shows them. */
function dump(bytes: Uint8Array, at: number): string {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += 16) {
    const row = [...bytes.subarray(i, i + 16)].map((byte) => byte.toString(16).padStart(2, "0"));
    lines.push(`${(at + i).toString(16).padStart(6, "0")}  ${row.slice(0, 8).join(" ")}  ${row.slice(8).join(" ")}`);
  }
  return lines.join("\n");
}

test("the worked example in FORMAT.md is what the code writes", async (t) => {
  const path = join(storeFolder(t), "example.store");
  await createStore(path, { sizeBytes: 9 * 65536, blockBytes: 65536 });
  const store = openDriver(path);
  store.describePort(0, 7, "vale0:a");
  const arp = "ffffffffffff 020000000001 0806 0001080006040001 020000000001 0a000001 000000000000 0a000002";
  const bytes = Buffer.concat([Buffer.from(arp.replaceAll(" ", ""), "hex"), Buffer.alloc(18)]);
  store.write(
    0,
    [{ bytes, timeNs: 1_700_000_000_000_000_000n, ingress: 7, flags: 2 | 4, copiesReserved: 2, framed: 1 }],
    true,
  );
  store.close();
  const file = readFileSync(path);
  const records = dump(file.subarray(0x10040, 0x10140), 0x10040);
  const seal = dump(file.subarray(0x4040, 0x4080), 0x4040);
  for (const [what, text] of [
    ["records", records],
    ["seal", seal],
  ] as const)
    if (!document.includes(text)) t.fail(`FORMAT.md shows other ${what} than the code writes:\n${text}`);
  t.is(dump(file.subarray(0x4000, 0x4008), 0x4000), "004000  05 00 00 00 00 00 00 00  ");
});

for (const [name, struct] of Object.entries(structs))
  test(`FORMAT.md names every field of ${name}`, (t) => {
    for (const field of Object.keys(struct.fields))
      if (!field.startsWith("reserved")) t.regex(document, new RegExp(`\\b${field}\\b`));
  });

test("the addon and layout.ts agree, and a difference is said", (t) => {
  const layout = storeAddon().storeLayout();
  t.deepEqual(layoutDifferences(layout), []);
  const other = structuredClone(layout);
  other.structs.RecordHeader!.fields.sequence![0] = 12;
  other.constants.kVersion = constants.kVersion + 1n;
  t.is(layoutDifferences(other).length, 2);
  t.throws(() => checkLayout(other), { code: "INTERNAL", message: /kVersion is 1 here and 2 in the addon/ });
});
