import { type TimeScale, timeScale } from "./time-words.js";

/** Block types and limits of pcapng (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html). */
export const blockTypes = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  obsoletePacket: 2,
  simplePacket: 3,
  nameResolution: 4,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const;

export const byteOrderMagic = 0x1a2b3c4d;
/** No block that exists is longer; a longer length is damage. Wireshark draws the same line. */
export const blockLengthMax = 16 * 1024 * 1024;

export const optionCodes = {
  endOfOptions: 0,
  ifName: 2,
  ifDescription: 3,
  ifTsresol: 9,
  ifTsoffset: 14,
} as const;

/** What an interface description block says. */
export interface InterfaceDescription {
  readonly name: string;
  readonly linkType: number;
  readonly snaplen: number;
  readonly scale: TimeScale;
  /** Whether an option was cut off or of a wrong length; it and what follows it was not used. */
  readonly damaged: boolean;
}

/** Reads the interface description block at `start`, `length` bytes long in all (20 at least). */
export function readInterfaceDescription(
  view: DataView,
  start: number,
  length: number,
  little: boolean,
): InterfaceDescription {
  let name = "";
  let description = "";
  let resolution = 6;
  let offsetSeconds = 0n;
  let damaged = false;
  for (const option of readOptions(view, start + 16, start + length - 4, little)) {
    const value = option.length === 0 ? 0 : view.getUint8(option.start);
    if (option.code < 0) damaged = true;
    else if (option.code === optionCodes.ifName) name = readText(view, option.start, option.length);
    else if (option.code === optionCodes.ifDescription) description = readText(view, option.start, option.length);
    else if (option.code === optionCodes.ifTsresol && option.length === 1) resolution = value;
    else if (option.code === optionCodes.ifTsoffset && option.length === 8)
      offsetSeconds = view.getBigInt64(option.start, little);
    else if (option.code === optionCodes.ifTsresol || option.code === optionCodes.ifTsoffset) damaged = true;
  }
  return {
    name: name || description,
    linkType: view.getUint16(start + 8, little),
    snaplen: view.getUint32(start + 12, little),
    scale: timeScale(resolution, offsetSeconds),
    damaged,
  };
}

/** The options between `start` and `end`. One that does not fit is given as code -1, and ends the list. */
function* readOptions(view: DataView, start: number, end: number, little: boolean) {
  let position = start;
  while (end - position >= 4) {
    const code = view.getUint16(position, little);
    const length = view.getUint16(position + 2, little);
    if (code === optionCodes.endOfOptions) return;
    if (length > end - position - 4) {
      yield { code: -1, start: position, length: 0 };
      return;
    }
    yield { code, start: position + 4, length };
    position += 4 + ((length + 3) & ~3);
  }
}

/** UTF-8 up to a zero byte; control characters would disturb a terminal and are shown as dots. */
function readText(view: DataView, start: number, length: number): string {
  const text = Buffer.from(view.buffer as ArrayBuffer, view.byteOffset + start, length).toString("utf8");
  const end = text.indexOf("\0");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return (end < 0 ? text : text.slice(0, end)).replace(/[\u0000-\u001f\u007f-\u009f]/g, ".");
}
