// What the files of a split export are called: as tcpdump (-C, -W, -G) or as dumpcap (-b) call them.
import { basename, dirname, join } from "node:path";
import { PasteError } from "../errors.js";
import { formatTimeName, hasTimeFormat } from "./time-format.js";

/**
 * When an export goes on in another file, and how many there are. At least one of bytes, frames and seconds.
 * As tcpdump does, a file is left before a frame when it holds more than `bytes`; times are those of the frames.
 */
export interface SplitOptions {
  bytes?: number;
  frames?: number;
  seconds?: number;
  /** A ring of so many files; with "tcpdump" and `seconds` alone: the export ends after so many. */
  files?: number;
  /** "tcpdump": NAME, NAME1, NAME2 (with `files`: NAME0 to NAME9 or NAME00 ...), NAME a strftime format with `seconds`; "dumpcap": STEM_00001_TIME.EXT. */
  names?: "tcpdump" | "dumpcap";
  /** Times in names are UTC instead of local time. */
  utc?: boolean;
}

export function checkSplit(split: SplitOptions, output: unknown): void {
  const { bytes, frames, seconds, files, names = "tcpdump" } = split;
  for (const [name, value] of Object.entries({ bytes, frames, seconds, files }))
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
      throw new PasteError("USAGE", `split: ${name} must be an integer above 0, it is ${value}`);
  if (bytes === undefined && frames === undefined && seconds === undefined)
    throw new PasteError(
      "USAGE",
      "a number of files needs a size, a duration or a count by which they are split: give -C or -G, or -b filesize, duration or packets",
    );
  if (typeof output !== "string" || output === "-")
    throw new PasteError("USAGE", "standard output cannot be split into files: give -w FILE");
  if (names === "tcpdump" && seconds !== undefined && !hasTimeFormat(output) && bytes === undefined)
    throw new PasteError(
      "USAGE",
      `${output}: names no time, and -G makes a file for each: give a strftime format, such as night-%H%M%S.pcapng`,
    );
}

/** The end of a name by which compression is chosen; it stays behind what is added to the name. */
const compressed = /\.(gz|zst)$/;

/** Gives one name after the other. */
export class FileNames {
  readonly #name: string;
  readonly #ending: string;
  readonly #split: SplitOptions;
  readonly #digits: number;
  #total = 0;
  /** Of tcpdump's names: when their time began, what they are called by it, and the file's number among those called so. */
  #periodNs = 0n;
  #period = "";
  #count = 0;

  constructor(output: string, split: SplitOptions) {
    this.#ending = compressed.exec(output)?.[0] ?? "";
    this.#name = output.slice(0, output.length - this.#ending.length);
    this.#split = split;
    this.#digits = split.files === undefined ? 0 : split.files > 1 ? `${split.files - 1}`.length : 0;
  }

  /** Whether a name depends on the time of the file's first frame. */
  get timed(): boolean {
    return this.#split.names === "dumpcap" || this.#split.seconds !== undefined;
  }

  /** The next file's name, by the time of its first frame, and whether it begins because of the time; null: there shall be no more. */
  next(firstNs: bigint, byTime: boolean): string | null {
    const { files, seconds, bytes, names } = this.#split;
    const total = this.#total++;
    if (names === "dumpcap") return this.#asDumpcap(total, firstNs);
    if (seconds === undefined) return this.#numbered(this.#name, files === undefined ? total : total % files);
    // As in tcpdump: with -G alone, -W is an end; with -C and -G it only gives the number its width.
    if (bytes === undefined && this.#split.frames === undefined && files !== undefined && total >= files) return null;
    if (byTime || total === 0) this.#periodNs = firstNs;
    const name = formatTimeName(this.#name, this.#periodNs, this.#split.utc ?? false);
    if (bytes === undefined && this.#split.frames === undefined) return `${name}${this.#ending}`;
    // A name that does not tell one time from the next goes on with its numbers.
    this.#count = total > 0 && name === this.#period ? this.#count + 1 : 0;
    this.#period = name;
    return this.#numbered(name, this.#count);
  }

  #numbered(name: string, count: number): string {
    const number = count === 0 && this.#digits === 0 ? "" : `${count}`.padStart(this.#digits, "0");
    return `${name}${number}${this.#ending}`;
  }

  #asDumpcap(total: number, firstNs: bigint): string {
    const file = basename(this.#name);
    const dot = file.lastIndexOf(".");
    const [stem, extension] = dot > 0 ? [file.slice(0, dot), file.slice(dot)] : [file, ""];
    const time = formatTimeName("%Y%m%d%H%M%S", firstNs, this.#split.utc ?? false);
    const name = `${stem}_${`${total + 1}`.padStart(5, "0")}_${time}${extension}${this.#ending}`;
    return join(dirname(this.#name), name);
  }
}
