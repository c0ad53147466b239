// Filters that ask records, from the command line, over what a daemon recorded.
import { join } from "node:path";
import test from "ava";
import { DaemonProcess, numberedFrame, receiveFrames, smallStore, testFolder } from "../switch/daemon-process.js";
import { runCli } from "./run-cli.js";

test("export with words about records, from a running daemon's store", async (t) => {
  const folder = testFolder(t);
  const daemon = await DaemonProcess.start(t, folder, [...smallStore]);
  t.is((await runCli(["rule", "add", "--control", daemon.control, "--name", "all"])).status, 0);
  const a = daemon.open(t, "vale0:a");
  const b = daemon.open(t, "vale0:b");
  await a.sendAll([numberedFrame(1, 2, 0, 64)]);
  await receiveFrames(b, 1);
  await b.sendAll(Array.from({ length: 5 }, (_, n) => numberedFrame(2, 1, n, 64)));
  t.is((await receiveFrames(a, 5)).length, 5);
  await a.sendAll([...Array.from({ length: 3 }, () => numberedFrame(1, 1, 7, 64)), numberedFrame(1, 2, 8, 64)]);
  t.is((await receiveFrames(b, 1)).length, 1); // a's three to itself were dropped before it
  const store = join(folder, "s.store");
  const run = (...filter: string[]) => runCli(["export", "-r", store, "-w", join(folder, "out.pcapng"), ...filter]);
  const cases: readonly (readonly [filter: string, frames: number])[] = [
    ["in-port vale0:a", 5],
    ["in-port vale0:b and forwarded", 5],
    ["out-port vale0:a", 5],
    ["out-port vale0:?", 6],
    ["flooded", 1],
    ["dropped", 3],
    ["dropped hairpin and in-port vale*", 3],
    ["not dropped and not ether src 02:00:00:00:00:02", 2],
    ["rule all and not flooded", 9],
    ["after 1h ago and before now", 10],
    ["before 1h ago", 0],
    ["after yesterday and out-port vale0:b", 1],
  ];
  for (const [filter, frames] of cases) {
    const { status, stderr } = await run(...filter.split(" "));
    t.is(status, 0, stderr);
    t.regex(stderr, new RegExp(`^${frames} frames?, `, "m"), filter);
  }
  const unknown = await run("in-port", "vale0:x");
  t.is(unknown.status, 2);
  t.regex(unknown.stderr, /filter: no record names a port "vale0:x" at column 9: did you mean "vale0:a"\?\n$/);
  const capture = join(folder, "out.pcapng");
  const refused = await runCli(["export", "-r", capture, "-w", join(folder, "again.pcapng"), "dropped"]);
  t.is(refused.status, 2);
  t.true(
    refused.stderr.endsWith(`filter: "dropped" needs a store at column 1: ${capture} is a capture\n`),
    refused.stderr,
  );
  const flow = ["flow", "10.0.0.1:40000", "[::1]:443", "tcp"];
  t.is((await runCli(["rule", "add", "--control", daemon.control, ...flow])).status, 2);
  flow[2] = "10.0.0.2:443";
  t.is((await runCli(["rule", "add", "--control", daemon.control, ...flow])).status, 0);
  const rule = await runCli(["rule", "add", "--control", daemon.control, "tcp and after 14:00"]);
  t.is(rule.status, 2);
  t.regex(rule.stderr, /filter: "after" asks for more than bytes at column 9: rules see/);
});
