import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import test from "ava";
import { packageRoot, skip, skipPart } from "../../support/skip.js";
import { hasTool, runTool } from "../../support/tools.js";
import { type ReadFrame, readAll } from "./read-all.js";

const folder = resolve(packageRoot, "..", "shared", "captures");
const files = existsSync(folder)
  ? readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.endsWith(".md"))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  : [];

/** Four tests over a quarter of the files each: ava shows where one hangs, and a process per file is not needed. */
for (let quarter = 0; quarter < 4; quarter++)
  test(`real captures have the frames, lengths and times that tcpdump finds (${quarter + 1} of 4)`, async (t) => {
    if (files.length === 0) return skip(t, "no real captures beside the project (../shared/captures)");
    if (!hasTool("tcpdump")) return skip(t, "tcpdump is not installed");
    t.timeout(120_000);
    for (const file of files.filter((_, i) => i % 4 === quarter)) {
      const name = file.slice(folder.length + 1);
      const { frames, error, reader } = await readAll(file);
      const output = runTool("tcpdump", ["-r", file, "-w", "-", "--time-stamp-precision=nano"]);
      if (output === null) {
        skipPart(t, `tcpdump cannot read ${name}`);
        continue;
      }
      t.is(error, null, name);
      const expected = (await readAll(output)).frames;
      t.is(frames.length, expected.length, `${name}: frames`);
      // tcpdump cuts at the snapshot length of the file header; here such frames are kept whole, with a warning.
      const snaplen = reader!.interfaces[0]!.snaplen || 262144;
      const wrong = expected.findIndex((frame, i) => !sameFrame(frame, frames[i]!, snaplen));
      t.is(wrong, -1, `${name}: frame ${wrong + 1}`);
    }
  });

function sameFrame(expected: ReadFrame, frame: ReadFrame, snaplen: number): boolean {
  return (
    expected.timeNs === frame.timeNs &&
    expected.wireLength === frame.wireLength &&
    expected.data.equals(frame.data.subarray(0, snaplen))
  );
}
