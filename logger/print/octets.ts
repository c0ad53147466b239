// Bytes of a frame as printers read them. Everything in a frame is hostile: each access is checked against what was captured.

/** Thrown by an access behind the captured bytes, caught where the line is put together. One object: it needs no stack. */
export const beyondCapture = Symbol("beyond the captured bytes");

export class Octets {
  readonly bytes: Uint8Array;
  /** One behind the last byte that may be looked at. */
  readonly end: number;

  constructor(bytes: Uint8Array, end = bytes.length) {
    this.bytes = bytes;
    this.end = Math.min(end, bytes.length);
  }
  /** The same bytes, none from `end` on. */
  upTo(end: number): Octets {
    return end >= this.end ? this : new Octets(this.bytes, end);
  }
  has(at: number, count: number): boolean {
    return at + count <= this.end;
  }
  need(at: number, count: number): void {
    if (at + count > this.end) throw beyondCapture;
  }
  u8(at: number): number {
    if (at >= this.end) throw beyondCapture;
    return this.bytes[at]!;
  }
  u16(at: number): number {
    if (at + 2 > this.end) throw beyondCapture;
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }
  u24(at: number): number {
    if (at + 3 > this.end) throw beyondCapture;
    return (this.bytes[at]! << 16) | (this.bytes[at + 1]! << 8) | this.bytes[at + 2]!;
  }
  u32(at: number): number {
    if (at + 4 > this.end) throw beyondCapture;
    const { bytes } = this;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }
  hex(at: number, count: number): string {
    this.need(at, count);
    let text = "";
    for (let i = at; i < at + count; i++) text += hexByte[this.bytes[i]!]!;
    return text;
  }
  mac(at: number): string {
    this.need(at, 6);
    return macText(this.bytes, at);
  }
  ipv4(at: number): string {
    this.need(at, 4);
    return ipv4Text(this.bytes, at);
  }
  ipv6(at: number): string {
    this.need(at, 16);
    return ipv6Text(this.bytes, at);
  }
}

/** "00" to "ff". */
export const hexByte: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** The six bytes must be there. */
export function macText(bytes: Uint8Array, at: number): string {
  const h = hexByte;
  return `${h[bytes[at]!]}:${h[bytes[at + 1]!]}:${h[bytes[at + 2]!]}:${h[bytes[at + 3]!]}:${h[bytes[at + 4]!]}:${h[bytes[at + 5]!]}`;
}

export function ipv4Text(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** RFC 5952; addresses that embed IPv4 (::a.b.c.d, ::ffff:a.b.c.d) end in it. */
export function ipv6Text(bytes: Uint8Array, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push((bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!);
  const { start, length } = longestZeros(groups);
  if (start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff)))
    return `::${length === 6 ? "" : "ffff:"}${ipv4Text(bytes, at + 12)}`;
  if (length < 2) return groups.map((group) => group.toString(16)).join(":");
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > best.length) best = { start: i, length: end - i };
    if (end > i) i = end;
  }
  return best;
}
