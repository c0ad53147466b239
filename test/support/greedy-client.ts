// A user's program that takes all it can get: greedy-client.js KIND PATH. Says how much that was and why there is no more, in one line of
// JSON, and keeps it until its input ends.
import { openLiveTap } from "../../native/live-tap.js";
import { openPort } from "../../native/port-client.js";
import { ControlClient } from "../../switch/control-client.js";

const [kind, path] = process.argv.slice(2) as ["taps" | "ports" | "control", string];
const held: unknown[] = [];
const more = {
  taps: () =>
    openLiveTap({ socket: path, port: "any", in: true, out: false, dropped: false, snaplen: 64, ringBytes: 512 << 10 }),
  ports: () => openPort({ socket: path, name: `vale0:p${held.length}`, slots: 16, reconnectMs: 0 }),
  control: () => ControlClient.connect(path),
};
try {
  for (;;) held.push(await more[kind]());
} catch (error) {
  process.stdout.write(`${JSON.stringify({ got: held.length, why: (error as Error).message })}\n`);
}
process.stdin.on("end", () => process.exit(0)).resume();
