import { PasteError } from "../errors.js";

/** How the bytes of a capture are to be read, as its first four bytes tell. */
export type CaptureKind =
  | { readonly format: "pcap" | "nsecpcap"; readonly bigEndian: boolean }
  | { readonly format: "pcapng" };

/** Magic numbers in the byte order of the file, as hexadecimal digits. */
const kinds = new Map<string, CaptureKind>([
  ["a1b2c3d4", { format: "pcap", bigEndian: true }],
  ["d4c3b2a1", { format: "pcap", bigEndian: false }],
  ["a1b23c4d", { format: "nsecpcap", bigEndian: true }],
  ["4d3cb2a1", { format: "nsecpcap", bigEndian: false }],
  ["0a0d0d0a", { format: "pcapng" }],
]);

/** What else a file may be, by its first bytes, and what to do about it. */
const lookAlikes: readonly (readonly [string, string])[] = [
  ["1f8b", "gzip-compressed: unpack it first, `gzip -dc FILE | ... -`"],
  ["28b52ffd", "zstd-compressed: unpack it first, `zstd -dc FILE | ... -`"],
  ["04224d18", "lz4-compressed: unpack it first, `lz4 -dc FILE | ... -`"],
  ["fd377a585a00", "xz-compressed: unpack it first, `xz -dc FILE | ... -`"],
  ["425a68", "bzip2-compressed: unpack it first, `bzip2 -dc FILE | ... -`"],
  ["504b0304", "a zip archive: unpack it first"],
  ["a1b2cd34", "Kuznetzov's modified pcap: convert it with `editcap -F pcap`"],
  ["34cdb2a1", "Kuznetzov's modified pcap: convert it with `editcap -F pcap`"],
  ["a1e2cb12", "Navtel's modified pcap: convert it with `editcap -F pcap`"],
  ["12cbe2a1", "Navtel's modified pcap: convert it with `editcap -F pcap`"],
  ["0a0d0a0a", "a pcapng file whose line ends were changed by a transfer as text: transfer it again as binary"],
  ["0a0a0a0d", "a pcapng file whose line ends were changed by a transfer as text: transfer it again as binary"],
  ["0a0d0a0d", "a pcapng file whose line ends were changed by a transfer as text: transfer it again as binary"],
  ["0d0a0d0d", "a pcapng file whose line ends were changed by a transfer as text: transfer it again as binary"],
  ["5041535445535731", "a paste-switch store: make a capture of it with `paste-switch export -r`"],
  ["736e6f6f70000000", "a snoop capture: convert it with `editcap -F pcapng`"],
  ["474d4255", "a Microsoft Network Monitor capture: convert it with `editcap -F pcapng`"],
  ["52545353", "a Microsoft Network Monitor capture: convert it with `editcap -F pcapng`"],
  ["5452534e49464620", "a Sniffer capture: convert it with `editcap -F pcapng`"],
];

/** How many first bytes a refusal looks at to say what a foreign file is. */
export const foreignHeadSize = 64;

/** The kind of a capture that starts with these four bytes; null when it is none. */
export function captureKind(magic: Buffer): CaptureKind | null {
  return kinds.get(magic.toString("hex", 0, 4)) ?? null;
}

/** The error for a file that is no capture and starts with `head`. */
export function foreignFile(head: Buffer, name: string): PasteError {
  if (head.length === 0) return new PasteError("CAPTURE", `${name}: is empty: not even a file header`);
  return new PasteError("CAPTURE", `${name}: is no pcap or pcapng capture: it looks like ${describe(head)}`);
}

function describe(head: Buffer): string {
  const hex = head.toString("hex");
  for (const [magic, sentence] of lookAlikes) if (hex.startsWith(magic)) return sentence;
  if (head.length < 4) return `a file cut off after ${head.length} bytes`;
  if (head.every((byte) => byte === 0)) return "a file of zero bytes, such as a crash leaves behind";
  if (head.every((byte) => (byte >= 0x20 ? byte !== 0x7f : byte === 0x09 || byte === 0x0a || byte === 0x0d)))
    return "text";
  return `something else, by its first bytes ${hex.slice(0, 8)}`;
}
