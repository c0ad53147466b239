import { PasteError } from "../errors.js";
import { type ByteSource, iterableSource, openByteSource } from "./byte-source.js";
import { ByteWindow } from "./byte-window.js";
import type { CaptureBatch, CaptureFormat, CaptureInterface, CaptureOptions } from "./capture.js";
import { FormatReader } from "./format-reader.js";
import { captureKind, foreignFile, foreignHeadSize } from "./identify.js";
import { PcapReader } from "./pcap-reader.js";
import { PcapngReader } from "./pcapng-reader.js";
import { EthernetSynthesizer } from "./synthesize-ethernet.js";

/**
 * A capture that is read from its beginning to its end, once: `for await (const batch of reader)`. Frames before damage
 * are delivered, then the loop throws CAPTURE with record number, byte offset and how many frames were whole. The source
 * is closed when the loop ends, however it ends.
 */
export class CaptureReader implements AsyncIterable<CaptureBatch> {
  readonly #source: ByteSource;
  readonly #reader: FormatReader;
  readonly #synthesizer: EthernetSynthesizer | null;
  readonly #signal: AbortSignal | undefined;
  #begun = false;

  constructor(
    readonly format: CaptureFormat,
    source: ByteSource,
    reader: FormatReader,
    { synthesizeEthernet, signal }: CaptureOptions,
  ) {
    this.#source = source;
    this.#signal = signal;
    this.#reader = reader;
    this.#synthesizer = synthesizeEthernet ? new EthernetSynthesizer(reader.interfaces) : null;
  }

  get name(): string {
    return this.#source.name;
  }

  /**
   * All interfaces that were described so far; a pcapng file may add to them while it is read. Those that gave a frame are
   * Ethernet: frames of others are an error, or are given Ethernet headers.
   */
  get interfaces(): readonly CaptureInterface[] {
    return this.#synthesizer?.interfaces ?? this.#reader.interfaces;
  }

  /** What was done to the frames, to be told to the user. Complete at the end. */
  get notes(): readonly string[] {
    return [...this.#reader.notes, ...(this.#synthesizer?.notes() ?? [])];
  }

  /** What is odd about the file and cost no whole frame, one line each. Complete at the end. */
  get warnings(): readonly string[] {
    return this.#reader.warnings.lines();
  }

  /** Whole frames that were found so far. */
  get frameCount(): number {
    return this.#reader.frameCount;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CaptureBatch, void, void> {
    if (this.#begun) throw new PasteError("USAGE", `${this.name}: is being read already: open it again`);
    this.#begun = true;
    try {
      for await (const batch of this.#reader.batches()) yield this.#synthesizer?.convert(batch) ?? batch;
    } catch (error) {
      if (!this.#signal?.aborted) throw error;
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#begun = true;
    await this.#source.close();
  }
}

/**
 * Opens a capture file, or standard input for "-": classic pcap with micro- or nanoseconds, or pcapng.
 * Throws CAPTURE when it is none of these, empty, of another version, or of a link type that cannot be read.
 */
export async function openCapture(path: string, options: CaptureOptions = {}): Promise<CaptureReader> {
  return openSource(await openByteSource(path, options.signal), options);
}

/** As openCapture, over bytes from elsewhere. `name` is how messages call them. */
export function openCaptureBytes(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  name: string,
  options: CaptureOptions = {},
): Promise<CaptureReader> {
  return openSource(iterableSource(chunks, name), options);
}

/** Of a pipe that was not waited for long enough to know what it is. */
class NoReader extends FormatReader {
  protected readonly unit = "record";
  constructor(source: ByteSource, options: CaptureOptions) {
    super(new ByteWindow(source), source.name, options);
  }
  protected scan(): void {}
}

async function openSource(source: ByteSource, options: CaptureOptions): Promise<CaptureReader> {
  try {
    const window = new ByteWindow(source);
    // No more is asked for than is needed to know: a live source may send its first frame much later.
    const kind = (await window.ensure(4)) ? captureKind(window.head(4)) : null;
    if (!kind) {
      await window.ensure(foreignHeadSize);
      throw foreignFile(window.head(foreignHeadSize), source.name);
    }
    const reader =
      kind.format === "pcapng"
        ? await PcapngReader.open(window, source.name, options)
        : await PcapReader.open(window, kind, source.name, options);
    reader.prime();
    return new CaptureReader(kind.format, source, reader, options);
  } catch (error) {
    if (options.signal?.aborted) return new CaptureReader("pcap", source, new NoReader(source, options), options);
    await source.close();
    throw error;
  }
}
