// What a tail writes to: lines or whole pieces of a capture, as fast as the reader of the output takes them, never ahead of it.
import type { Writable } from "node:stream";
import { PasteError } from "./errors.js";
import type { PrintablePacket } from "./print/packet.js";
import { openSink, type Sink } from "./sink.js";

/** A packet as the text that is written for it, with its line feed. */
export type PacketLines = (packet: PrintablePacket) => string;

/** What every tail is told, wherever its frames come from. */
export interface TailOutputOptions {
  /** A file, "-" for standard output, or a stream. */
  output: string | Writable;
  /** How a packet looks as text; absent: the output is pcapng. */
  print?: PacketLines;
  /** Frames to write at most. */
  limit?: number;
  /** Bytes of a frame at most. */
  snaplen?: number;
  /** End when the store's writer, or the daemon, ends, and everything was read. */
  untilStop?: boolean;
  /** Ends it early; what was written is whole. */
  signal?: AbortSignal;
}

/** "limit": as many as were asked for; "stopped": the store's writer, or the daemon, ended; "closed": nobody reads the output. */
export type TailEnd = "limit" | "stopped" | "closed" | "aborted";

/** Text gathered before it is written: a batch of a million packets is not one string. */
const chunkCharacters = 1 << 16;

/** Counts what was written; says when nobody reads any more, or when there is enough. */
export class TailOutput {
  frames = 0;
  /** Nobody reads any more: a closed pipe. */
  closed = false;
  readonly #limit: number;
  readonly #sink: Sink;

  private constructor(sink: Sink, limit: number) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** `limit`: frames at most. Throws USAGE for a limit that is none, and where `output` is one of `sources`. */
  static async open(
    output: string | Writable,
    sources: readonly string[],
    limit = Number.POSITIVE_INFINITY,
    signal?: AbortSignal,
  ): Promise<TailOutput> {
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit > 0))
      throw new PasteError("USAGE", `limit must be an integer above 0, it is ${limit}`);
    return new TailOutput(await openSink(output, sources, { signal }), limit);
  }

  /** Frames that may still come. */
  get left(): number {
    return this.#limit - this.frames;
  }
  get done(): boolean {
    return this.closed || this.left <= 0;
  }
  /** Why it is over. */
  ended(stopped: boolean): TailEnd {
    if (this.closed) return "closed";
    if (this.done) return "limit";
    return stopped ? "stopped" : "aborted";
  }

  /** The packets in order, `left` at most. */
  async lines(packets: Iterable<PrintablePacket>, print: PacketLines): Promise<void> {
    let text = "";
    let frames = 0;
    for (const packet of packets) {
      if (frames >= this.left || this.closed) break;
      text += print(packet);
      frames++;
      if (text.length < chunkCharacters) continue;
      await this.bytes(Buffer.from(text), frames);
      text = "";
      frames = 0;
    }
    await this.bytes(Buffer.from(text), frames);
  }

  /** A piece of a capture with so many frames. Returns when it was taken. */
  async bytes(bytes: Uint8Array, frames: number): Promise<void> {
    if (bytes.length === 0 || this.closed) return;
    if (await this.#sink.write(bytes, frames)) this.frames += frames;
    else this.closed = true;
  }

  close(): Promise<void> {
    return this.#sink.close();
  }
}
