/**
 * A small seeded generator (xoshiro128**, https://prng.di.unimi.it/), so that a run can be repeated from its seed on any
 * machine. Not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Only the seed's low 32 bits count. */
  constructor(seed: number) {
    // SplitMix32 spreads the seed over the state, which must not be all zero.
    let state = seed >>> 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  /** A number from 0 to 2^32 - 1. */
  uint32(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** A whole number from 0 to `limit` - 1; `limit` is at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit);
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uint32() < probability * 2 ** 32;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    this.fill(bytes, 0, length);
    return bytes;
  }

  /** Fills `target[start..end)`. */
  fill(target: Buffer, start: number, end: number): void {
    let position = start;
    for (; position + 4 <= end; position += 4) target.writeUInt32LE(this.uint32(), position);
    for (let word = this.uint32(); position < end; position++, word >>>= 8) target[position] = word & 0xff;
  }
}
