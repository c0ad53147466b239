import test from "ava";
import { frame, liveSwitch, sumsHold, textOf } from "../support/live-switch.js";

test("a frame to an unknown station floods; after the station spoke, only its port gets it", async (t) => {
  const s = await liveSwitch(t);
  const [a, b, c] = [s.open("vale0:a"), s.open("vale0:b"), s.open("vale0:c")];
  c.send([frame(0, 3, "hello")]);
  await s.settled();
  t.deepEqual(
    [a.receive(), b.receive(), c.receive()].map((f) => f.map(textOf)),
    [["hello"], ["hello"], []],
  );
  a.send([frame(3, 1, "to c")]);
  await s.settled();
  t.deepEqual(
    [a.receive(), b.receive(), c.receive()].map((f) => f.map(textOf)),
    [[], [], ["to c"]],
  );
  sumsHold(t, s.engine.stats());
});
