// Addresses as pcap-filter(7) writes them.

const ethernetForms = [
  /^[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}$/i,
  /^[0-9a-f]{1,2}(?:-[0-9a-f]{1,2}){5}$/i,
  /^[0-9a-f]{1,2}(?:\.[0-9a-f]{1,2}){5}$/i,
];
const ethernetPacked = /^(?:[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12})$/i;

/** The six bytes of an Ethernet address (`a:b:c:d:e:f`, `-` or `.` between, `aabb.ccdd.eeff`, `aabbccddeeff`). */
export function parseEthernet(text: string): Uint8Array | undefined {
  if (ethernetPacked.test(text)) return Uint8Array.from(Buffer.from(text.replaceAll(".", ""), "hex"));
  if (!ethernetForms.some((form) => form.test(text))) return undefined;
  return Uint8Array.from(text.split(/[:.-]/), (part) => Number.parseInt(part, 16));
}

/** `10`, `10.1`, `10.1.2`, `10.1.2.3`: left-justified, with the bits written. Undefined if a part is over 255. */
export function parseIpv4(text: string): { address: number; bits: number } | undefined {
  const parts = text.split(".");
  if (parts.length > 4 || !parts.every((part) => /^\d+$/.test(part) && Number(part) <= 255)) return undefined;
  const bytes = parts.map(Number);
  const address = [0, 1, 2, 3].reduce((sum, index) => sum * 256 + (bytes[index] ?? 0), 0);
  return { address, bits: parts.length * 8 };
}

/** The sixteen bytes of an IPv6 address (RFC 4291 section 2.2, the last 32 bits may be written as IPv4). */
export function parseIpv6(text: string): Uint8Array | undefined {
  if (text.length > 45 || !text.includes(":")) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "", halves.length === 1);
  const tail = groups(halves[1] ?? "", true);
  if (!head || !tail) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of `a:b:c`, whose last group may be an IPv4 address if `last` is set; empty text is no bytes. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    const ipv4 = last && index === parts.length - 1 && part.includes(".") ? parseIpv4(part) : undefined;
    if (ipv4?.bits === 32) bytes.push(...[24, 16, 8, 0].map((shift) => (ipv4.address >>> shift) & 0xff));
    else if (/^[0-9a-f]{1,4}$/i.test(part))
      bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff);
    else return undefined;
  }
  return bytes;
}

/** The mask of a prefix of `bits` bits, 0 to 32. */
export function prefixMask(bits: number): number {
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}
