import { createHash } from "node:crypto";
import test from "ava";
import { Random } from "../../logger/traffic/random.js";
import { sha1Blocks, sha1Short } from "../support/native-index.js";

const words = (message: Uint8Array) => {
  const digest = createHash("sha1").update(message).digest();
  return [0, 4, 8, 12, 16].map((at) => digest.readUInt32BE(at));
};

test("messages of every length that fits one block have the digest that Node gives", (t) => {
  const random = new Random(3);
  for (let length = 0; length <= 55; length++) {
    const message = random.bytes(length);
    t.deepEqual(sha1Short(message), words(message), `${length} bytes`);
  }
});

test("every variant of this processor gives the same", (t) => {
  const random = new Random(4);
  for (let i = 0; i < 500; i++) {
    const message = random.bytes(random.below(56));
    const block = Buffer.alloc(64);
    message.copy(block);
    block[message.length] = 0x80;
    block.writeUInt16BE(message.length * 8, 62);
    for (const { name, digest } of sha1Blocks(block)) t.deepEqual(digest, words(message), name);
  }
});
