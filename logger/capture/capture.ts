/** What a capture file is made of, in the shape in which it is read and written: columns, never an object per frame. */

/** The longest frame that a capture may hold: tcpdump's MAXIMUM_SNAPLEN. A longer length is damage. */
export const capturedLengthMax = 256 * 1024;

export type CaptureFormat = "pcap" | "nsecpcap" | "pcapng";

/** An interface of a capture. Classic pcap has exactly one; pcapng numbers them over all its sections, in file order. */
export interface CaptureInterface {
  readonly name: string;
  /** A value of the LINKTYPE registry: 1 is Ethernet. */
  readonly linkType: number;
  /** Bytes that were kept of a frame at most; 0 means no limit. */
  readonly snaplen: number;
}

/**
 * Frames in file order, one column per fact. Frame i is `data.subarray(offsets[i], offsets[i] + capturedLengths[i])`.
 * The batch belongs to whoever receives it; nothing of it is written again. Times are nanoseconds since 1970 (UTC), may
 * repeat and run backwards. `wireLengths[i] >= capturedLengths[i]` always holds.
 */
export interface CaptureBatch {
  readonly data: Buffer;
  readonly count: number;
  readonly offsets: Uint32Array;
  readonly capturedLengths: Uint32Array;
  readonly wireLengths: Uint32Array;
  readonly timesNs: BigInt64Array;
  /** For each frame the index of its interface in the reader's `interfaces`. */
  readonly interfaces: Uint16Array;
}

export interface CaptureOptions {
  /** A file that ends within a record gives a warning instead of an error; the whole frames before it count. */
  readonly allowTruncated?: boolean;
  /** Frames of link types that carry IP without Ethernet (SLL, SLL2, RAW, NULL, LOOP) are given Ethernet headers. */
  readonly synthesizeEthernet?: boolean;
  /** A pipe that has nothing to give is not waited for any more: the capture ends there. */
  readonly signal?: AbortSignal | undefined;
}

/** What a format's reader tells while it reads. */
export interface CaptureFindings {
  readonly interfaces: CaptureInterface[];
  /** What was done to the frames, once each: "Linux cooked frames were given Ethernet headers". */
  readonly notes: string[];
  /** What is odd about the file and cost no frame, counted. */
  readonly warnings: Warnings;
}

/** Oddities by sentence, each with the number of times it was met. */
export class Warnings {
  readonly #counts = new Map<string, number>();

  add(sentence: string): void {
    this.#counts.set(sentence, (this.#counts.get(sentence) ?? 0) + 1);
  }

  /** One line per oddity: the sentence, and how often when more than once. */
  lines(): string[] {
    return [...this.#counts].map(([sentence, count]) => (count === 1 ? sentence : `${sentence} (${count} times)`));
  }
}
