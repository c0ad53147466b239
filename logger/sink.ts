// Where an export goes: a file, or a stream such as standard output. Back-pressure is respected: a write is done when its
// bytes are.
import type { Hash } from "node:crypto";
import { constants, openSync, promises } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Writable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import type { CaptureEncoder, SourcePiece } from "../native/export.js";
import { formatCount, formatOf } from "./counts.js";
import { PasteError, writeProblem } from "./errors.js";
import { standardOutput } from "./standard-output.js";

export interface Sink {
  readonly name: string;
  /** False when nobody reads any more (a closed pipe): then there is no point in going on, and no error. */
  write(bytes: Uint8Array, frames: number): Promise<boolean>;
  /** Everything that was given is written. False as above. */
  end(): Promise<boolean>;
  /** Always, at the very end; also after a failure. */
  close(): Promise<void>;
}

/** Where bytes end up. */
export interface FinalSink extends Sink {
  /** Bytes written so far. */
  readonly bytes: number;
  /** SHA-256 of them, when it was asked for; once, at the end. */
  digest(): Buffer | undefined;
}

export interface SinkOptions {
  /** Compute the SHA-256 of what is written. */
  hash?: boolean;
  /** The file must not exist yet. */
  fresh?: boolean;
  /** Nobody waits for a named pipe's reader any more. */
  signal?: AbortSignal | undefined;
}

/** What an encoder writes at once: many pieces for each time that it is asked, few enough to be stopped in between. */
const fillBytes = 8 << 20;

/** Between two looks whether a named pipe has a reader. */
const readerLookMs = 20;

/** A file that ends, whatever happens, with the last whole piece that was written. */
export class FileSink implements FinalSink {
  readonly name: string;
  readonly #handle: FileHandle;
  readonly #hash: Hash | undefined;
  #bytes = 0;
  #frames = 0;

  constructor(name: string, handle: FileHandle, hash: boolean) {
    this.name = name;
    this.#handle = handle;
    this.#hash = hash ? sha256() : undefined;
  }

  get bytes(): number {
    return this.#bytes;
  }
  digest(): Buffer | undefined {
    return this.#hash?.digest();
  }
  /** Which file it is, whatever its name means later. */
  async identity(): Promise<string> {
    return identityOf(await this.#handle.stat({ bigint: true }));
  }

  async write(bytes: Uint8Array, frames: number): Promise<boolean> {
    let done = 0;
    try {
      while (done < bytes.length)
        done += (await this.#handle.write(bytes, done, bytes.length - done, this.#bytes + done)).bytesWritten;
    } catch (cause) {
      throw await this.#stopped(cause as NodeJS.ErrnoException);
    }
    this.#hash?.update(bytes);
    this.#bytes += bytes.length;
    this.#frames += frames;
    return true;
  }

  /** Whether an encoder may write into it: nobody here needs the bytes. */
  get fillable(): boolean {
    return this.#hash === undefined;
  }
  /** The encoder's next frames, straight into the file: no byte goes through JavaScript. */
  async fill(encoder: CaptureEncoder, framesMax: number): Promise<SourcePiece> {
    const piece = await encoder.write(this.#handle.fd, this.#bytes, fillBytes, framesMax);
    this.#bytes += piece.written;
    this.#frames += piece.frames;
    if (piece.error === 0) return piece;
    throw await this.#stopped(Object.assign(new Error("write"), { code: getSystemErrorName(-piece.error) }));
  }

  async end(): Promise<boolean> {
    return true;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #stopped(cause: NodeJS.ErrnoException): Promise<PasteError> {
    const valid = await this.#handle.truncate(this.#bytes).then(
      () =>
        this.#bytes === 0 ? "the file is empty" : `the file is valid up to there (${formatOf(this.#bytes, "byte")})`,
      () => `what is behind byte ${formatCount(this.#bytes)} of the file is incomplete`,
    );
    const text = `${this.name}: stopped after ${formatOf(this.#frames, "frame")}, ${valid}; ${writeProblem(cause)}`;
    return new PasteError("RESOURCE", text, { cause });
  }
}

class StreamSink implements FinalSink {
  readonly name: string;
  readonly #stream: Writable;
  readonly #hash: Hash | undefined;
  /** Opened here, and closed here. */
  readonly #own: boolean;
  #bytes = 0;
  #frames = 0;
  #problem: NodeJS.ErrnoException | null = null;
  readonly #onError = (error: NodeJS.ErrnoException) => {
    this.#problem ??= error;
  };

  constructor(name: string, stream: Writable, hash: boolean, own = false) {
    this.name = name;
    this.#stream = stream;
    this.#hash = hash ? sha256() : undefined;
    this.#own = own;
    stream.on("error", this.#onError);
  }

  get bytes(): number {
    return this.#bytes;
  }
  digest(): Buffer | undefined {
    return this.#hash?.digest();
  }

  async write(bytes: Uint8Array, frames: number): Promise<boolean> {
    if (!this.#problem && bytes.length > 0)
      await new Promise<void>((resolve) =>
        this.#stream.write(bytes, (error) => {
          if (error) this.#problem ??= error as NodeJS.ErrnoException;
          resolve();
        }),
      );
    if (!this.#problem) {
      this.#hash?.update(bytes);
      this.#bytes += bytes.length;
      this.#frames += frames;
      return true;
    }
    if (this.#problem.code === "EPIPE" || this.#problem.code === "ERR_STREAM_DESTROYED") return false;
    const text = `${this.name}: stopped after ${formatOf(this.#frames, "frame")}: ${writeProblem(this.#problem)}`;
    throw new PasteError("RESOURCE", text, { cause: this.#problem });
  }

  async end(): Promise<boolean> {
    return this.#problem === null;
  }

  /** Somebody else's stream stays open. Error events go on being taken, since they may still be under way. */
  async close(): Promise<void> {
    if (this.#own) this.#stream.destroy();
  }
}

/**
 * Opens a path for writing ("-": standard output), or takes a stream. A named pipe waits for its reader; an existing file is replaced, but never a store, nor one of
 * `sources`, which would be emptied before it is read.
 */
export async function openSink(
  output: string | Writable,
  sources: readonly string[],
  options: SinkOptions = {},
): Promise<FinalSink> {
  const hash = options.hash ?? false;
  if (output === "-") return new StreamSink("standard output", standardOutput(), hash);
  if (typeof output !== "string") return new StreamSink("the output", output, hash);
  if ((await promises.stat(output).catch(() => undefined))?.isFIFO())
    return new StreamSink(output, await openPipe(output, options.signal), hash, true);
  return openFileSink(output, sources, options);
}

export async function openFileSink(
  path: string,
  sources: readonly string[],
  { hash = false, fresh = false }: SinkOptions = {},
): Promise<FileSink> {
  const handle = await openFile(path, fresh);
  try {
    await refuseSource(path, handle, sources);
    if ((await handle.stat()).isFile()) await handle.truncate(0);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return new FileSink(path, handle, hash);
}

/** Most outputs have none: node:crypto costs a command 3 ms of its start. */
function sha256(): Hash {
  return process.getBuiltinModule("node:crypto").createHash("sha256");
}

export function identityOf({ dev, ino }: { dev: bigint; ino: bigint }): string {
  return `${dev}:${ino}`;
}

async function openFile(path: string, fresh: boolean): Promise<FileHandle> {
  try {
    return await promises.open(path, constants.O_RDWR | constants.O_CREAT | (fresh ? constants.O_EXCL : 0), 0o666);
  } catch (cause) {
    throw openProblem(path, cause as NodeJS.ErrnoException);
  }
}

/** A named pipe, when somebody reads it, or one that nobody reads when `signal` was raised first. No thread waits in the system for that, nor for what it takes: the program could not be ended. */
async function openPipe(path: string, signal?: AbortSignal): Promise<Writable> {
  const net = process.getBuiltinModule("node:net"); // loaded where there is a pipe
  for (;;) {
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      return new net.Socket({ fd, readable: false, writable: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENXIO") throw openProblem(path, cause as NodeJS.ErrnoException);
      if (signal?.aborted) return new net.Socket().destroy();
      await setTimeout(readerLookMs, undefined, signal ? { signal } : {}).catch(() => {});
    }
  }
}

function openProblem(path: string, cause: NodeJS.ErrnoException): PasteError {
  const { code } = cause;
  if (code === "EEXIST")
    return new PasteError(
      "USAGE",
      `${path}: is there already, and this export did not write it: move it away, or choose another name`,
      { cause },
    );
  if (code === "EISDIR") return new PasteError("USAGE", `${path}: is a folder: give a file to write`, { cause });
  if (code === "ENOENT") return new PasteError("USAGE", `${path}: its folder does not exist: make it first`, { cause });
  if (code === "ENOSPC") return new PasteError("RESOURCE", `${path}: the disk is full: nothing was written`, { cause });
  return new PasteError("PRIVILEGE", `${path}: cannot be written (${code}): choose another place`, { cause });
}

async function refuseSource(path: string, handle: FileHandle, sources: readonly string[]): Promise<void> {
  const own = await handle.stat({ bigint: true });
  for (const source of sources) {
    if (source === "-") continue;
    const info = await promises.stat(source, { bigint: true }).catch(() => null);
    if (info && info.dev === own.dev && info.ino === own.ino)
      throw new PasteError("USAGE", `${path}: is what frames are read from: write to another file`);
  }
  const head = Buffer.alloc(8);
  const { bytesRead } = own.isFile() ? await handle.read(head, 0, 8, 0) : { bytesRead: 0 };
  if (bytesRead === 8 && head.toString("latin1") === "PASTESW1")
    throw new PasteError("USAGE", `${path}: is a store, which an export would destroy: write to another file`);
}
