// Two ports and a rule: a switch in this program, two programs' ports on it (both ours here), and a rule that logs DNS.
//
//   node dist/examples/two-ports.js
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPort } from "../native/port-client.js";
import { createSwitch } from "../switch/index.js";
import { textOf, udpFrame } from "./frames.js";

const folder = mkdtempSync(join(tmpdir(), "paste-example-"));
const portsSocket = join(folder, "ports.sock");

const lab = await createSwitch({
  store: { path: join(folder, "lab.store"), size: "16M" },
  rules: ["udp port 53"],
  portsSocket,
});
console.log(`the store, on ${lab.medium?.name}, ${lab.medium?.survives}`);

// Other processes open ports in the same way.
const alice = openPort({ socket: portsSocket, name: "vale0:alice" });
const bob = openPort({ socket: portsSocket, name: "vale0:bob" });

await alice.sendAll([udpFrame(1, 2, 53, "where is bob?"), udpFrame(1, 2, 7, "hello, bob")]);
let received = 0;
while (received < 2) {
  for (const frame of bob.receive()) {
    console.log(`bob received: ${textOf(frame)}`);
    received++;
  }
  if (received < 2) await bob.wait();
}

const [rule] = lab.ruleStates();
console.log(`rule ${rule?.name} (${rule?.filter}) logged ${rule?.logged} of ${received} frames`);
alice.close();
bob.close();
await lab.close();
rmSync(folder, { recursive: true });
