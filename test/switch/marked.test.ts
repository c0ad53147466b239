// What lies in the store already is marked in place: its port hears which of its frames the log keeps.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { StoreReader } from "../../logger/reader.js";
import { createStore } from "../../logger/store.js";
import { loadAddon } from "../../native/load.js";
import { skip } from "../support/skip.js";

interface Wanted {
  length: number;
  selected: boolean;
}
type MarkedFrames = (
  storePath: string,
  persist: "auto" | "pack" | "mark",
  filledByDevice: boolean,
  frames: readonly Wanted[],
) => boolean[];
const markedFrames: MarkedFrames = (...given) =>
  (loadAddon("paste_switch_test") as unknown as { markedFrames: MarkedFrames }).markedFrames(...given);

const lengths = [60, 1023, 1024, 9000];
const frames = [...lengths.map((length) => ({ length, selected: true })), { length: 1500, selected: false }];

for (const [persist, filledByDevice, expected] of [
  ["auto", true, [false, false, true, true, false]],
  ["auto", false, [false, false, false, false, false]],
  ["mark", false, [true, true, true, true, false]],
  ["pack", true, [false, false, false, false, false]],
] as const)
  test(`persist ${persist}, buffers filled by ${filledByDevice ? "a device" : "the processor"}: a frame comes back as marked when its record names its bytes in place`, async (t) => {
    if (!existsSync("/dev/shm")) return skip(t, "no memory medium: nothing can be marked in place");
    const folder = mkdtempSync("/dev/shm/paste-switch-marked-");
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "store");
    await createStore(path, { sizeBytes: 32 << 20, blockBytes: 256 << 10 });
    t.deepEqual(markedFrames(path, persist, filledByDevice, frames), [...expected]);
    const reader = new StoreReader(path);
    const logged: number[] = [];
    for await (const batch of reader.frames()) for (let i = 0; i < batch.count; i++) logged.push(batch.bytes(i).length);
    reader.close();
    t.deepEqual(logged, lengths, "all that was selected is in the log, either way");
  });
