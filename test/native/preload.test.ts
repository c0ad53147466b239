import test, { type ExecutionContext } from "ava";
import { liveSwitch } from "../support/live-switch.js";
import { PortProgram, Programs } from "../support/programs.js";

const programs = new Programs();
test.after.always(() => programs.remove());

/** Each case is a program of its own on a switch of its own: it ends with 0 when all that it checks held. */
const cases: Record<string, string[]> = {
  "descriptors.c": [
    "open-twice",
    "looks-like-a-device",
    "close-twice",
    "duplicates",
    "close-all",
    "fork-and-share",
    "exit-in-a-batch",
    "close-in-a-handler",
    "pass-in-a-message",
    "keep-across-exec",
  ],
  "waiting.c": ["poll-mixed", "poll-for-room", "ppoll-masks", "select-mixed", "epoll-mixed", "many-waiters", "idle"],
};

async function succeeds(t: ExecutionContext, program: PortProgram): Promise<void> {
  const { status, signal, stderr } = await program.ended;
  t.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: "" });
}

for (const [source, names] of Object.entries(cases))
  for (const name of names)
    test(`${source}: ${name}`, async (t) => {
      const live = await liveSwitch(t);
      await succeeds(t, new PortProgram(programs.compile(source), [name], live.socket));
    });

test("two programs: every frame arrives, in order", async (t) => {
  const live = await liveSwitch(t);
  const path = programs.compile("traffic.c");
  const receiver = new PortProgram(path, ["receive", "vale0:b", "900"], live.socket);
  await receiver.said(/ready/);
  const sender = new PortProgram(path, ["send", "vale0:a", "900"], live.socket);
  await succeeds(t, sender);
  await succeeds(t, receiver);
});
