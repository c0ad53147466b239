// Exports that may be shared: what is asked for, and the key under which addresses are mapped.
import { promises } from "node:fs";
import { PasteError } from "../errors.js";

/**
 * IP addresses are mapped by Crypto-PAn (two that have a prefix in common have one of the same length afterwards), MAC addresses under the same key;
 * payloads are cut, and whatever is not understood, behind the last header that was. EXPORT.md says what stays.
 */
export interface SanitizeOptions {
  /** 32 bytes; the same key maps the same addresses to the same ones. Default: a random one that nobody gets to know. */
  key?: Uint8Array;
  /** Keep what is behind TCP, UDP, SCTP and ICMP echo headers. */
  keepPayload?: boolean;
  /** Keep the vendor's half of MAC addresses. */
  keepOui?: boolean;
  /** Keep names of ports, rules and sources. */
  keepNames?: boolean;
}

export const sanitizeKeyBytes = 32;

/** For the addon. Throws USAGE for a key of another length. */
export function sanitizeSettings(options: SanitizeOptions) {
  const { randomBytes } = process.getBuiltinModule("node:crypto"); // loaded where something is sanitized
  const { key = randomBytes(sanitizeKeyBytes), keepPayload = false, keepOui = false, keepNames = false } = options;
  if (key.length !== sanitizeKeyBytes)
    throw new PasteError("USAGE", `the key to sanitize with must have ${sanitizeKeyBytes} bytes, it has ${key.length}`);
  return { key, keepPayload, keepOui, keepNames };
}

/** The words of --sanitize: "", "keep-payload", "keep-oui", with commas. Throws USAGE. */
export function parseSanitize(words: string): SanitizeOptions {
  const options: SanitizeOptions = {};
  for (const word of words === "" ? [] : words.split(","))
    if (word === "keep-payload") options.keepPayload = true;
    else if (word === "keep-oui") options.keepOui = true;
    else
      throw new PasteError(
        "USAGE",
        `--sanitize=${words}: "${word}" is none of keep-payload, keep-oui (a filter goes before --sanitize)`,
      );
  return options;
}

/** A key of 32 bytes, or of 64 hexadecimal digits, that nobody but its owner may read. Throws USAGE or PRIVILEGE. */
export async function readSanitizeKey(path: string): Promise<Uint8Array> {
  const handle = await promises.open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    const hint =
      cause.code === "ENOENT" ? `make one: (umask 077; head -c ${sanitizeKeyBytes} /dev/urandom > FILE)` : cause.code;
    throw new PasteError("USAGE", `${path}: no key can be read from there: ${hint}`, { cause });
  });
  try {
    const { mode, size } = await handle.stat();
    if ((mode & 0o077) !== 0)
      throw new PasteError("PRIVILEGE", `${path}: others may read this key: chmod 600 it, or make a new one`);
    const bytes = size <= 4096 ? await handle.readFile() : Buffer.alloc(0);
    if (bytes.length === sanitizeKeyBytes) return bytes;
    const text = bytes.toString("latin1").trim();
    if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
    throw new PasteError("USAGE", `${path}: is no key: 32 bytes or 64 hexadecimal digits are, this has ${size} bytes`);
  } finally {
    await handle.close();
  }
}
