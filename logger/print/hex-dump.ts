// Hex dumps as tcpdump's -x, -xx, -X, -XX and -A print them.
import { hexByte } from "./octets.js";

const lineBytes = 16;

/** "\t0x0000:  4500 0054 ..." lines, each beginning with a line feed. */
export function hexLines(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += lineBytes) text += `\n\t0x${address(at)}:  ${words(bytes, at).join(" ")}`;
  return text;
}

/** The same with the bytes as characters beside them. */
export function hexAndAsciiLines(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += lineBytes) {
    const hex = words(bytes, at)
      .map((word) => ` ${word}`)
      .join("");
    text += `\n\t0x${address(at)}: ${hex.padEnd(40)}  ${ascii(bytes, at, Math.min(bytes.length, at + lineBytes))}`;
  }
  return text;
}

/** Printable characters, blanks that a terminal cannot be led astray by, and dots. */
export function asciiText(bytes: Uint8Array): string {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i <= bytes.length; i++) {
    const byte = bytes[i];
    if (byte !== undefined && byte !== 9 && byte !== 10 && byte !== 13) continue;
    parts.push(ascii(bytes, start, i, 32));
    // As in tcpdump: a carriage return before a line feed, and at the end, is left out.
    if (byte === 9 || byte === 10) parts.push(String.fromCharCode(byte));
    else if (byte === 13 && i + 1 < bytes.length && bytes[i + 1] !== 10) parts.push(".");
    start = i + 1;
  }
  return `\n${parts.join("")}`;
}

function address(at: number): string {
  return at.toString(16).padStart(4, "0");
}

function words(bytes: Uint8Array, at: number): string[] {
  const found: string[] = [];
  const end = Math.min(bytes.length, at + lineBytes);
  for (let i = at; i < end; i += 2) found.push(hexByte[bytes[i]!]! + (i + 1 < end ? hexByte[bytes[i + 1]!]! : ""));
  return found;
}

/** Bytes below `least` and above 126 are dots. */
function ascii(bytes: Uint8Array, from: number, to: number, least = 33): string {
  let text = "";
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    text += byte >= least && byte < 127 ? String.fromCharCode(byte) : ".";
  }
  return text;
}
