// Sizes and numbers as people write them.
import { PasteError } from "../logger/errors.js";

const sizeUnits: Record<string, number> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** "64M", "1.5 GiB", "4096": bytes. K, M, G and T are powers of 1024. `what` names the option or key in the message. */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = match ? Number(match[1]) * sizeUnits[match[2]!.toLowerCase()]! : Number.NaN;
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new PasteError(
      "USAGE",
      `${what}: "${text}" is no size: write bytes, or a number with K, M, G or T such as 64M`,
    );
  return bytes;
}

/** A whole number within bounds. `what` names the option or key in the message. */
export function parseWhole(text: string, what: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new PasteError("USAGE", `${what}: "${text}" is no whole number from ${min} to ${max}`);
  return value;
}

/** A record's sequence, also as `query -#` (#1234) and `store info` (1,234) print it. `what` names the option in the message. */
export function parseSequence(text: string, what: string): bigint {
  const value = /^#?(\d+|\d{1,3}(,\d{3})+)$/.test(text) ? BigInt(text.replaceAll(/[#,]/g, "")) : -1n;
  if (value < 0n || value >= 1n << 64n)
    throw new PasteError("USAGE", `${what}: "${text}" is no sequence: write a whole number below 2^64`);
  return value;
}

/** A factor or rate above 0. `what` names the option in the message. */
export function parseRate(text: string, what: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0 && value < 1e12))
    throw new PasteError("USAGE", `${what}: "${text}" is no number above 0: write one such as 0.5 or 2000`);
  return value;
}
