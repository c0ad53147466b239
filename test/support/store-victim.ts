// A process to be killed: appends numbered frames to a store and tells, over its standard output, which are durable.
// Arguments: the store, frames per batch. One line "sequence count" after each batch whose ticket is durable.
import { openDriver } from "./native-store.js";

const [path = "", batch = "10"] = process.argv.slice(2);
const store = openDriver(path, { startKeeper: 1, full: 1 });
const lengths = [60, 1514, 300, 9000, 64, 40_000];
let count = 0;

function next() {
  const frames = Array.from({ length: Number(batch) }, () => {
    const bytes = Buffer.alloc(lengths[count % lengths.length]!, count & 0xff);
    bytes.writeUInt32LE(count++, 0);
    return { bytes, timeNs: 1n, framed: 1 as const };
  });
  // One frame at a time: behind one that has to wait for the keeper, none may take its place. The last one commits the batch.
  let ticket = 0n;
  for (const [index, frame] of frames.entries()) {
    let plan: string | undefined;
    do {
      const written = store.write(0, [frame], index === frames.length - 1);
      plan = written.plans[0];
      ticket = written.ticket ?? ticket;
    } while (plan === "block");
    if (plan !== "room") {
      setInterval(() => {}, 1000); // full: wait for the end
      return;
    }
  }
  while (store.durable(0) < ticket);
  process.stdout.write(`${ticket} ${count}\n`, () => setImmediate(next));
}
next();
