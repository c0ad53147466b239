import test, { type ExecutionContext } from "ava";
import { liveSwitch } from "../support/live-switch.js";
import { PortProgram, Programs } from "../support/programs.js";
import { DaemonProcess, testFolder } from "../switch/daemon-process.js";

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
    "nothing-left-over",
    "sync-and-exit",
    "close-in-a-handler",
    "pass-in-a-message",
    "keep-across-exec",
    "keep-pipe-across-exec",
  ],
  "control.c": [
    "versions",
    "malformed",
    "unregistered",
    "options",
    "answers",
    "older-interface",
    "exclusive",
    "persistent",
  ],
  "rings.c": [
    "rubbish",
    "fragments",
    "indirect",
    "swapped-buffers",
    "timestamps",
    "threads-on-two-rings",
    "pipes",
    "monitors",
    "pipe-between-processes",
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

test("a program in C++, with threads and exceptions", async (t) => {
  const live = await liveSwitch(t);
  await succeeds(t, new PortProgram(programs.compile("ports.cc"), [], live.socket));
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

for (const [what, names] of Object.entries({ ports: ["vale0:a", "vale0:b"], "a pipe": ["vale0:a{1", "vale0:a}1"] }))
  test(`a daemon that is killed and comes back: ${what} of a program that keeps its memory, hears of it once, and goes on`, async (t) => {
    const folder = testFolder(t);
    let daemon = await DaemonProcess.start(t, folder);
    const program = new PortProgram(programs.compile("steady.c"), names, daemon.ports);
    t.teardown(() => program.child.kill("SIGKILL"));
    await program.said(/round/);
    for (let life = 1; life <= 2; life++) {
      daemon.child.kill("SIGKILL");
      await daemon.ended;
      daemon = await DaemonProcess.start(t, folder);
      const before = program.stdout.length;
      await program.said(new RegExp(`^(?:[^]*error ){${2 * life}}[^]*round`));
      await program.said(new RegExp(`^[^]{${before},}round`));
      const errors = program.stdout.match(/^error \d$/gm) ?? [];
      // Once for each descriptor and death.
      t.deepEqual(errors.sort(), [...Array(life).fill("error 0"), ...Array(life).fill("error 1")]);
    }
    t.is(program.child.exitCode, null);
  });

test("a port that is detached on purpose is gone for good", async (t) => {
  const live = await liveSwitch(t);
  const program = new PortProgram(programs.compile("detached.c"), ["vale0:a"], live.socket);
  await program.said(/ready/);
  await live.engine.detach("vale0:a");
  await succeeds(t, program);
});
