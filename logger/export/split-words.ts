// The words by which tcpdump and dumpcap are told to split a capture into files.
import { PasteError } from "../errors.js";
import type { SplitOptions } from "./file-names.js";

interface SplitWords {
  fileSize?: string | undefined;
  fileCount?: string | undefined;
  rotate?: string | undefined;
  utc: boolean;
}

/** tcpdump's suffixes of -C; without one it counts millions. */
const units: Record<string, number> = { "": 1_000_000, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** -C, -W and -G. Undefined where none is given. Throws USAGE. */
export function parseSplit({ fileSize, fileCount, rotate, utc }: SplitWords): SplitOptions | undefined {
  if (fileSize === undefined && fileCount === undefined && rotate === undefined) return undefined;
  return {
    names: "tcpdump",
    utc,
    ...(fileSize !== undefined && { bytes: size(fileSize) }),
    ...(rotate !== undefined && { seconds: whole(rotate, "-G", "seconds") }),
    ...(fileCount !== undefined && { files: whole(fileCount, "-W", "a number of files") }),
  };
}

/** -b filesize:KB, duration:S, packets:N, files:N. Throws USAGE. */
export function parseRing(words: readonly string[], utc: boolean): SplitOptions {
  const split: SplitOptions = { names: "dumpcap", utc };
  for (const word of words) {
    const [, kind = "", value = ""] = /^(\w+):(.*)$/.exec(word) ?? [];
    // dumpcap goes on when a file has reached the size, tcpdump when it is over it.
    if (kind === "filesize") split.bytes = whole(value, "-b filesize", "kB") * 1000 - 1;
    else if (kind === "duration") split.seconds = whole(value, "-b duration", "seconds");
    else if (kind === "packets") split.frames = whole(value, "-b packets", "a number of frames");
    else if (kind === "files") split.files = whole(value, "-b files", "a number of files");
    else throw new PasteError("USAGE", `-b ${word}: give filesize:KB, duration:SECONDS, packets:COUNT or files:COUNT`);
  }
  return split;
}

function size(text: string): number {
  const [, number, unit = ""] = /^(\d+)([kKmMgG]?)$/.exec(text) ?? [];
  if (number === undefined) throw new PasteError("USAGE", `-C ${text}: give millions of bytes, or 100k, 10M, 1G`);
  return whole(number, "-C", "a size") * units[unit.toLowerCase()]!;
}

function whole(text: string, option: string, what: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (!(Number.isSafeInteger(value) && value > 0 && value <= 1_000_000_000))
    throw new PasteError("USAGE", `${option} ${text}: give ${what}, from 1 to 1000000000`);
  return value;
}
