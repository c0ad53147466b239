// `any host A`, `any net N`, `any port P`, `any portrange A-B`, `any proto P`: of any layer of the frame.
import type { FilterExpression, FilterValue, Qualifier } from "./ast.js";
import { filterError } from "./filter-error.js";
import type { FrameTest } from "./frame-test.js";
import { nameError, numberAsAddress, portsOf, protocolNumberOf } from "./lookups.js";
import { transportNumbers } from "./words.js";

/** The test that a value behind `any` stands for. Throws FILTER errors for values that are none. */
export function anyTest(
  qualifier: Qualifier,
  value: FilterValue,
  at: number,
): Extract<FilterExpression, { kind: "frame" }> {
  const { direction, kind } = qualifier;
  const test: Omit<Extract<FrameTest, { of: "host" | "port" | "protocol" }>, "text"> = kind === "proto"
    ? protocolTest(value, at)
    : kind === "port" || kind === "portrange"
      ? portTest(qualifier, value, at)
      : hostTest(value, kind, at);
  const text = ["any", direction, words(test as FrameTest)].filter(Boolean).join(" ");
  const whole = { ...test, text, ...(direction && { direction }) } as FrameTest;
  return { kind: "frame", word: "any", test: whole, at };
}

function words(test: FrameTest): string {
  if (test.of === "host")
    return test.mask.every((byte) => byte === 0xff)
      ? `host ${addressText(test.address)}`
      : `net ${addressText(test.address)} mask ${addressText(test.mask)}`;
  if (test.of === "protocol") return `proto ${test.number}`;
  if (test.of !== "port") return "";
  const ports = test.first === test.last ? `port ${test.first}` : `portrange ${test.first}-${test.last}`;
  return test.protocol === undefined ? ports : `${ports} of protocol ${test.protocol}`;
}

/** 10.0.0.1, or the eight groups of an IPv6 address, none left out. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const view = new DataView(address.buffer, address.byteOffset, 16);
  return [0, 2, 4, 6, 8, 10, 12, 14].map((i) => view.getUint16(i).toString(16)).join(":");
}

function protocolTest(value: FilterValue, at: number): { of: "protocol"; number: number } {
  const number = protocolNumberOf(value, undefined, at);
  if (number > 255) throw filterError(at, `protocol ${number} is too large`, "the largest is 255");
  return { of: "protocol", number };
}

function portTest(qualifier: Qualifier, value: FilterValue, at: number) {
  const { first, last, transport } = portsOf(value, qualifier, at);
  const [low, high] = [Math.min(first, last), Math.max(first, last)];
  return { of: "port" as const, first: low, last: high, ...(transport && { protocol: transportNumbers[transport]! }) };
}

function hostTest(value: FilterValue, kind: Qualifier["kind"], at: number) {
  const isNet = kind === "net";
  switch (value.form) {
    case "name":
      throw nameError(value.name, isNet ? "net" : "host", at);
    case "ethernet":
      throw filterError(at, 'an Ethernet address behind "any"', 'write "ether host", "ether src" or "ether dst"');
    case "ipv6": {
      const bits = value.prefixBits ?? 128;
      if (bits !== 128 && !isNet)
        throw filterError(at, `"${value.text}" is a network`, `did you mean "any net ${value.text}"?`);
      return { of: "host" as const, address: value.address, mask: prefixBytes(bits) };
    }
    case "ipv4 network":
      if (!isNet) throw filterError(at, `"${value.text}" is a network`, `did you mean "any net ${value.text}"?`);
      return ipv4(value.address, value.mask);
    case "ipv4":
      return ipv4(value.address, value.bits === 0 ? 0 : (0xffffffff << (32 - value.bits)) >>> 0);
    case "number": {
      const { address, mask } = numberAsAddress(value.value, isNet);
      return ipv4(address, mask);
    }
  }
}

function ipv4(address: number, mask: number) {
  const bytes = (word: number) => Uint8Array.of(word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
  return { of: "host" as const, address: bytes(address & mask), mask: bytes(mask) };
}

function prefixBytes(bits: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => (0xff00 >> Math.max(0, Math.min(8, bits - i * 8))) & 0xff);
}
