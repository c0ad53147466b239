// The native halves of the benchmarks do what they measure: nothing is lost, every byte is right, every frame is logged.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { createStore } from "../../logger/store.js";
import { benchForward, benchSink, benchSource, type ForwardSide } from "../../native/bench.js";
import { liveSwitch, until } from "../support/live-switch.js";

test("forward: two sizes in turn, no frame lost or wrong, one figure a round", async (t) => {
  const sides: ForwardSide[] = [{ framesPerRound: 5000 }, { framesPerRound: 5000, frameBytes: 1514 }];
  for (const result of await benchForward(sides, 3)) {
    t.is(result.nsPerFrame.length, 3);
    t.true(result.nsPerFrame.every((ns) => ns > 0));
    t.true(result.sent >= 15_000);
    t.is(result.lost, 0);
    t.is(result.wrong, 0);
    t.is(result.logged, 0);
    t.true(result.buffers >= 4096);
  }
});

for (const log of ["pack", "mark"] as const)
  for (const strict of [true, false])
    test(`log: every frame is logged, ${log}, ${strict ? "strict" : "relaxed"}`, async (t) => {
      const folder = mkdtempSync(join(log === "mark" ? "/dev/shm" : tmpdir(), "paste-switch-bench-"));
      t.teardown(() => rmSync(folder, { recursive: true }));
      const storePath = join(folder, "store");
      await createStore(storePath, { sizeBytes: 32 << 20 });
      const [result] = await benchForward([{ framesPerRound: 5000, frameBytes: 256, log, strict, storePath }], 2);
      t.is(result?.lost, 0);
      t.is(result?.wrong, 0);
      t.is(result?.logged, result?.sent);
      t.is(result?.notLogged, 0);
      t.true((result?.mediumBytes ?? 0) > (result?.sent ?? 0) * 64);
    });

test("options that make no sense are refused", async (t) => {
  await t.throwsAsync(benchForward([{ frameBytes: 63 }], 1), { message: /frameBytes/ });
  await t.throwsAsync(benchForward([{ ports: 8, burst: 32, slots: 256 }], 1), { message: /fit one ring/ });
  await t.throwsAsync(benchForward([{ log: "pack", storePath: "/nowhere/store" }], 1));
});

test("source and sink: numbered frames arrive in order, losses are seen", async (t) => {
  const s = await liveSwitch(t);
  const sink = benchSink({ socket: s.socket, name: "vale0:sink", durationMs: 5000, framesMax: 20_000, slots: 4096 });
  const attached = () => s.engine.stats().ports.length > 0; // before, there is no vale0
  await until(() => attached() && s.engine.macList("vale0").length > 0, "the sink announced itself");
  const sent = await benchSource({
    socket: s.socket,
    name: "vale0:source",
    durationMs: 20_000,
    framesMax: 20_000,
    framesPerSecond: 50_000,
  });
  const received = await sink;
  t.is(sent.frames, 20_000);
  t.is(received.wrong, 0);
  t.is(received.disordered, 0);
  t.true(received.frames + received.lost <= 20_000);
  t.true(received.frames > 0);
});
