import type { ByteSource } from "./byte-source.js";

/** Bytes of a fresh chunk: large enough that the work per chunk does not count, small enough to stay in the cache. */
const chunkSize = 1024 * 1024;
/** A chunk with less room than this is not read into again: reads would become too small. */
const roomMin = 64 * 1024;

/**
 * A moving view over a source. `buffer[start..end)` has been read and not yet been used; `position` is the offset of
 * `start` in the file. Bytes before `start` belong to the batches that were made of them and are never written again:
 * a chunk is filled on behind them, then the unused rest moves to the next chunk.
 */
export class ByteWindow {
  buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  position = 0;
  ended = false;
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** The first bytes of the view, `count` at most. */
  head(count: number): Buffer {
    return this.buffer.subarray(this.start, Math.min(this.end, this.start + count));
  }

  /** Marks `count` bytes as used. */
  advance(count: number): void {
    this.start += count;
    this.position += count;
  }

  /**
   * Reads once, so that the view grows. `needed` is how many bytes the next record needs in all, as far as that is
   * known: the chunk has room for them afterwards. False at the end of the source.
   */
  async fill(needed: number): Promise<boolean> {
    if (this.ended) return false;
    const room = this.buffer.length - this.end;
    if (room < roomMin || this.buffer.length - this.start < needed) this.#renew(needed);
    const count = await this.#source.read(this.buffer, this.end);
    this.end += count;
    this.ended = count === 0;
    return !this.ended;
  }

  /** Reads until the view holds `count` bytes. False when the source ends before. */
  async ensure(count: number): Promise<boolean> {
    while (this.length < count) if (!(await this.fill(count))) return false;
    return true;
  }

  #renew(needed: number): void {
    const chunk = Buffer.allocUnsafeSlow(Math.max(chunkSize, needed + roomMin));
    this.buffer.copy(chunk, 0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
    this.buffer = chunk;
  }
}
