/**
 * A 53-bit fingerprint of a frame's bytes, exact as a number: two multiplicative lanes after FNV-1a (32-bit offset basis and
 * prime from its specification, the second lane with another odd multiplier), 32 bits of one and 21 of the other. For comparing what was
 * seen with what was kept; no protection against somebody who searches for collisions.
 */
export function frameDigest(bytes: Uint8Array): number {
  let first = 0x811c9dc5;
  let second = 0x811c9dc5 ^ bytes.length;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    first = Math.imul(first ^ byte, 0x01000193);
    second = Math.imul(second ^ byte, 0x85ebca6b) + (second >>> 15);
  }
  return (second & 0x1fffff) * 2 ** 32 + (first >>> 0);
}

/** Digests collected in order, in one growing array: a station sees hundreds of thousands of frames. */
export class DigestList {
  #values = new Float64Array(4096);
  #count = 0;

  push(digest: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count++] = digest;
  }

  get count(): number {
    return this.#count;
  }

  values(): Float64Array {
    return this.#values.slice(0, this.#count);
  }

  clear(): void {
    this.#count = 0;
  }
}
