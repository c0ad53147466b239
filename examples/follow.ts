// Follow the log live: frames of a store as they become durable, from any process, without a lock.
//
//   node dist/examples/follow.js            plays both sides: a switch that logs, and a reader that follows
//   node dist/examples/follow.js STORE      follows the store of a running daemon until Ctrl-C
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../logger/reader.js";
import { openPort } from "../native/port-client.js";
import { createSwitch } from "../switch/index.js";
import { udpFrame } from "./frames.js";

async function follow(path: string, frames: number): Promise<void> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const reader = openStore(path);
  let seen = 0;
  for await (const batch of reader.follow({ signal: stop.signal }))
    for (const frame of batch) {
      const ageMs = Date.now() - Number(frame.timeNs / 1_000_000n);
      console.log(
        `${frame.sequence} ${frame.ingress} > ${frame.egress || "-"} ${frame.wireLength} bytes, ${ageMs} ms ago`,
      );
      if (++seen === frames) stop.abort();
    }
  reader.close();
}

const given = process.argv[2];
if (given) await follow(given, Infinity);
else {
  const folder = mkdtempSync(join(tmpdir(), "paste-example-"));
  const path = join(folder, "lab.store");
  const portsSocket = join(folder, "ports.sock");
  const lab = await createSwitch({ store: { path, size: "16M" }, rules: ["udp"], portsSocket });
  const alice = openPort({ socket: portsSocket, name: "vale0:alice" });
  const bob = openPort({ socket: portsSocket, name: "vale0:bob" });
  const following = follow(path, 10);
  for (let n = 1; n <= 10; n++) {
    await alice.sendAll([udpFrame(1, 2, 7, `frame ${n}`)]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await following;
  alice.close();
  bob.close();
  await lab.close();
  rmSync(folder, { recursive: true });
}
