// TCP as tcpdump prints it: flags, sequence numbers (relative to the conversation's first unless absolute ones are asked for), options.
import type { Octets } from "./octets.js";

const headerBytes = 20;
const flagLetters = ["F", "S", "R", "P", ".", "U", "E", "W"];
const fin = 1;
const syn = 2;
const rst = 4;
const ack = 16;
const urg = 32;

/** "S.", "P.", "none". */
export function tcpFlagsText(flags: number): string {
  let text = "";
  for (let bit = 0; bit < 8; bit++) if (flags & (1 << bit)) text += flagLetters[bit];
  return text === "" ? "none" : text;
}

/** Conversations whose first numbers are remembered: beyond that the oldest half is forgotten, and its numbers are absolute again. */
const conversationsMax = 65_536;

interface FirstNumbers {
  sequence: number;
  acknowledged: number;
}

/** First sequence numbers of conversations, bounded. */
export class TcpConversations {
  readonly #first = new Map<string, FirstNumbers>();

  /** Both numbers relative to the conversation's first ones; those of the frame that begins it stay as they are. */
  relative(from: string, to: string, flags: number, sequence: number, acknowledged: number): [number, number] {
    const reverse = from > to;
    const key = reverse ? `${to} ${from}` : `${from} ${to}`;
    const first = this.#first.get(key);
    if (!first || flags & syn) {
      const before = (acknowledged - 1) >>> 0;
      this.#remember(key, reverse ? { sequence: before, acknowledged: sequence } : { sequence, acknowledged: before });
      return [sequence, acknowledged];
    }
    const [s, a] = reverse ? [first.acknowledged, first.sequence] : [first.sequence, first.acknowledged];
    return [(sequence - s) >>> 0, (acknowledged - a) >>> 0];
  }
  /** What is subtracted in one direction; 0, 0 while the conversation is not known. */
  first(from: string, to: string): [sequence: number, acknowledged: number] {
    const reverse = from > to;
    const first = this.#first.get(reverse ? `${to} ${from}` : `${from} ${to}`);
    if (!first) return [0, 0];
    return reverse ? [first.acknowledged, first.sequence] : [first.sequence, first.acknowledged];
  }

  #remember(key: string, first: FirstNumbers): void {
    if (this.#first.size >= conversationsMax && !this.#first.has(key)) {
      let left = conversationsMax / 2;
      for (const oldest of this.#first.keys()) {
        if (left-- === 0) break;
        this.#first.delete(oldest);
      }
    }
    this.#first.set(key, first);
  }
}

/** Text behind "a > b: ". `length`: bytes of the segment by the IP header; `conversations` absent: absolute numbers. */
export function tcpText(
  octets: Octets,
  at: number,
  length: number,
  put: (text: string) => void,
  ends: { from: string; to: string; conversations: TcpConversations | undefined },
): void {
  octets.need(at, headerBytes);
  const headerLength = (octets.u8(at + 12) >> 4) * 4;
  if (headerLength < headerBytes) {
    put(` tcp ${length - headerLength} [bad hdr length ${headerLength} - too short, < ${headerBytes}]`);
    return;
  }
  let sequence = octets.u32(at + 4);
  let acknowledged = octets.u32(at + 8);
  const flags = octets.u8(at + 13);
  const window = octets.u16(at + 14);
  const urgent = octets.u16(at + 18);
  put(`Flags [${tcpFlagsText(flags)}]`);
  if (headerLength > length) {
    put(` [bad hdr length ${headerLength} - too long, > ${length}]`);
    return;
  }
  const { from, to, conversations } = ends;
  let base: [number, number] = [0, 0];
  if (conversations && flags & ack) {
    [sequence, acknowledged] = conversations.relative(from, to, flags, sequence, acknowledged);
    base = conversations.first(from, to);
  }
  const payload = length - headerLength;
  if (payload > 0 || flags & (syn | fin | rst))
    put(`, seq ${sequence}${payload > 0 ? `:${(sequence + payload) >>> 0}` : ""}`);
  if (flags & ack) put(`, ack ${acknowledged}`);
  put(`, win ${window}`);
  if (flags & urg) put(`, urg ${urgent}`);
  if (headerLength > headerBytes) {
    put(", options [");
    const whole = optionsText(octets, at + headerBytes, headerLength - headerBytes, put, base[1]);
    put("]");
    if (!whole) return;
  }
  put(`, length ${payload}`);
}

function optionsText(octets: Octets, start: number, total: number, put: (text: string) => void, base: number): boolean {
  let at = start;
  const end = start + total;
  let separator = "";
  while (at < end) {
    put(separator);
    separator = ",";
    const kind = octets.u8(at++);
    if (kind === 0) {
      put("eol");
      break;
    }
    if (kind === 1) {
      put("nop");
      continue;
    }
    const length = at < end ? octets.u8(at) : 0;
    const valid = length >= 2 && at - 1 + length <= end;
    if (!valid) {
      put("[bad opt]");
      return false;
    }
    optionText(octets, kind, at + 1, length - 2, put, base);
    at += length - 1;
  }
  return true;
}

const optionNames = new Map<number, string>([
  [2, "mss"],
  [3, "wscale"],
  [4, "sackOK"],
  [5, "sack"],
  [6, "echo"],
  [7, "echoreply"],
  [8, "TS"],
  [11, "cc"],
  [12, "ccnew"],
  [13, "ccecho"],
  [19, "md5"],
  [28, "uto"],
  [29, "tcp-ao"],
  [30, "mptcp"],
  [34, "tfo"],
  [254, "exp"],
]);

function optionName(kind: number): string {
  return optionNames.get(kind) ?? `unknown-${kind}`;
}

function optionText(
  octets: Octets,
  kind: number,
  at: number,
  length: number,
  put: (text: string) => void,
  base: number,
): void {
  const name = optionName(kind);
  if (kind === 2 && length === 2) put(`mss ${octets.u16(at)}`);
  else if (kind === 3 && length === 1) put(`wscale ${octets.u8(at)}`);
  else if (kind === 4 && length === 0) put("sackOK");
  else if (kind === 5) sackText(octets, at, length, put, base);
  else if (kind === 8 && length === 8) put(`TS val ${octets.u32(at)} ecr ${octets.u32(at + 4)}`);
  else if (kind === 28 && length === 2) utoText(octets.u16(at), put);
  else if (kind === 19 && length === 16)
    put(`md5 shared secret not supplied with -M, can't check - ${octets.hex(at, length)}`);
  else if (kind === 254 && length >= 2) put(`exp-${octets.hex(at, 2)}`);
  else put(length === 0 ? name : `${name} 0x${octets.hex(at, length)}`);
}

function utoText(value: number, put: (text: string) => void): void {
  put(value & 0x8000 ? `uto ${(value & 0x7fff) * 60}` : `uto ${value}`);
}

function sackText(octets: Octets, at: number, length: number, put: (text: string) => void, base: number): void {
  if (length === 0 || length % 8 !== 0) {
    put("malformed sack");
    return;
  }
  put(`sack ${length / 8} `);
  for (let i = 0; i < length; i += 8)
    put(`{${(octets.u32(at + i) - base) >>> 0}:${(octets.u32(at + i + 4) - base) >>> 0}}`);
}
