// A process that writes into a store while another follows it: argv store count gapMs. Says on stdout, one line a commit, the
// number of the last frame and when it was durable; "hold" as the fourth argument: stays with the store open until killed.

import { batchOf } from "../../logger/capture/frame-columns.js";
import { StoreAppender } from "../../logger/store.js";

const [store = "", count = "0", gapMs = "1", hold] = process.argv.slice(2);
const appender = await StoreAppender.open(store);
appender.addInterface("follow");
const perCommit = 20;
for (let first = 0; first < Number(count); first += perCommit) {
  const frames = Array.from({ length: perCommit }, (_, i) => {
    const data = Buffer.alloc(100, first + i);
    data.writeUInt32LE(first + i);
    return { data, timeNs: BigInt(first + i) };
  });
  await appender.append(batchOf(frames));
  await appender.flush();
  process.stdout.write(`${first + perCommit - 1} ${process.hrtime.bigint()}\n`);
  if (Number(gapMs) > 0) await new Promise((resolve) => setTimeout(resolve, Number(gapMs)));
}
if (hold) setInterval(() => undefined, 1000);
else await appender.close();
