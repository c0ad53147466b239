// A client in a process of its own, to be killed: `node hostile-client.js SOCKET NAME`. Sends numbered frames as fast as it may, takes
// what comes, and prints one line with each hundred frames that it got in.
import { openPort } from "../../native/index.js";

const [socket = "", name = ""] = process.argv.slice(2);
const port = openPort({ socket, name, slots: 256 });
process.stdout.write("attached\n");
for (let number = 0; ; ) {
  const frames: Buffer[] = [];
  for (let i = 0; i < 64; i++) {
    const frame = Buffer.alloc(60 + ((number + i) % 1400), number & 0xff);
    frame.write("ffffffffffff0200", 0, "hex");
    frame.writeUInt32LE(number + i, 16);
    frames.push(frame);
  }
  const sent = port.send(frames);
  if (Math.floor((number + sent) / 100) > Math.floor(number / 100)) process.stdout.write(`${number + sent}\n`);
  number += sent;
  port.receive();
  if (sent === 0) await port.wait({ forRoom: true, timeoutMs: 100 });
}
