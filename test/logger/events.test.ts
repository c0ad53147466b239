// What a store tells besides frames, as objects: of an import, and of a switch under traffic.
import test from "ava";
import { type StoreEvent, storeEvents } from "../../logger/events.js";
import { generateTraffic } from "../../logger/traffic/traffic-generator.js";
import { packetsOf } from "./print/tcpdump.js";
import { storeWith } from "./store-tools.js";

async function eventsOf(path: string, options = {}): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  for await (const event of storeEvents(path, options)) events.push(event);
  return events;
}

test("an import tells its writer, and its ports where blocks describe them", async (t) => {
  const frames = packetsOf(generateTraffic({ seed: 1, frames: 50 }).batch).map(({ bytes, wireLength, timeNs }) => ({
    data: Buffer.from(bytes),
    wireLength,
    timeNs,
  }));
  const path = await storeWith(t, frames, { ports: ["left"] });
  const events = await eventsOf(path);
  t.deepEqual([...new Set(events.map(({ type }) => type))], ["boot"]);
  const [boot] = events;
  t.true(boot?.type === "boot" && boot.writer.startsWith("paste-switch import") && boot.sequence === 1n);
  const all = await eventsOf(path, { repeated: true, types: ["port"] });
  t.true(
    all.some(
      (event) =>
        event.type === "port" && event.name === "left" && event.kind === "import" && event.event === "described",
    ),
  );
});

test("no store is an error", async (t) => {
  await t.throwsAsync(eventsOf("/dev/null"), { code: "STORE" });
});
