// Audit and what-if from the command line, over what two lives of a daemon recorded.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { DaemonProcess, numberedFrame, receiveFrames, smallStore, testFolder } from "../switch/daemon-process.js";
import { runCli } from "./run-cli.js";

const configuration = (vlans: readonly number[]) =>
  `${vlans.map((vlan, i) => `[[port]]\nname = "vale0:${"abc"[i]}"\naccess = ${vlan}\n`).join("")}[[rule]]\nname = "all"\n`;

test("audit reproduces a store, exits 1 when it cannot, and tells what another configuration would do", async (t) => {
  const folder = testFolder(t);
  const file = (name: string, vlans: readonly number[]) => {
    writeFileSync(join(folder, name), configuration(vlans));
    return join(folder, name);
  };
  const recorded = file("recorded.toml", [5, 5, 6]);
  const planned = file("planned.toml", [5, 6, 6]);
  for (let life = 0; life < 2; life++) {
    const daemon = await DaemonProcess.start(t, folder, ["-f", recorded, ...smallStore]);
    const [a, b, c] = ["a", "b", "c"].map((name) => daemon.open(t, `vale0:${name}`));
    await new Promise((resolve) => setTimeout(resolve, 300)); // floods are judged 100 ms behind the last port that came
    await a!.sendAll([numberedFrame(1, 2, 0, 64)]);
    await receiveFrames(b!, 1);
    await b!.sendAll([numberedFrame(2, 1, 1, 64)]);
    await receiveFrames(a!, 1);
    await c!.sendAll([numberedFrame(3, 1, 2, 64)]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (life === 1) {
      await daemon.cli("port", "add", "vale0:later,trunk=5+10-20,native=5");
      const running = await daemon.cli("audit");
      t.is(running.stdout, "6 frames: 6 as recorded, 0 differ\n");
      t.is(running.stderr, `configuration: ${recorded}, the running daemon's ports\n`);
    }
    for (const port of [a, b, c]) port!.close();
    t.is(await daemon.end(), 0);
  }
  const store = join(folder, "s.store");
  const audit = (...args: string[]) =>
    runCli(["audit", "-r", store, ...args], { env: { PASTE_SWITCH_CONTROL: join(folder, "c") } });
  const right = await audit("-f", recorded);
  t.is(right.status, 0, right.stdout + right.stderr);
  t.is(right.stdout, "6 frames: 6 as recorded, 0 differ\n");
  t.is(right.stderr, `configuration: ${recorded}\n`);
  t.is((await audit()).stderr.split(":")[1], " none, so ports are taken as transparent");

  const wrong = await audit("-f", planned, "--utc");
  t.is(wrong.status, 1);
  t.regex(wrong.stdout, /^sequence +time +from +recorded +the switch does\n/);
  t.regex(wrong.stdout, /vale0:a +flooded, 1 copy +dropped: no_destination\n/);
  t.regex(wrong.stdout, /vale0:b +vale0:a +flooded to vale0:c\n/);
  t.regex(wrong.stdout, /^6 frames: 0 as recorded, 6 differ$/m);

  const other = await audit("-f", recorded, "--what-if", planned, "-n", "1");
  t.is(other.status, 0);
  t.regex(other.stdout, /vale0:a +flooded to vale0:b +dropped: no_destination\n\.\.\. and 5 more\n/);
  t.regex(other.stdout, /^6 frames: 0 unchanged, 6 would have gone elsewhere$/m);

  const json = JSON.parse((await audit("-f", recorded, "--what-if", recorded, "--json")).stdout);
  t.is(json.same, 6);
  const typed = await audit("--port", "vale0:a,access=5", "--port", "vale0:b,access=5", "--port", "vale0:c,access=6");
  t.is(typed.status, 0, typed.stdout);
  t.is((await audit("-f", join(folder, "none.toml"))).status, 2);

  const bytes = readFileSync(store);
  const frame = numberedFrame(3, 1, 2, 64);
  bytes[bytes.indexOf(frame) - 64 + 17]! ^= 1; // in its record's header
  writeFileSync(store, bytes);
  const damaged = await audit("-f", recorded);
  t.is(damaged.status, 1, damaged.stdout);
  t.regex(damaged.stdout, /^5 frames: /m);
  t.regex(damaged.stderr, /^paste-switch: what lay at 1 damaged place of the store is left out/m);
});
