import test from "ava";
import { reported, table } from "./bench/report.js";
import { median, medianRatio, summarize } from "./bench/statistics.js";

test("the median is the middle value, or the mean of the two middle ones", (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.throws(() => median([]), { instanceOf: RangeError });
});

test("ratios are taken pair by pair, so that a drift of the machine cancels out", (t) => {
  t.is(medianRatio([2, 4, 8], [1, 2, 4]), 2);
  t.throws(() => medianRatio([1], []), { instanceOf: RangeError });
});

test("a summary keeps count and range", (t) => {
  t.deepEqual(summarize([5, 1, 3]), { n: 3, min: 1, median: 3, max: 5 });
});

test("a report pairs rows of the same bench and size, and prints one line a row", (t) => {
  const rows = reported([
    { bench: "log", what: "none", sizeBytes: 64, unit: "ns/frame", samples: [10, 20] },
    { bench: "log", what: "pack", sizeBytes: 64, unit: "ns/frame", samples: [20, 40], pairedWith: "none" },
    { bench: "log", what: "pack", sizeBytes: 128, unit: "ns/frame", samples: [20, 40], pairedWith: "none" },
  ]);
  t.deepEqual(
    rows.map((row) => row.ratio),
    [undefined, 2, undefined],
  );
  t.is(table(rows).split("\n").length, 4);
});
