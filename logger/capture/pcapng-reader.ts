import { PasteError } from "../errors.js";
import type { ByteWindow } from "./byte-window.js";
import { type CaptureOptions, capturedLengthMax } from "./capture.js";
import { FormatReader } from "./format-reader.js";
import { checkLinkType } from "./link-type.js";
import { blockLengthMax, blockTypes, byteOrderMagic, readInterfaceDescription } from "./pcapng-block.js";
import { type TimeScale, TimeWords } from "./time-words.js";

interface Interface {
  readonly linkType: number;
  readonly snaplen: number;
  readonly scale: TimeScale;
  /** Whether the link type was found readable; asked at the first frame, as an unused interface harms nobody. */
  checked: boolean;
}

/** Reads pcapng: both byte orders, several sections, any number of interfaces, all blocks that carry frames. */
export class PcapngReader extends FormatReader {
  protected readonly unit = "block";
  /** The interfaces of the current section start here in `interfaces`: each section numbers its own from 0. */
  #sectionBase = 0;
  readonly #all: Interface[] = [];
  readonly #time = new TimeWords();
  #view = new DataView(new ArrayBuffer(0));
  #little = true;

  /** Reads the first block's beginning. Throws CAPTURE when it is no section header that can be read. */
  static async open(window: ByteWindow, name: string, options: CaptureOptions): Promise<PcapngReader> {
    if (!(await window.ensure(28)))
      throw new PasteError("CAPTURE", `${name}: ends within its section header, after ${window.length} bytes`);
    return new PcapngReader(window, name, options);
  }

  protected scan(): void {
    const { window } = this;
    const { buffer } = window;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.needed = 12;
    while (window.length >= 12) {
      const start = window.start;
      const type = this.#view.getUint32(start, this.#little);
      if (type === blockTypes.sectionHeader) this.#readByteOrder(start);
      const length = this.#checkedLength(start);
      this.needed = length;
      if (window.length < length) return;
      if (this.#view.getUint32(start + length - 4, this.#little) !== length)
        throw this.damage("the block's two lengths differ, so the file is damaged here or before");
      this.#readBlock(type, start, length);
      this.recordCount++;
      window.advance(length);
      this.needed = 12;
    }
  }

  #readByteOrder(start: number): void {
    if (this.#view.getUint32(start + 8, true) === byteOrderMagic) this.#little = true;
    else if (this.#view.getUint32(start + 8, false) === byteOrderMagic) this.#little = false;
    else throw this.damage("a section header without a byte-order mark, so the file is damaged here or before");
  }

  #checkedLength(start: number): number {
    const length = this.#view.getUint32(start + 4, this.#little);
    if (length < 12 || length > blockLengthMax || length % 4 !== 0)
      throw this.damage(`block length ${length} is absurd, so the file is damaged here or before`);
    return length;
  }

  #readBlock(type: number, start: number, length: number): void {
    switch (type) {
      case blockTypes.enhancedPacket:
        this.#readPacket(start, length, this.#view.getUint32(start + 8, this.#little));
        break;
      case blockTypes.obsoletePacket:
        this.#readPacket(start, length, this.#view.getUint16(start + 8, this.#little));
        break;
      case blockTypes.simplePacket:
        this.#readSimplePacket(start, length);
        break;
      case blockTypes.interfaceDescription:
        this.#readInterface(start, length);
        break;
      case blockTypes.sectionHeader:
        this.#readSectionHeader(start, length);
        break;
      // Names, statistics, secrets, and what may be added to the format: no frames in it.
      default:
    }
  }

  #readSectionHeader(start: number, length: number): void {
    if (length < 28) throw this.damage(`a section header of ${length} bytes, 28 at least are needed`);
    const major = this.#view.getUint16(start + 12, this.#little);
    const minor = this.#view.getUint16(start + 14, this.#little);
    // Version 1.2 exists and means the same as 1.0.
    if (major !== 1 || (minor !== 0 && minor !== 2))
      throw this.damage(`pcapng version ${major}.${minor} is not known: only 1.0 can be read`);
    this.#sectionBase = this.#all.length;
  }

  #readInterface(start: number, length: number): void {
    if (length < 20) throw this.damage(`an interface description of ${length} bytes, 20 at least are needed`);
    if (this.#all.length === 65536) throw this.damage("over 65536 interfaces");
    const { name, damaged, ...rest } = readInterfaceDescription(this.#view, start, length, this.#little);
    if (damaged) this.warnings.add("an option of an interface description is damaged and was not used");
    if (rest.scale.base === 2n || rest.scale.exponent > 9n)
      this.warnings.add(
        "an interface's times are finer than nanoseconds or of another base; they are cut to nanoseconds",
      );
    this.#all.push({ ...rest, checked: false });
    this.interfaces.push({ name, linkType: rest.linkType, snaplen: rest.snaplen });
  }

  #interface(id: number): Interface {
    const index = this.#sectionBase + id;
    const found = this.#all[index];
    if (!found)
      throw this.damage(
        `a frame of interface ${id}, but the section has described ${this.#all.length - this.#sectionBase}`,
      );
    if (!found.checked) {
      const where = `${this.name}: block ${this.recordCount + 1}, interface ${id}`;
      checkLinkType(found.linkType, this.options.synthesizeEthernet ?? false, where);
      found.checked = true;
    }
    return found;
  }

  #readPacket(start: number, length: number, id: number): void {
    if (length < 32) throw this.damage(`a packet block of ${length} bytes, 32 at least are needed`);
    const view = this.#view;
    const little = this.#little;
    const { scale, snaplen } = this.#interface(id);
    const captured = view.getUint32(start + 20, little);
    const wire = view.getUint32(start + 24, little);
    if (captured > length - 32)
      throw this.damage(`captured length ${captured} does not fit into a block of ${length} bytes`);
    this.#time.setUnits(view.getUint32(start + 12, little), view.getUint32(start + 16, little), scale);
    this.#push(start + 28, captured, wire, snaplen, id);
  }

  /** A simple packet block belongs to interface 0, has no time, and is as long as the snapshot length lets it be. */
  #readSimplePacket(start: number, length: number): void {
    if (length < 16) throw this.damage(`a simple packet block of ${length} bytes, 16 at least are needed`);
    const { snaplen } = this.#interface(0);
    const wire = this.#view.getUint32(start + 8, this.#little);
    const captured = snaplen === 0 ? wire : Math.min(wire, snaplen);
    if (captured > length - 16)
      throw this.damage(`captured length ${captured} does not fit into a block of ${length} bytes`);
    this.warnings.add("a frame in a simple packet block has no time and is given 1970");
    this.#time.setSeconds(0, 0);
    this.#push(start + 12, captured, wire, snaplen, 0);
  }

  #push(offset: number, captured: number, wire: number, snaplen: number, id: number): void {
    if (captured > capturedLengthMax)
      throw this.damage(
        `captured length ${captured} is over ${capturedLengthMax}, so the file is damaged here or before`,
      );
    if (snaplen > 0 && captured > snaplen)
      this.warnings.add(`a frame is longer than its interface's snapshot length of ${snaplen}; it is kept whole`);
    if (wire < captured)
      this.warnings.add("a frame claims to be shorter on the wire than what was captured; what was captured counts");
    if (this.#time.saturated)
      this.warnings.add(
        "a frame's time is beyond what 64 bits of nanoseconds hold; it stands at the end of that range",
      );
    const { high, low } = this.#time;
    this.columns.push(offset, captured, Math.max(wire, captured), high, low, this.#sectionBase + id);
  }
}
