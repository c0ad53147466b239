import { randomInt } from "node:crypto";
import test from "ava";
import { crc32c } from "../support/checksums.js";
import { pmem } from "../support/native-pmem.js";

const variants = pmem.crc32cVariants();
const bytes = (count: number, at: (i: number) => number) => Uint8Array.from({ length: count }, (_, i) => at(i));

// RFC 3720, B.4, and the check value of the catalogue of parametrised CRC algorithms.
const vectors: [string, Uint8Array, number][] = [
  ["no bytes", bytes(0, () => 0), 0],
  ["32 bytes of 0", bytes(32, () => 0), 0x8a9136aa],
  ["32 bytes of 0xff", bytes(32, () => 0xff), 0x62a8ab43],
  ["0 to 31", bytes(32, (i) => i), 0x46dd794e],
  ["31 to 0", bytes(32, (i) => 31 - i), 0x113fdb5c],
  [
    "an iSCSI read command",
    Buffer.from(
      "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000",
      "hex",
    ),
    0xd9963a56,
  ],
  ["123456789", Buffer.from("123456789"), 0xe3069283],
];

for (const variant of variants)
  for (const [title, data, crc] of vectors)
    test(`CRC-32C, ${variant.name}: ${title}`, (t) => t.is(variant.compute(0, data), crc));

test("CRC-32C: all variants agree with the definition for every length to 700 and many above, at any alignment and seed", (t) => {
  const seed = randomInt(2 ** 32);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const data = bytes(40_000, () => random(256));
  const lengths = [...Array(700).keys(), ...Array.from({ length: 40 }, () => random(20_000))];
  for (const length of lengths) {
    const start = random(130);
    const part = data.subarray(start, start + length);
    const initial = random(2 ** 32);
    const expected = crc32c(part, initial); // nothing in common with the code under test
    for (const variant of variants)
      if (variant.compute(initial, part) !== expected)
        return t.fail(`${variant.name}: length ${length}, start ${start}, initial ${initial}, seed ${seed}`);
  }
  t.pass();
});

test("CRC-32C continues: the CRC of a and b is that of b seeded with that of a; different seeds differ", (t) => {
  const data = bytes(1000, (i) => (i * 7) & 0xff);
  for (const variant of variants) {
    const whole = variant.compute(0, data);
    t.is(variant.compute(variant.compute(0, data.subarray(0, 333)), data.subarray(333)), whole, variant.name);
    t.not(variant.compute(1, data), whole);
  }
});
