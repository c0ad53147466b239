// Checksums by their definitions, to hold the product's against.

/** The sum of one's-complement words, folded: ffff when a checksum among them is right (RFC 1071). An odd part is padded. */
export function wordSum(bytes: Buffer | readonly Buffer[], start = 0): number {
  let sum = start;
  for (const part of Buffer.isBuffer(bytes) ? [bytes] : bytes)
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** CRC-32C, bit by bit (RFC 9260, appendix A), going on from `seed`. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return crc(0x82f63b78, bytes, seed);
}

/** Ethernet's CRC-32, bit by bit, as ISO 3309 defines it. */
export function crc32(bytes: Uint8Array): number {
  return crc(0xedb88320, bytes, 0);
}

function crc(polynomial: number, bytes: Uint8Array, seed: number): number {
  let state = ~seed >>> 0;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state >>> 1) ^ (state & 1 ? polynomial : 0);
  }
  return ~state >>> 0;
}
