import test from "ava";
import { Random } from "../../logger/traffic/random.js";
import { crc32 } from "../support/checksums.js";
import { pmem } from "../support/native-pmem.js";

const seed = Number(process.env.PASTE_SEED ?? Math.floor(Math.random() * 2 ** 31));

for (const { name, compute } of pmem.packetHashVariants())
  test(`a packet's CRC-32, ${name}: every length to 700 and some above, at any alignment`, (t) => {
    const random = new Random(seed);
    t.is(compute(Buffer.from("123456789")), 0xcbf43926); // the catalogue's check value
    const data = random.bytes(40_000);
    for (const length of [...Array(700).keys(), ...Array.from({ length: 40 }, () => random.below(20_000))]) {
      const start = random.below(130);
      const part = data.subarray(start, start + length);
      if (compute(part) !== crc32(part)) return t.fail(`length ${length}, start ${start}, seed ${seed}`);
    }
  });

test("the portable variant is always among them", (t) => {
  t.is(pmem.packetHashVariants()[0]?.name, "portable");
});
