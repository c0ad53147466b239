// `payload "GET /"`, `payload /user=\w+/i`: what must occur behind the innermost header that is known.
import type { FilterExpression } from "./ast.js";
import { filterError } from "./filter-error.js";
import type { FrameTest } from "./frame-test.js";
import { compileRegex } from "./regex.js";
import type { TokenReader } from "./token-reader.js";

const escapes: Readonly<Record<string, number>> = {
  ...{ r: 13, n: 10, t: 9, "0": 0, "\\": 0x5c, '"': 0x22, "'": 0x27, "/": 0x2f },
};

/** Takes `payload` and what belongs to it. */
export function parsePayload(reader: TokenReader): FilterExpression {
  const { at } = reader.next();
  const { type, text, at: place } = reader.peek();
  if (type !== "payload") throw reader.unexpected('bytes such as "GET /" or an expression such as /user=\\w+/i');
  reader.next();
  return { kind: "frame", word: "payload", test: payloadTest(text, place), at };
}

function payloadTest(text: string, at: number): FrameTest {
  if (text.startsWith("/")) return regexTest(text, at);
  const quoted = text.startsWith('"') || text.startsWith("'");
  const bytes = bytesOf(quoted ? text.slice(1, -1) : text, quoted ? at + 1 : at);
  if (bytes.length === 0) throw filterError(at, "nothing to search for", "every frame has it");
  return { of: "bytes", bytes, text: `payload "${shown(bytes)}"` };
}

/** C's escapes; everything else is its UTF-8. */
function bytesOf(text: string, at: number): Uint8Array {
  const parts: Buffer[] = [];
  const form = /\\x([0-9a-fA-F]{2})|\\([\s\S]?)|[^\\]+/y;
  for (let index = 0; index < text.length; index = form.lastIndex) {
    form.lastIndex = index;
    const [whole, hex, letter] = form.exec(text)!;
    const code = hex === undefined ? escapes[letter ?? ""] : Number.parseInt(hex, 16);
    if (code === undefined && letter !== undefined)
      throw filterError(
        at + index,
        `unknown escape "\\${letter}"`,
        "there are \\xNN, \\r, \\n, \\t, \\0, \\\\, \\\" and \\'",
      );
    parts.push(code === undefined ? Buffer.from(whole, "utf8") : Buffer.from([code]));
  }
  return new Uint8Array(Buffer.concat(parts));
}

function shown(bytes: Uint8Array): string {
  return [...bytes]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`,
    )
    .join("");
}

function regexTest(text: string, at: number): FrameTest {
  const end = text.lastIndexOf("/");
  const flags = text.slice(end + 1);
  for (const [index, flag] of [...flags].entries())
    if (!"is".includes(flag) || flags.indexOf(flag) < index)
      throw filterError(
        at + end + 1 + index,
        `unknown flag "${flag}"`,
        "i ignores the case of letters, s lets the dot match line ends",
      );
  if (end < 2) throw filterError(at, "nothing to search for", "every frame has it");
  const options = { ignoreCase: flags.includes("i"), dotAll: flags.includes("s") };
  return { of: "regex", ...compileRegex(text.slice(1, end), at + 1, options), text: `payload ${text}` };
}
