import test from "ava";
import { pmem } from "../support/native-pmem.js";

test("the clock tells wall-clock time", (t) => {
  const clock = pmem.createClock();
  for (let i = 0; i < 5; ++i) {
    const before = BigInt(Date.now());
    const now = clock.now() / 1_000_000n;
    const after = BigInt(Date.now());
    t.true(now >= before - 2n && now <= after + 2n, `${before} ${now} ${after}`);
    t.false(clock.calibrate().stepped);
  }
});

// A calibrator that loses its core in the middle leaves readers on the old line meanwhile: at a slew of at most 0.1 % they are
// 1 ns ahead for each microsecond of that. Lanes clamp it (logger/store-write.test.ts); a wrong line would be off by far more.
test("calibrated without a pause, the clock runs back at most by the slew while its calibrator was away", (t) => {
  const calibratorAwayNsMax = 100_000_000;
  t.true(pmem.createClock().backwards(20_000) <= calibratorAwayNsMax / 1000);
});

test("a held clock stands still, does not step, and runs again when let go", (t) => {
  const clock = pmem.createClock();
  clock.hold(1_700_000_000_000_000_000n);
  t.is(clock.now(), 1_700_000_000_000_000_000n);
  t.false(clock.calibrate().stepped);
  t.is(clock.now(), 1_700_000_000_000_000_000n);
  clock.hold(0n);
  t.true(clock.now() > 1_700_000_000_000_000_000n);
});
