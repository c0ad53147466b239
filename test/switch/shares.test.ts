// What several users share: one who takes all he can get leaves enough for the others.
import { spawn } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { packageRoot } from "../../native/load.js";
import { openPort } from "../../native/port-client.js";
import { ControlClient } from "../../switch/control-client.js";
import { openTap } from "../support/live-taps.js";
import { makeHub } from "../support/native-ports.js";
import { asNobody, nobody, nobodyReads } from "../support/other-user.js";
import { DaemonProcess, testFolder } from "./daemon-process.js";

const program = join(packageRoot(), "dist", "test", "support", "greedy-client.js");

/** Starts the greedy program as nobody, and gives what it got; it keeps that until the test ends. */
async function greedy(t: ExecutionContext, kind: string, path: string): Promise<{ got: number; why: string }> {
  const child = spawn(asNobody[0], [...asNobody.slice(1), process.execPath, program, kind, path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  let said = "";
  for await (const text of child.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    said += text;
    if (said.endsWith("\n")) break;
  }
  return JSON.parse(said);
}

function openFolder(t: ExecutionContext): string {
  const folder = testFolder(t);
  chmodSync(folder, 0o711);
  return folder;
}

for (const [kind, most, why, next] of [
  ["taps", 8, /user 65534 has its share of taps, 8 of 16: close one/, (t, { ports }) => openTap(t, ports)],
  [
    "ports",
    128,
    /user 65534 has its share of the switch's ports, 128 of 256: close some/,
    (t, daemon) => daemon.open(t, "vale0:mine"),
  ],
  [
    "control",
    32,
    /user 65534 has its share of control connections, 32 of 64: close some/,
    async (_, { control }) => (await ControlClient.connect(control)).close(),
  ],
] as [string, number, RegExp, (t: ExecutionContext, daemon: DaemonProcess) => unknown][])
  test(`one user of a group takes half of what there is of ${kind}, and no more`, async (t) => {
    if (!nobodyReads(t, program)) return;
    const daemon = await DaemonProcess.start(t, openFolder(t), ["--group", String(nobody)]);
    const taken = await greedy(t, kind, kind === "control" ? daemon.control : daemon.ports);
    t.is(taken.got, most);
    t.regex(taken.why, why);
    await t.notThrowsAsync(async () => next(t, daemon));
  });

test("one user takes half of the connections to ports.sock, and no more", async (t) => {
  if (!nobodyReads(t, program)) return;
  const path = join(openFolder(t), "p.sock");
  const hub = makeHub();
  hub.listen(path, undefined, 6, undefined, nobody);
  const taken = await greedy(t, "ports", path);
  t.is(taken.got, 3);
  t.regex(taken.why, /user 65534 has its share of the daemon's connections, 3 of 6: close some/);
  openPort({ socket: path, name: "vale0:mine", slots: 16 }).close();
  hub.stop();
});
