// The values that stand after a qualifier: addresses, networks, numbers and names.
import { parseEthernet, parseIpv4, parseIpv6, prefixMask } from "./addresses.js";
import type { FilterValue, Qualifier } from "./ast.js";
import { filterError } from "./filter-error.js";
import type { TokenReader } from "./token-reader.js";

/** Takes the value that comes next; the caller has seen that one does. */
export function parseValue(reader: TokenReader, qualifier: Qualifier): FilterValue {
  const token = reader.next();
  switch (token.type) {
    case "ethernet":
      return { form: "ethernet", address: parseEthernet(token.text)! };
    case "ipv6":
      return parseIpv6Value(reader, token.text, token.at);
    case "ipv4":
      return parseIpv4Value(reader, token.text, token.at);
    case "number":
      // `net 10/8`: a network of one part, which tcpdump's grammar has forgotten.
      if (qualifier.kind === "net" && reader.at("/")) return parseIpv4Value(reader, token.text, token.at);
      return { form: "number", value: token.value };
    default:
      return { form: "name", name: token.text };
  }
}

function parseIpv4Value(reader: TokenReader, text: string, at: number): FilterValue {
  const parsed = parseIpv4(text);
  if (!parsed) throw filterError(at, `"${text}" is no IPv4 address`, "each part is at most 255");
  if (reader.take("/")) {
    const { at: place } = reader.peek();
    const bits = reader.expectNumber("the length of the prefix");
    if (bits > 32) throw filterError(place, `a prefix of ${bits} bits`, "IPv4 addresses have 32");
    return ipv4Network(parsed.address, prefixMask(bits), `${text}/${bits}`, at);
  }
  if (reader.take("mask")) {
    const mask = reader.peek();
    const bits = mask.type === "ipv4" ? parseIpv4(mask.text) : undefined;
    if (!bits) throw reader.unexpected("a mask such as 255.0.0.0");
    reader.next();
    return ipv4Network(parsed.address, bits.address, `${text} mask ${mask.text}`, at);
  }
  return { form: "ipv4", ...parsed };
}

function ipv4Network(address: number, mask: number, text: string, at: number): FilterValue {
  if ((address & ~mask) !== 0) throw filterError(at, `"${text}" has bits set outside its network`, "clear them");
  return { form: "ipv4 network", address, mask, text };
}

function parseIpv6Value(reader: TokenReader, text: string, at: number): FilterValue {
  const address = parseIpv6(text)!;
  if (!reader.take("/")) return { form: "ipv6", address, text };
  const { at: place } = reader.peek();
  const prefixBits = reader.expectNumber("the length of the prefix");
  if (prefixBits > 128) throw filterError(place, `a prefix of ${prefixBits} bits`, "IPv6 addresses have 128");
  const outside = address.some(
    (byte, index) => (byte & (0xff >> Math.max(0, Math.min(8, prefixBits - index * 8)))) !== 0,
  );
  if (outside) throw filterError(at, `"${text}/${prefixBits}" has bits set outside its network`, "clear them");
  return { form: "ipv6", address, prefixBits, text: `${text}/${prefixBits}` };
}
