// Pieces of packets from several readings.
import test from "ava";
import { mergedPieces, type PacketPieces } from "../../logger/packet-pieces.js";

test("who takes no more ends every reading that a merge has begun", async (t) => {
  const ended: string[] = [];
  async function* reading(name: string): PacketPieces {
    try {
      for (let i = 0; ; i++) yield [{ bytes: new Uint8Array(), timeNs: BigInt(i), wireLength: 60, source: name }];
    } finally {
      ended.push(name);
    }
  }
  for await (const piece of mergedPieces([reading("a"), reading("b")], false)) if (piece[0]!.timeNs > 3n) break;
  t.deepEqual(ended, ["a", "b"]);
});
