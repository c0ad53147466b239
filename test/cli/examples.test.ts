// Each example runs to its end and says what it promises.
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { packageRoot } from "../../native/load.js";
import { namespaces } from "../support/namespaces.js";
import { testFolder } from "../switch/daemon-process.js";

const folder = join(packageRoot(), "dist", "examples");
const expected: Record<string, RegExp> = {
  "two-ports":
    /^bob received: where is bob\?\nbob received: hello, bob\nrule r1 \(udp port 53\) logged 1 of 2 frames$/m,
  "log-kill-recover": /^the last frame in the store is number \d+: nothing that was seen is lost$/m,
  tree: /^reader: 3 entries then, 4 now\nup: 10\.0\.0\.7 on port 5\nup: 10\.0\.0\.7 on port 3\ndown: 10\.0\.0\.9 on port 6\n(down.*\n){3}10\.0\.0\.9 at 4: port 4; /,
  follow: /^\d+ vale0:alice > \* 60 bytes, \d+ ms ago$/m,
};

test("every example is run here", (t) => {
  const programs = readdirSync(folder).filter((name) => name.endsWith(".js") && name !== "frames.js");
  t.deepEqual(programs.map((name) => name.slice(0, -3)).sort(), Object.keys(expected).sort());
});

for (const [name, says] of Object.entries(expected))
  test(`examples/${name}`, async (t) => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, `${name}.js`)], {
      timeout: 60_000,
    });
    t.is(stderr, "");
    t.regex(stdout, says);
  });

test("examples/two-namespaces.sh", async (t) => {
  if (!namespaces(t, "tun", "ping")) return;
  const { stdout } = await promisify(execFile)(join(packageRoot(), "examples", "two-namespaces.sh"), {
    timeout: 60_000,
    env: { ...process.env, TMPDIR: testFolder(t) }, // in memory: a ping does not wait for a disk that is busy with other tests
  });
  t.regex(stdout, / [3-9] received/);
  t.regex(stdout, /^vale0:red +tap +up /m);
});
