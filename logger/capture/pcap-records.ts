import { EventEmitter } from "node:events";
import type Parser from "pcap-parser";
import { requirePackage } from "../../native/packages.js";
import { PasteError } from "../errors.js";

const pcapParser = requirePackage("pcap-parser") as typeof Parser;

/** Where the records of a classic pcap file go: `offset` is the frame's place in the bytes that were handed over. */
export interface RecordSink {
  record(offset: number, captured: number, wire: number, seconds: number, fraction: number): void;
}

/** What pcap-parser takes for a stream: it pauses and resumes it, and listens to its data. */
class Feed extends EventEmitter {
  pause(): this {
    return this;
  }
  resume(): this {
    return this;
  }
}

/**
 * The only user of pcap-parser, which is old, and safe within these bounds: it is handed a file header of the one magic
 * number and version that it knows (the caller keeps to itself what others mean), then whole records only, whose headers the
 * caller has checked. So it never waits for bytes that do not come, never joins buffers (which it does in quadratic time
 * and with `new Buffer`), and each call's records and bytes can be counted against what went in.
 */
export class PcapRecords {
  readonly #feed = new Feed();
  readonly #parser: ReturnType<typeof pcapParser.parse>;
  #sink: RecordSink | null = null;
  #chunk: Buffer = Buffer.alloc(0);
  #inPlace = true;
  #count = 0;
  #bytes = 0;

  /** `header` is the file's header of 24 bytes. */
  constructor(header: Buffer, bigEndian: boolean) {
    this.#parser = pcapParser.parse(this.#feed);
    this.#parser.on("error", (error) => {
      throw new PasteError("INTERNAL", `pcap-parser refused a checked file header: ${error.message}`, { cause: error });
    });
    this.#parser.on("packet", ({ header, data }) => {
      this.#count++;
      this.#bytes += 16 + data.length;
      this.#inPlace &&= data.buffer === this.#chunk.buffer;
      this.#sink?.record(
        data.byteOffset - this.#chunk.byteOffset,
        header.capturedLength,
        header.originalLength,
        header.timestampSeconds,
        header.timestampMicroseconds,
      );
    });
    const known = Buffer.from(header);
    known.writeUInt32BE(bigEndian ? 0xa1b2c3d4 : 0xd4c3b2a1, 0);
    known.writeUInt32BE(bigEndian ? 0x00020004 : 0x02000400, 4);
    this.#feed.emit("data", known);
  }

  /** Parses `bytes`, which are exactly `count` whole records. Throws INTERNAL when the parser saw anything else. */
  parse(bytes: Buffer, count: number, sink: RecordSink): void {
    // An empty rest would be joined with the chunk in a new buffer; without one the chunk is read where it lies.
    if (this.#parser.buffer?.length === 0) this.#parser.buffer = null;
    this.#sink = sink;
    this.#chunk = bytes;
    this.#inPlace = true;
    this.#count = 0;
    this.#bytes = 0;
    this.#feed.emit("data", bytes);
    this.#sink = null;
    if (this.#count !== count || this.#bytes !== bytes.length)
      throw new PasteError(
        "INTERNAL",
        `pcap-parser returned ${this.#count} records of ${this.#bytes} bytes out of ${count} of ${bytes.length}`,
      );
    if (!this.#inPlace)
      throw new PasteError("INTERNAL", "pcap-parser returned bytes of a buffer that it was not given");
  }
}
