// One packet as one line of text, as tcpdump -n prints it; with the switch's own words in front of it where they are asked for.
import { asciiText, hexAndAsciiLines, hexLines } from "./hex-dump.js";
import type { Line } from "./ip-text.js";
import { ethernetLine } from "./link-text.js";
import { beyondCapture, Octets } from "./octets.js";
import type { PrintablePacket } from "./packet.js";
import { safeName } from "./plain-text.js";
import { TcpConversations } from "./tcp-text.js";
import { TimeText, type TimeTextOptions } from "./time-text.js";

/** -x, -xx, -X, -XX, -A, -AA. The doubled ones begin with the link's header. */
export type HexStyle = "x" | "xx" | "X" | "XX" | "A" | "AA";

export interface PacketTextOptions extends TimeTextOptions {
  /** -e: the Ethernet header, and what the switch knows: ports, rule, outcome. */
  linkHeader?: boolean;
  /** Whether what the switch knows is shown; default: as `linkHeader`. */
  switchWords?: boolean;
  /** "#12 " in front: the store's number; of several sources "day1.store#12 ". */
  sequence?: boolean;
  /** -S: TCP's numbers as they are, not relative to the conversation's first. */
  absoluteSequences?: boolean;
  hex?: HexStyle;
  /** Whether a frame of a protocol that is not known here is dumped even without `hex`, as tcpdump does (default true). */
  dumpUnknown?: boolean;
}

/** Prints packets in their order: relative numbers and times depend on those before. */
export class PacketText {
  readonly #options: PacketTextOptions;
  readonly #time: TimeText;
  readonly #conversations: TcpConversations | undefined;

  constructor(options: PacketTextOptions = {}) {
    this.#options = options;
    this.#time = new TimeText(options);
    this.#conversations = options.absoluteSequences ? undefined : new TcpConversations();
  }

  /** One line, or several with a dump; no line feed at its end. Whatever is in the frame, every character can be printed. */
  text(packet: PrintablePacket): string {
    const { hex, linkHeader = false, sequence, switchWords = linkHeader, dumpUnknown = true } = this.#options;
    const line: Line = {
      text: "",
      layer: "",
      depth: 0,
      linkHeader,
      // -A is no reason to leave it out: it shows no byte that is not text.
      dumpUnknown: dumpUnknown && (hex === undefined || hex[0] === "A"),
      conversations: this.#conversations,
    };
    const result = { headerBytes: 0 };
    try {
      ethernetLine(line, new Octets(packet.bytes), packet.wireLength, result);
    } catch (error) {
      if (error !== beyondCapture) throw error;
      line.text += ` [|${line.layer}]`;
    }
    const number =
      sequence && packet.sequence !== undefined ? `${safeName(packet.source ?? "")}#${packet.sequence} ` : "";
    const words = switchWords ? switchText(packet) : "";
    return `${number}${this.#time.text(packet.timeNs)}${words}${line.text}${hex ? dump(packet.bytes, hex, result.headerBytes) : ""}`;
  }
}

/** "[vale0:a > vale0:b, rule web] ", with why it went nowhere; "[en0] " for an interface of a capture. */
export function switchText(packet: PrintablePacket): string {
  const { inPort = "", outPort = "", rule = "", outcome = "" } = packet;
  if (inPort === "" && outcome === "") return "";
  const dropped = outcome !== "" && outcome !== "forwarded";
  const way = outPort !== "" ? ` > ${safeName(outPort)}` : dropped ? " > nowhere" : "";
  return `[${safeName(inPort) || "?"}${way}${rule === "" ? "" : `, rule ${safeName(rule)}`}${dropped ? `, dropped ${outcome}` : ""}] `;
}

function dump(bytes: Uint8Array, style: HexStyle, headerBytes: number): string {
  const shown = style.length === 2 ? bytes : bytes.subarray(Math.min(headerBytes, bytes.length));
  if (shown.length === 0) return "";
  if (style[0] === "x") return hexLines(shown);
  return style[0] === "X" ? hexAndAsciiLines(shown) : asciiText(shown);
}
