// What netmap's ports and its switch do, as programs of our own see it through /dev/netmap: scenarios of netmap's integration tests,
// the half of one that upstream never asserts (unicast after learning), and what they leave out. Each case is one of behaviour.c.
import test from "ava";
import { liveSwitch } from "../support/live-switch.js";
import { PortProgram, Programs } from "../support/programs.js";

const programs = new Programs();
test.after.always(() => programs.remove());

const cases = {
  "exclusive-open":
    "an exclusive open keeps everybody out, and nobody gets one who is not alone: ports, pipes, pipes of a free name",
  "extra-buffers": "frames that leave through extra buffers arrive everywhere: ports and pipes",
  learning: "broadcast reaches all, unicast after learning one, a frame back to its own port nobody",
  "station-moves": "a station that moves there and back is found each time; a port that goes takes its stations along",
  "pipe-partial-read":
    "a pipe holds what was not read, takes no more than it has room for, and outlives one of its ends",
  monitors:
    "copy monitors see each its direction before anybody read; the port still gets its frames; persistent ports, too",
  "full-ring":
    "a full port keeps what came first, in order; others get everything; a frame that does not fit ends its batch there",
  limits: "13 bytes are no frame, 14 are; 2048 fit a buffer; a slot without bytes is nothing",
  order: "each sender's frames stay in order, broadcast between unicast",
};

for (const [name, title] of Object.entries(cases))
  test(title, async (t) => {
    const live = await liveSwitch(t);
    const program = new PortProgram(programs.compile("behaviour.c"), [name], live.socket);
    const { status, signal, stderr } = await program.ended;
    t.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: "" });
  });
