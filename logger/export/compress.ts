// Compression of what an export writes, by Node's own zlib. Each piece becomes a member (gzip, RFC 1952 section 2.2) or frame (zstd, RFC 8878) of its
// own: several are compressed at once, and a file that had to be cut ends behind a whole one.
import { promisify } from "node:util";
import zlib from "node:zlib";
import { PasteError } from "../errors.js";
import type { Sink } from "../sink.js";

export interface Compression {
  method: "gzip" | "zstd";
  /** gzip 0 to 9 (6), zstd 1 to 22 (3). */
  level?: number;
}

type Compress = (bytes: Uint8Array) => Promise<Uint8Array>;

const levels = { gzip: [0, 9], zstd: [1, 22] } as const;
/** Pieces that are being compressed at once, at most. */
export const piecesCompressing = 4;

/** "gzip", "zstd", "gzip:9". Throws USAGE. */
export function parseCompression(text: string): Compression {
  const [, method, level] = /^(gzip|zstd)(?::(\d+))?$/.exec(text) ?? [];
  if (method === undefined)
    throw new PasteError("USAGE", `--compress ${text}: give gzip or zstd, with a level if you like: gzip:9`);
  const compression = { method: method as Compression["method"], ...(level && { level: Number(level) }) };
  checkLevel(compression);
  return compression;
}

/** What a name's ending asks for. */
export function compressionOf(name: string): Compression | undefined {
  if (name.endsWith(".gz")) return { method: "gzip" };
  return name.endsWith(".zst") ? { method: "zstd" } : undefined;
}

function checkLevel({ method, level }: Compression): void {
  const [low, high] = levels[method];
  if (level !== undefined && !(Number.isInteger(level) && level >= low && level <= high))
    throw new PasteError("USAGE", `${method} has the levels ${low} to ${high}, not ${level}`);
}

/** Throws USAGE where this Node has no zstd. */
export function compressor(compression: Compression): Compress {
  checkLevel(compression);
  const { method, level } = compression;
  if (method === "gzip") {
    const gzip = promisify(zlib.gzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;
    return (bytes) => gzip(bytes, level === undefined ? {} : { level });
  }
  const { zstdCompress, constants } = zlib as unknown as {
    zstdCompress?: (bytes: Uint8Array, options: object, done: (error: Error | null, bytes: Buffer) => void) => void;
    constants: Record<string, number>;
  };
  if (!zstdCompress)
    throw new PasteError(
      "USAGE",
      `zstd: Node ${process.version} cannot (22.15 and later can): choose gzip, or write plain and run zstd on the file`,
    );
  const zstd = promisify(zstdCompress) as (bytes: Uint8Array, options: object) => Promise<Buffer>;
  const params = level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel!]: level } };
  return (bytes) => zstd(bytes, params);
}

/** Compresses beside whoever writes; order and back-pressure stay. */
export class CompressingSink implements Sink {
  readonly #sink: Sink;
  readonly #compress: Compress;
  #waiting: Promise<boolean>[] = [];
  /** The chain of writes behind it: pieces go out in their order. */
  #last: Promise<boolean> = Promise.resolve(true);

  constructor(sink: Sink, compression: Compression) {
    this.#sink = sink;
    this.#compress = compressor(compression);
  }

  get name(): string {
    return this.#sink.name;
  }

  async write(bytes: Uint8Array, frames: number): Promise<boolean> {
    const before = this.#last;
    const compressed = this.#compress(bytes);
    const written = (async () => {
      const [done, out] = await Promise.all([before, compressed]);
      return done && this.#sink.write(out, frames);
    })();
    written.catch(() => {}); // told when it is awaited
    this.#last = written;
    this.#waiting.push(written);
    return this.#waiting.length < piecesCompressing ? true : this.#waiting.shift()!;
  }

  async end(): Promise<boolean> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const results = await Promise.allSettled(waiting);
    const failed = results.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    return results.every((each) => each.status === "fulfilled" && each.value) && this.#sink.end();
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#waiting);
    await this.#sink.close();
  }
}
