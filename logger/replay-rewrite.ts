// What a replay changes in its frames, as people write it and as the addon takes it (native/core/replay/rewrite.h).
import type { NativeRewrite } from "../native/replay.js";
import { PasteError } from "./errors.js";
import { parseEthernet, parseIpv4, parseIpv6 } from "./filter/addresses.js";

/** Each entry changes source and target alike; of several that fit an address or a port the first counts. */
export interface ReplayRewrite {
  /** "02:00:00:00:00:01=02:00:00:00:00:02" */
  macs?: readonly string[];
  /** "10.0.0.0/8=172.16.0.0/8", "10.0.0.1=10.9.9.9", "2001:db8::/32=2001:db9::/32": the bits behind the prefix stay. */
  addresses?: readonly string[];
  /** "80=8080": TCP, UDP, UDP-Lite, DCCP and SCTP. */
  ports?: readonly string[];
  /** "5": the outermost tag's VLAN, where there is a tag. "strip": takes that tag away. "add:5": puts one in front. */
  vlan?: string;
}

const vlanIdMax = 4094;

/** Checked. Throws USAGE with the entry and what is wrong with it. */
export function nativeRewrite(rewrite: ReplayRewrite): NativeRewrite {
  const { macs = [], addresses = [], ports = [] } = rewrite;
  return {
    macs: Uint8Array.from(macs.flatMap((text) => pair(text, "MAC", mac))),
    nets: Uint8Array.from(addresses.flatMap(netPair)),
    ports: Uint16Array.from(ports.flatMap((text) => pair(text, "port", port))),
    ...vlanChange(rewrite.vlan),
  };
}

function refused(text: string, what: string, hint: string): PasteError {
  return new PasteError("USAGE", `rewriting "${text}": ${what}; ${hint}`);
}

function sides(text: string, noun: string): [string, string] {
  const parts = text.split("=");
  if (parts.length !== 2 || parts.includes(""))
    throw refused(text, `no pair of ${noun.endsWith("s") ? `${noun}es` : `${noun}s`}`, "write FROM=TO");
  return [parts[0]!.trim(), parts[1]!.trim()];
}

function pair(text: string, noun: string, read: (side: string, text: string) => number[]): number[] {
  return sides(text, noun).flatMap((side) => read(side, text));
}

function mac(side: string, text: string): number[] {
  const bytes = parseEthernet(side);
  if (!bytes) throw refused(text, `"${side}" is no Ethernet address`, "write 02:00:00:00:00:01");
  return [...bytes];
}

function port(side: string, text: string): number[] {
  const value = /^\d{1,5}$/.test(side) ? Number(side) : Number.NaN;
  if (!(value <= 65535)) throw refused(text, `"${side}" is no port`, "write a number from 0 to 65535");
  return [value];
}

interface Net {
  bytes: number[];
  bits: number;
}

function net(side: string, text: string): Net {
  const [address = "", bitsText] = side.split("/");
  const v4 = parseIpv4(address);
  const bytes =
    v4?.bits === 32 ? [24, 16, 8, 0].map((at) => (v4.address >>> at) & 0xff) : [...(parseIpv6(address) ?? [])];
  if (bytes.length === 0)
    throw refused(text, `"${address}" is no IP address`, "write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32");
  const most = bytes.length * 8;
  const bits = bitsText === undefined ? most : /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : Number.NaN;
  if (!(bits <= most)) throw refused(text, `"/${bitsText}" is no prefix`, `it has 0 to ${most} bits`);
  const beyond = bytes.findIndex((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, bits - i * 8)))) !== 0);
  if (beyond >= 0) throw refused(text, `${side} has bits behind its prefix`, "write the network's own address");
  return { bytes: [...bytes, ...new Array<number>(16 - bytes.length).fill(0)], bits };
}

function netPair(text: string): number[] {
  const [from, to] = sides(text, "address").map((side) => ({ ...net(side, text), v6: side.includes(":") }));
  if (from!.v6 !== to!.v6) throw refused(text, "one is IPv4, the other IPv6", "addresses keep their version");
  if (from!.bits !== to!.bits)
    throw refused(text, `prefixes of ${from!.bits} and ${to!.bits} bits`, "both have the same length");
  return [from!.v6 ? 6 : 4, from!.bits, ...from!.bytes, ...to!.bytes];
}

function vlanChange(text: string | undefined): { vlan: number; vlanId: number } {
  if (text === undefined) return { vlan: 0, vlanId: 0 };
  if (text === "strip") return { vlan: 2, vlanId: 0 };
  const found = /^(add:)?(\d{1,4})$/.exec(text);
  const vlanId = found ? Number(found[2]) : Number.NaN;
  if (!(vlanId <= vlanIdMax))
    throw refused(text, "no change of a VLAN", `write strip, a VLAN from 0 to ${vlanIdMax}, or add:VLAN`);
  return { vlan: found![1] ? 3 : 1, vlanId };
}
