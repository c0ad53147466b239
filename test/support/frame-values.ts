// What an index must know about a frame: a plain second parser, for comparison. It says "odd" where it does not go on.
import type { Values } from "./index-plan.js";

const extensions = new Set([0, 43, 44, 60]);

export class FrameValues {
  readonly values: Values = new Map();
  odd = false;
  /** The fragments in it: the key tells datagrams apart. */
  readonly fragments: { key: string; first: boolean; ports?: [number, number] }[] = [];
  readonly #frame: Buffer;
  readonly #tunnels: boolean;
  #layers = 0;

  constructor(frame: Buffer, tunnels: boolean) {
    this.#frame = frame;
    this.#tunnels = tunnels;
    this.#ethernet(0);
  }

  add(field: number, value: Buffer | string): void {
    const text = typeof value === "string" ? value : value.toString("hex");
    const set = this.values.get(field) ?? new Set();
    this.values.set(field, set.add(text));
  }

  #number(field: number, value: number, bytes: number): void {
    this.add(field, value.toString(16).padStart(2 * bytes, "0"));
  }

  #has(at: number, bytes: number): boolean {
    if (at + bytes <= this.#frame.length) return true;
    this.odd = true;
    return false;
  }

  #u16(at: number): number {
    return this.#frame.readUInt16BE(at);
  }

  #ethernet(at: number): void {
    if (!this.#has(at, 14)) return;
    this.add(2, this.#frame.subarray(at, at + 6));
    this.add(1, this.#frame.subarray(at + 6, at + 12));
    this.#typed(this.#u16(at + 12), at + 14);
  }

  #typed(type: number, at: number): void {
    if (type < 1536) return;
    this.#number(4, type, 2);
    if ([0x8100, 0x88a8, 0x9100].includes(type) && this.#has(at, 4)) {
      this.#number(3, this.#u16(at) & 0xfff, 2);
      this.#typed(this.#u16(at + 2), at + 4);
    }
    if ([0x8847, 0x8848].includes(type)) this.#mpls(at);
    if (type === 0x8864 && this.#has(at, 8)) {
      const inner = new Map([[0x21, 0x800], [0x57, 0x86dd], [0x281, 0x8847]]).get(this.#u16(at + 6)); // biome-ignore format: one table
      if (inner !== undefined) this.#typed(inner, at + 8);
    }
    if ((type === 0x0806 || type === 0x8035) && this.#has(at, 28)) this.#addresses(at + 14, at + 24, 4);
    if (type === 0x0800 && this.#has(at, 20)) this.#ipv4(at);
    if (type === 0x86dd && this.#has(at, 40)) this.#ipv6(at);
  }

  #mpls(at: number): void {
    while (this.#has(at, 5)) {
      const last = (this.#frame[at + 2]! & 1) === 1;
      at += 4;
      const version = this.#frame[at]! >> 4;
      if (last && (version === 4 || version === 6)) this.#typed(version === 4 ? 0x0800 : 0x86dd, at);
      if (last) return;
    }
  }

  #addresses(source: number, destination: number, bytes: number): void {
    this.#layers++;
    for (const [field, at] of [[5, source], [6, destination]] as const) // biome-ignore format: one pair
      this.add(field, (bytes === 4 ? "00000000000000000000ffff" : "") + this.#frame.toString("hex", at, at + bytes));
  }

  #ipv4(at: number): void {
    this.#addresses(at + 12, at + 16, 4);
    const header = (this.#frame[at]! & 15) * 4;
    const protocol = this.#frame[at + 9]!;
    this.#number(7, protocol, 1);
    if (this.#frame[at]! >> 4 !== 4 || header < 20) {
      this.odd = true;
      return;
    }
    const fragment = this.#u16(at + 6);
    const key = `4 ${this.#frame.toString("hex", at + 12, at + 20)} ${protocol} ${this.#u16(at + 4)}`;
    this.#transport(4, protocol, at + header, (fragment & 0x1fff) !== 0, (fragment & 0x2000) !== 0 ? key : "", key);
  }

  #ipv6(at: number): void {
    this.#addresses(at + 8, at + 24, 16);
    let next = this.#frame[at + 6]!;
    this.#number(7, next, 1);
    if (this.#frame[at]! >> 4 !== 6) {
      this.odd = true;
      return;
    }
    let [key, later, more, to] = ["", false, false, at + 40];
    for (let i = 0; extensions.has(next) && !later; i++) {
      if (i === 9 || to + 8 > this.#frame.length) {
        this.odd = true;
        return;
      }
      if (next === 44) {
        key = `6 ${this.#frame.toString("hex", at + 8, at + 40)} ${this.#frame.readUInt32BE(to + 4)}`;
        later = (this.#u16(to + 2) & 0xfff8) !== 0;
        more = (this.#u16(to + 2) & 1) !== 0;
      }
      const bytes = next === 44 ? 8 : (this.#frame[to + 1]! + 1) * 8;
      next = this.#frame[to]!;
      this.#number(7, next, 1);
      to += bytes;
    }
    this.#transport(6, next, to, later, more ? key : "", key);
  }

  #transport(version: number, protocol: number, at: number, later: boolean, first: string, key: string): void {
    if (later) {
      this.fragments.push({ key, first: false });
      return;
    }
    if (protocol === 51) this.odd = true; // its contents may go on
    const left = this.#frame.length - at;
    if ([6, 17, 33, 132].includes(protocol)) {
      if (left >= 2) this.#number(8, this.#u16(at), 2);
      if (left >= 4) this.#number(9, this.#u16(at + 2), 2);
      if (first !== "" && left >= 2) this.#number(16, this.#u16(at), 2);
      if (first !== "" && left >= 4) this.#number(16, this.#u16(at + 2), 2);
    }
    if (protocol === (version === 4 ? 1 : 58) && left >= 1) this.#number(10, (version << 8) | this.#frame[at]!, 2);
    if (first !== "")
      this.fragments.push({ key: first, first: true, ...(left >= 4 && { ports: [this.#u16(at), this.#u16(at + 2)] }) });
    if (this.#tunnels) this.#tunnel(protocol, at);
  }

  #tunnel(protocol: number, at: number): void {
    if (this.#layers >= 4) {
      this.odd = true;
      return;
    }
    if (protocol === 4) this.#typed(0x0800, at);
    if (protocol === 41) this.#typed(0x86dd, at);
    if (protocol === 47 && this.#has(at, 4)) this.#gre(at);
    if (protocol !== 17 || at + 8 > this.#frame.length) return;
    const port = this.#u16(at + 2);
    if ((port === 4789 || port === 8472) && this.#has(at + 8, 8) && (this.#frame[at + 8]! & 8) !== 0)
      this.#ethernet(at + 16);
    if (port === 6081 && this.#has(at + 8, 8) && this.#frame[at + 8]! >> 6 === 0)
      this.#inside(this.#u16(at + 10), at + 16 + (this.#frame[at + 8]! & 63) * 4);
  }

  #gre(at: number): void {
    const flags = this.#u16(at);
    if ((flags & 0x4000) !== 0) this.odd = true;
    if ((flags & 0x4007) !== 0) return;
    const options = [0x8000, 0x2000, 0x1000].filter((bit) => (flags & bit) !== 0).length;
    const type = this.#u16(at + 2);
    if (type === 0x88be || type === 0x22eb) this.odd = true;
    else this.#inside(type, at + 4 + 4 * options);
  }

  #inside(type: number, at: number): void {
    if (type === 0x6558) this.#ethernet(at);
    else this.#typed(type, at);
  }
}
