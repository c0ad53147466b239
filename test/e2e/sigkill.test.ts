// The contract's second point with real processes: the daemon is killed at random moments under traffic, again and again on the
// same store. What the receivers' own processes saw is held against what recovery gives back; the daemon is not asked.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { openStore } from "../../logger/reader.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { judge } from "../../switch/demo/acknowledged.js";
import { DaemonProcess, runCommand } from "../../switch/demo/command.js";
import { readRecovered } from "../../switch/demo/recovered.js";
import { Station } from "../../switch/demo/station.js";
import { framesOf } from "../../switch/demo/traffic.js";

const rule = "ip or ip6";
const kills = Number(process.env.SIGKILL_ROUNDS ?? 100);
const seed = Number(process.env.SIGKILL_SEED ?? Date.now() % 1_000_000);

/** A small generator of moments (an LCG with the constants of Numerical Recipes): the same seed, the same moments. */
function randomMoments(from: number) {
  let state = from >>> 0;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

async function nextSequence(path: string): Promise<bigint> {
  const reader = openStore(path);
  try {
    return (await reader.info()).nextSequence;
  } finally {
    reader.close();
  }
}

async function killAgainAndAgain(
  t: { log(...values: unknown[]): void },
  storeFolder: string,
  rounds: number,
  trafficMs: number,
): Promise<{ seen: number; missing: number; quiet: number }> {
  const folder = mkdtempSync(join(tmpdir(), "paste-switch-kill-"));
  const store = join(storeFolder, "kill.store");
  const env = { PASTE_SWITCH_CONTROL: join(folder, "control.sock") };
  const args = ["daemon", "--store", store, "--log", rule];
  const moment = randomMoments(seed);
  const stations: Station[] = [];
  const total = { seen: 0, missing: 0, quiet: 0 };
  let daemon: DaemonProcess | undefined;
  try {
    await runCommand(["store", "create", "--size", "16M", store], env);
    daemon = await DaemonProcess.start(args, env);
    const ports = ["a", "b", "c"];
    for (const port of ports) stations.push(await Station.open(join(folder, "ports.sock"), `vale0:${port}`, rule));
    for (let round = 1; round <= rounds; round++) {
      const { batch } = generateTraffic({ seed: seed + round, hosts: 12, ports: ports.length, frames: 3000 });
      const from = await nextSequence(store);
      for (const [index, station] of stations.entries())
        station.play(framesOf({ frames: batch }, index), 12_000 / ports.length, false);
      await new Promise((resolve) => setTimeout(resolve, 20 + moment(trafficMs)));
      await daemon.kill();
      for (const station of stations) await station.pause();
      const reports = await Promise.all(stations.map((station) => station.report(true)));
      daemon = await DaemonProcess.start(args, env);
      const recovered = await readRecovered(store, from);
      const verdicts = reports.map((report) => judge(report.selected, recovered));
      const missing = verdicts.reduce((sum, verdict) => sum + verdict.missing, 0);
      if (missing > 0) t.log(`seed ${seed}, round ${round}: ${missing} acknowledged frames are missing`);
      total.missing += missing;
      total.seen += verdicts.reduce((sum, verdict) => sum + verdict.seen, 0);
      if (verdicts.every((verdict) => verdict.seen === 0)) total.quiet++;
    }
    return total;
  } finally {
    for (const station of stations) station.close();
    await daemon?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

test(`SIGKILL ${kills} times at random moments: every frame that a receiver saw is recovered`, async (t) => {
  t.timeout(600_000);
  t.log(`SIGKILL_SEED=${seed}`);
  const storeFolder = mkdtempSync("/dev/shm/paste-switch-kill-");
  try {
    const { seen, missing, quiet } = await killAgainAndAgain(t, storeFolder, kills, 100);
    t.log(`${seen} acknowledged frames, ${missing} missing; ${quiet} rounds in which nothing had arrived yet`);
    t.is(missing, 0);
    t.true(seen > kills * 10, "traffic really flowed");
    t.true(quiet < kills / 2, "most kills struck traffic");
  } finally {
    rmSync(storeFolder, { recursive: true, force: true });
  }
});

test("SIGKILL on a disk: group commits come before the frames that wait for them", async (t) => {
  t.timeout(300_000);
  t.log(`SIGKILL_SEED=${seed}`);
  const storeFolder = mkdtempSync(join(tmpdir(), "paste-switch-kill-disk-"));
  try {
    const { seen, missing } = await killAgainAndAgain(t, storeFolder, Math.ceil(kills / 10), 150);
    t.is(missing, 0);
    t.true(seen > 0, "traffic really flowed");
  } finally {
    rmSync(storeFolder, { recursive: true, force: true });
  }
});
