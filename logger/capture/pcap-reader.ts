import { PasteError } from "../errors.js";
import type { ByteWindow } from "./byte-window.js";
import { type CaptureOptions, capturedLengthMax } from "./capture.js";
import { FormatReader } from "./format-reader.js";
import { checkLinkType } from "./link-type.js";
import { PcapRecords, type RecordSink } from "./pcap-records.js";
import { TimeWords } from "./time-words.js";

const fileHeaderSize = 24;
const recordHeaderSize = 16;

/**
 * Reads classic pcap (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html), micro- and nanoseconds, in both
 * byte orders. The records are found and checked here and parsed by pcap-parser, and the two counts must agree.
 */
export class PcapReader extends FormatReader implements RecordSink {
  protected readonly unit = "record";
  readonly #bigEndian: boolean;
  readonly #nanoseconds: boolean;
  readonly #minorVersion: number;
  readonly #snaplen: number;
  readonly #records: PcapRecords;
  readonly #time = new TimeWords();
  /** Where the bytes that pcap-parser is looking at begin in the window's buffer. */
  #base = 0;

  /** Reads the file header. Throws CAPTURE for a short one, a wrong version or a link type that cannot be read. */
  static async open(
    window: ByteWindow,
    kind: { format: "pcap" | "nsecpcap"; bigEndian: boolean },
    name: string,
    options: CaptureOptions,
  ): Promise<PcapReader> {
    if (!(await window.ensure(fileHeaderSize)))
      throw new PasteError("CAPTURE", `${name}: ends within its file header, after ${window.length} of 24 bytes`);
    return new PcapReader(window, kind, name, options);
  }

  private constructor(
    window: ByteWindow,
    kind: { format: "pcap" | "nsecpcap"; bigEndian: boolean },
    name: string,
    options: CaptureOptions,
  ) {
    super(window, name, options);
    this.#bigEndian = kind.bigEndian;
    this.#nanoseconds = kind.format === "nsecpcap";
    const header = window.buffer.subarray(window.start, window.start + fileHeaderSize);
    const view = new DataView(header.buffer, header.byteOffset, fileHeaderSize);
    const little = !kind.bigEndian;
    const major = view.getUint16(4, little);
    this.#minorVersion = view.getUint16(6, little);
    if (major !== 2 || this.#minorVersion > 4)
      throw new PasteError(
        "CAPTURE",
        `${name}: pcap version ${major}.${this.#minorVersion} is not known: 2.0 to 2.4 can be read`,
      );
    this.#snaplen = view.getUint32(16, little);
    const linkType = view.getUint32(20, little);
    // Bit 26 says that the length of a frame check sequence is given, in the top four bits, in units of two bytes.
    const fcsLength = linkType & 0x04000000 ? (linkType >>> 28) * 2 : 0;
    if (fcsLength > 0)
      this.notes.push(`each frame ends with a frame check sequence of ${fcsLength} bytes, which is kept`);
    this.interfaces.push({ name: "", linkType: linkType & 0xffff, snaplen: this.#snaplen });
    checkLinkType(linkType & 0xffff, options.synthesizeEthernet ?? false, name);
    this.#records = new PcapRecords(header, kind.bigEndian);
    window.advance(fileHeaderSize);
  }

  /** Finds how far whole and plausible records reach, has them parsed, then throws if the next one is wrong. */
  protected scan(): void {
    const { buffer, start, end } = this.window;
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    let position = start;
    let count = 0;
    let absurd = -1;
    this.needed = recordHeaderSize;
    while (end - position >= recordHeaderSize) {
      const captured = this.#capturedLength(view, position);
      if (captured > capturedLengthMax) {
        absurd = captured;
        break;
      }
      this.needed = recordHeaderSize + captured;
      if (end - position < this.needed) break;
      if (this.#minorVersion < 4) this.#straightenLengths(view, position, captured);
      position += this.needed;
      this.needed = recordHeaderSize;
      count++;
    }
    if (count > 0) {
      this.#base = start;
      this.#records.parse(buffer.subarray(start, position), count, this);
      this.window.advance(position - start);
      this.recordCount += count;
    }
    if (absurd >= 0)
      throw this.damage(
        `captured length ${absurd} is over ${capturedLengthMax}, so the file is damaged here or before`,
      );
  }

  /** Before version 2.3 the two lengths stood the other way round, and writers of 2.3 disagreed: there the lesser counts. */
  #capturedLength(view: DataView, record: number): number {
    const length = view.getUint32(record + (this.#minorVersion < 3 ? 12 : 8), !this.#bigEndian);
    return this.#minorVersion === 3 ? Math.min(length, view.getUint32(record + 12, !this.#bigEndian)) : length;
  }

  /** Puts a whole record's lengths into the order of version 2.4, in which pcap-parser reads them. */
  #straightenLengths(view: DataView, record: number, captured: number): void {
    const first = view.getUint32(record + 8, !this.#bigEndian);
    if (first === captured) return;
    view.setUint32(record + 8, captured, !this.#bigEndian);
    view.setUint32(record + 12, first, !this.#bigEndian);
  }

  record(offset: number, captured: number, wire: number, seconds: number, fraction: number): void {
    if (fraction >= (this.#nanoseconds ? 1_000_000_000 : 1_000_000))
      this.warnings.add("a frame's time has a fraction of over a second, which was carried over");
    if (this.#snaplen > 0 && captured > this.#snaplen)
      this.warnings.add(
        `a frame is longer than the snapshot length of ${this.#snaplen} in the file header; it is kept whole`,
      );
    if (wire < captured)
      this.warnings.add("a frame claims to be shorter on the wire than what was captured; what was captured counts");
    this.#time.setSeconds(seconds, this.#nanoseconds ? fraction : fraction * 1000);
    this.columns.push(this.#base + offset, captured, Math.max(wire, captured), this.#time.high, this.#time.low, 0);
  }
}
