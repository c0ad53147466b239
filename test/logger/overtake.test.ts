// A store of 2 MiB that is overwritten at full speed while one reader scans it over and over and another follows it.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { loadAddon } from "../../native/load.js";

interface Tally {
  read: number;
  passes: number;
  wrong: number;
  disordered: number;
  overtaken: number;
  corrupt: number;
  failure: string;
}
const { overtake } = loadAddon("paste_switch_test") as unknown as {
  overtake(
    path: string,
    options: { sizeBytes: number; frames: number; passes: number },
  ): {
    written: number;
    scanner: Tally;
    follower: Tally;
  };
};

// About 1500 bytes a frame; memory goes round the store more often than a disk does in the same time.
const sizeBytes = 2 << 20;
const rounds: Record<string, number> = { "/dev/shm": 40 };

for (const folder of ["/dev/shm", tmpdir()].filter((path) => existsSync(path)))
  test(`${folder}: a reader that is overtaken misses records and counts it, but never returns a wrong byte`, (t) => {
    const own = mkdtempSync(join(folder, "paste-switch-overtake-"));
    const frames = ((rounds[folder] ?? 4) * sizeBytes) / 1500;
    try {
      const { written, scanner, follower } = overtake(join(own, "a.store"), { sizeBytes, frames, passes: 8 });
      t.log(`${written} frames written; scanner ${JSON.stringify(scanner)}; follower ${JSON.stringify(follower)}`);
      for (const reader of [scanner, follower]) {
        t.is(reader.failure, "");
        t.is(reader.wrong, 0);
        t.is(reader.disordered, 0);
        t.is(reader.corrupt, 0);
        t.true(reader.read > 0);
      }
      t.true(written >= frames, "the store was overwritten several times");
      t.true(scanner.passes >= 8);
    } finally {
      rmSync(own, { recursive: true });
    }
  });
