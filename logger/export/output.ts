// The files of an export: one, or one after the other, perhaps in a ring; each complete and valid by itself.
import { promises } from "node:fs";
import type { Writable } from "node:stream";
import type { CaptureEncoder, SourcePiece } from "../../native/export.js";
import { formatOf } from "../counts.js";
import { PasteError } from "../errors.js";
import { FileSink, type FinalSink, identityOf, openFileSink, openSink, type Sink } from "../sink.js";
import { CompressingSink, type Compression } from "./compress.js";
import { checkSplit, FileNames, type SplitOptions } from "./file-names.js";

export interface OutputOptions {
  output: string | Writable;
  sources: readonly string[];
  split?: SplitOptions | undefined;
  compression?: Compression | undefined;
  /** Compute each file's SHA-256. */
  hash?: boolean;
  /** A named pipe is not waited for any more. */
  signal?: AbortSignal | undefined;
}

/** A file that was finished. */
export interface WrittenFile {
  name: string;
  /** Among all files of the export, from 0; a ring has given up some. */
  index: number;
  frames: number;
  /** As they lie on the disk, compressed or not. */
  bytes: number;
  sha256?: Buffer;
}

export class Output {
  readonly #options: OutputOptions;
  readonly #names: FileNames | undefined;
  /** Finished files that are still there, oldest first. */
  readonly files: WrittenFile[] = [];
  /** Of files that the ring has given up. */
  removed = { files: 0, frames: 0 };
  /** Files of the ring that could not be removed, and stay; and why the first one could not. */
  #kept: { files: number; name: string; why: string } | undefined;
  /** By name: which file it was that this export wrote. */
  readonly #written = new Map<string, string>();
  #final: FinalSink | undefined;
  #sink: Sink | undefined;
  #frames = 0;
  #ended = 0;
  #bytesBefore = 0;

  constructor(options: OutputOptions) {
    this.#options = options;
    if (!options.split) return;
    checkSplit(options.split, options.output);
    this.#names = new FileNames(options.output as string, options.split);
  }

  /** Bytes of all files so far. */
  get bytes(): number {
    return this.#bytesBefore + (this.#final?.bytes ?? 0);
  }

  /** Opens the first file, unless its name depends on what will be in it. */
  async open(): Promise<void> {
    if (!this.#names?.timed) await this.#next(0n, false);
  }

  /** False when nobody reads any more. `firstNs` is the time of the first frame in it. */
  async write(bytes: Uint8Array, frames: number, firstNs = 0n): Promise<boolean> {
    if (bytes.length === 0) return true;
    if (!this.#sink) await this.#next(firstNs, false);
    this.#frames += frames;
    return this.#attempt(() => this.#sink!.write(bytes, frames));
  }

  /** A file that takes its bytes as they are encoded, when everything that was given is in it. */
  get fillable(): boolean {
    return this.#sink instanceof FileSink && this.#sink.fillable;
  }

  /** What the encoder gives next, written already. */
  async fill(encoder: CaptureEncoder, framesMax: number): Promise<SourcePiece> {
    const piece = await this.#attempt(() => (this.#sink as FileSink).fill(encoder, framesMax));
    this.#frames += piece.frames;
    return piece;
  }

  /** The file under way is complete; goes on in the next, which begins with a frame of this time. False: there shall be no more. */
  async rotate(firstNs: bigint, byTime: boolean): Promise<boolean> {
    await this.end();
    return this.#next(firstNs, byTime);
  }

  /** Finishes the file under way. False when nobody reads any more. */
  async end(): Promise<boolean> {
    const final = this.#final;
    if (!final) return true;
    const open = await this.#attempt(() => this.#sink!.end());
    const sha256 = final.digest();
    this.files.push({
      name: final.name,
      index: this.#ended++,
      frames: this.#frames,
      bytes: final.bytes,
      ...(sha256 && { sha256 }),
    });
    this.#bytesBefore += final.bytes;
    this.#frames = 0;
    await this.close();
    return open;
  }

  async close(): Promise<void> {
    const sink = this.#sink;
    this.#sink = this.#final = undefined;
    await sink?.close();
  }

  async #next(firstNs: bigint, byTime: boolean): Promise<boolean> {
    const { output, sources, compression, hash = false, signal } = this.#options;
    if (this.#names) {
      const name = this.#names.next(firstNs, byTime);
      if (name === null) return false;
      this.#final = await this.#openNamed(name, hash);
    } else {
      this.#final = await openSink(output, sources, { hash, signal });
    }
    this.#sink = compression ? new CompressingSink(this.#final, compression) : this.#final;
    return true;
  }

  /** A name that was not given by the user must not be somebody else's file; one of this ring is written over. */
  async #openNamed(name: string, hash: boolean): Promise<FileSink> {
    const { files: ring, names = "tcpdump", seconds } = this.#options.split!;
    const before = this.#written.get(name);
    if (before !== undefined) {
      if (names === "dumpcap" || seconds !== undefined || ring === undefined)
        throw new PasteError(
          "USAGE",
          `${name}: would be written a second time: give a finer time format, or -C for numbers`,
        );
      if ((await identityAt(name)) === before) this.#forget(name);
      else if (await exists(name))
        throw new PasteError(
          "RESOURCE",
          `${name}: is not the file that this export wrote any more: the ring stops here`,
        );
    }
    const given = name === this.#options.output;
    const sink = await openFileSink(name, this.#options.sources, {
      hash,
      fresh: !given && (await isForeign(name, before)),
    });
    this.#written.set(name, await sink.identity());
    // The next one is there: a name that somebody else's file has costs no file of the ring.
    if (names === "dumpcap" && ring !== undefined) while (this.files.length >= ring) await this.#removeOldest();
    return sink;
  }

  async #removeOldest(): Promise<void> {
    const { name } = this.files[0]!;
    this.#forget(name);
    if ((await identityAt(name)) !== this.#written.get(name)) return;
    try {
      await promises.unlink(name);
    } catch (cause) {
      this.#kept ??= { files: 0, name, why: (cause as NodeJS.ErrnoException).code ?? String(cause) };
      this.#kept.files++;
    }
  }

  /** What is odd and lost no frame, one line each. */
  get warnings(): string[] {
    if (!this.#kept) return [];
    const { files, name, why } = this.#kept;
    const which = files === 1 ? name : `${name} and ${formatOf(files - 1, "later file")}`;
    return [
      `${which} could not be removed from the ring (${why}): remove what is not wanted, and see to the folder's permissions`,
    ];
  }

  #forget(name: string): void {
    const index = this.files.findIndex((file) => file.name === name);
    const [file] = index < 0 ? [] : this.files.splice(index, 1);
    this.removed.files += file ? 1 : 0;
    this.removed.frames += file?.frames ?? 0;
  }

  async #attempt<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      const whole = this.files.length;
      if (!(error instanceof PasteError) || whole === 0) throw error;
      const files = whole === 1 ? "the file before it is complete" : `the ${whole} files before it are complete`;
      throw new PasteError(error.code, `${error.message}; ${files}`, { cause: error });
    }
  }
}

async function identityAt(name: string): Promise<string | undefined> {
  return promises.stat(name, { bigint: true }).then(identityOf, () => undefined);
}

async function exists(name: string): Promise<boolean> {
  return (await identityAt(name)) !== undefined;
}

/** Something that is a file, and not the one written before; a device such as /dev/null is nobody's. */
async function isForeign(name: string, before: string | undefined): Promise<boolean> {
  const found = await promises.stat(name, { bigint: true }).catch(() => undefined);
  return !found || (found.isFile() && identityOf(found) !== before);
}
