// Compression of what an export writes, by Node's own zlib. With gzip each piece becomes a member of its own (RFC 1952, section 2.2): several are
// compressed at once, and a file that had to be cut ends behind a whole one. Not every reader of zstd goes on behind a frame: there a file is one, which
// is flushed behind each piece.
import type { Transform } from "node:stream";
import { finished } from "node:stream/promises";
import { promisify } from "node:util";
import type zlib from "node:zlib";
import { PasteError } from "../errors.js";
import type { Sink } from "../sink.js";

export interface Compression {
  method: "gzip" | "zstd";
  /** gzip 0 to 9 (6), zstd 1 to 22 (3). */
  level?: number;
}

interface Compressor {
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  /** What stands at the end of the file. */
  end(): Promise<Uint8Array>;
}

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
export function compressor(compression: Compression): Compressor {
  checkLevel(compression);
  const { method, level } = compression;
  const library = process.getBuiltinModule("node:zlib"); // loaded where something is compressed
  if (method === "gzip") {
    const gzip = promisify(library.gzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;
    return {
      compress: (bytes) => gzip(bytes, level === undefined ? {} : { level }),
      end: async () => new Uint8Array(0),
    };
  }
  const { createZstdCompress, constants } = library as unknown as {
    createZstdCompress?: (options: object) => Zstd;
    constants: Record<string, number>;
  };
  if (!createZstdCompress)
    throw new PasteError(
      "USAGE",
      `zstd: Node ${process.version} cannot (22.15 and later can): choose gzip, or write plain and run zstd on the file`,
    );
  const params = level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel!]: level } };
  return new ZstdCompressor(createZstdCompress(params), constants.ZSTD_e_flush!);
}

interface Zstd extends Transform {
  flush(kind: number, done: () => void): void;
}

class ZstdCompressor implements Compressor {
  readonly #stream: Zstd;
  readonly #flush: number;
  #chunks: Buffer[] = [];

  constructor(stream: Zstd, flush: number) {
    this.#stream = stream;
    this.#flush = flush;
    stream.on("data", (chunk: Buffer) => this.#chunks.push(chunk));
  }

  async compress(bytes: Uint8Array): Promise<Uint8Array> {
    this.#stream.write(bytes);
    await new Promise<void>((resolve) => this.#stream.flush(this.#flush, resolve));
    return this.#taken();
  }

  async end(): Promise<Uint8Array> {
    this.#stream.end();
    await finished(this.#stream);
    return this.#taken();
  }

  #taken(): Buffer {
    const chunks = this.#chunks;
    this.#chunks = [];
    return Buffer.concat(chunks);
  }
}

/** Compresses beside whoever writes; order and back-pressure stay. */
export class CompressingSink implements Sink {
  readonly #sink: Sink;
  readonly #compressor: Compressor;
  #waiting: Promise<boolean>[] = [];
  /** The chain of writes behind it: pieces go out in their order. */
  #last: Promise<boolean> = Promise.resolve(true);

  constructor(sink: Sink, compression: Compression) {
    this.#sink = sink;
    this.#compressor = compressor(compression);
  }

  get name(): string {
    return this.#sink.name;
  }

  async write(bytes: Uint8Array, frames: number): Promise<boolean> {
    const before = this.#last;
    const compressed = this.#compressor.compress(bytes);
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
    const open = results.every((each) => each.status === "fulfilled" && each.value);
    const rest = await this.#compressor.end();
    return open && (rest.length === 0 || (await this.#sink.write(rest, 0))) && this.#sink.end();
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#waiting);
    await this.#sink.close();
  }
}
