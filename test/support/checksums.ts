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
  let crc = ~seed >>> 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
