// A netmap program's view of a vale port, from its registration to its rings, in TypeScript: what the preload library does with
// ports.sock and the shared memory, call by call. Positions and slots are read and written through the memfd.
import { readSync, writeSync } from "node:fs";
import { connectRaw, type RawClient } from "./native-ports.js";
import { errno, type RequestFields, request, text, tokenOf } from "./ports-request.js";

export const reqtypes = {
  register: 1,
  portInfo: 2,
  valeAttach: 3,
  valeDetach: 4,
  valeList: 5,
  hdrSet: 6,
  hdrGet: 7,
  newIf: 8,
  delIf: 9,
  poolsInfo: 12,
  attachmentGet: 0x100,
} as const;

export const flags = {
  monitorTx: 0x100,
  monitorRx: 0x200,
  exclusive: 0x800,
  rxOnly: 0x2000,
  txOnly: 0x4000,
  vnet: 0x8000,
};
export const slotFlags = { bufChanged: 1, moreFrag: 0x20 };

/** What netmap's kernel would have answered with this errno. */
export class NetmapError extends Error {
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(`errno ${errno}: ${message}`);
  }
}

export class NetmapUser {
  readonly raw: RawClient;
  register: Buffer = Buffer.alloc(56);
  token: Buffer = Buffer.alloc(16);
  adopted = false;
  interface = 0;
  readonly tx: Ring[] = [];
  readonly rx: Ring[] = [];
  memory = -1;

  constructor(path: string) {
    this.raw = connectRaw(path)!;
  }

  /** One control request; returns the reply. Throws NetmapError when it is refused. */
  ask(fields: RequestFields, body?: Buffer, offer?: number): Buffer {
    const bytes = request(fields);
    if (body) {
      bytes.fill(0, 112);
      body.copy(bytes, 112);
    }
    this.raw.say(bytes, offer);
    const reply = this.raw.hear()!;
    if (errno(reply) !== 0) throw new NetmapError(errno(reply)!, text(reply)!);
    return reply;
  }

  /** Registers; `before` = an earlier life whose memory is offered. */
  open(name: string, fields: RequestFields = {}, before?: NetmapUser): this {
    const reply = before
      ? this.ask({ ...fields, name, flags: 1, token: before.token }, before.register, before.memory)
      : this.ask({ ...fields, name });
    this.register = Buffer.from(reply.subarray(120, 176));
    this.token = tokenOf(reply);
    this.adopted = reply.readUInt32LE(24) === 1;
    this.memory = this.adopted ? before!.memory : this.raw.memoryFd();
    this.interface = Number(this.register.readBigUInt64LE(0));
    const [txRings, rxRings] = [this.u32(this.interface + 24), this.u32(this.interface + 28)];
    this.tx.length = this.rx.length = 0;
    for (let i = 0; i < txRings; i++) this.tx.push(this.#ring(i));
    for (let i = 0; i < rxRings; i++) this.rx.push(this.#ring(txRings + 1 + i));
    return this;
  }

  #ring(entry: number): Ring {
    const offset = Number(this.bytes(this.interface + 56 + 8 * entry, 8).readBigInt64LE());
    return new Ring(this, offset === 0 ? -1 : this.interface + offset);
  }

  get memId(): number {
    return this.register.readUInt16LE(32);
  }
  get extraBuffers(): number {
    return this.register.readUInt32LE(40);
  }
  /** The list of spare buffers that hangs on the interface. */
  get spare(): number[] {
    const list: number[] = [];
    const ring = [...this.tx, ...this.rx].find((one) => one.at >= 0)!;
    for (let i = this.u32(this.interface + 32); i !== 0; i = this.u32(ring.buffer(i))) list.push(i);
    return list;
  }

  bytes(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.memory, bytes, 0, length, at);
    return bytes;
  }
  u32(at: number): number {
    return this.bytes(at, 4).readUInt32LE();
  }
  put(at: number, bytes: Uint8Array): void {
    writeSync(this.memory, bytes, 0, bytes.length, at);
  }
  putU32(at: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    this.put(at, bytes);
  }
  close(): void {
    this.raw.close();
  }
}

export class Ring {
  constructor(
    readonly user: NetmapUser,
    /** Where it lies; -1 = not bound. */
    readonly at: number,
  ) {}
  get bound(): boolean {
    return this.at >= 0;
  }
  get slots(): number {
    return this.user.u32(this.at + 8);
  }
  get bufferBytes(): number {
    return this.user.u32(this.at + 12);
  }
  get sync(): number {
    return this.at + Number(this.user.bytes(this.at + 128, 8).readBigInt64LE());
  }
  get peer(): number {
    return Number(this.user.bytes(this.at + 136, 8).readBigInt64LE());
  }
  get head(): number {
    return this.user.u32(this.at + 20);
  }
  get hwcur(): number {
    return this.user.u32(this.sync + 64);
  }
  get hwtail(): number {
    return this.user.u32(this.sync + 68);
  }
  slotAt(i: number): number {
    return this.at + 256 + 16 * i;
  }
  buffer(index: number): number {
    return this.at + Number(this.user.bytes(this.at, 8).readBigInt64LE()) + index * this.bufferBytes;
  }
  slot(i: number): { buffer: number; length: number; flags: number } {
    const bytes = this.user.bytes(this.slotAt(i), 8);
    return { buffer: bytes.readUInt32LE(), length: bytes.readUInt16LE(4), flags: bytes.readUInt16LE(6) };
  }
  setSlot(i: number, buffer: number, length: number, flagBits = 0): void {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(buffer);
    bytes.writeUInt16LE(length, 4);
    bytes.writeUInt16LE(flagBits, 6);
    this.user.put(this.slotAt(i), bytes);
  }
  /** head = cur = position, published as NIOCTXSYNC and NIOCRXSYNC do, and a kick. */
  publish(head: number): void {
    this.user.putU32(this.at + 20, head);
    this.user.putU32(this.at + 24, head);
    this.user.putU32(this.sync + 4, head);
    this.user.putU32(this.sync, head);
    this.user.raw.kick();
  }
  /** Sends frames, one slot each unless it takes more. */
  send(...frames: Uint8Array[]): void {
    let at = this.head;
    for (const frame of frames)
      for (let from = 0; from < frame.length; from += this.bufferBytes) {
        const part = frame.subarray(from, from + this.bufferBytes);
        const { buffer } = this.slot(at);
        this.user.put(this.buffer(buffer), part);
        this.setSlot(at, buffer, part.length, from + part.length < frame.length ? slotFlags.moreFrag : 0);
        at = (at + 1) % this.slots;
      }
    this.publish(at);
  }
  /** The slots that wait to be received. */
  get waiting(): number {
    return (this.hwtail - this.head + this.slots) % this.slots;
  }
  /** Receives what waits; frames of several slots are put together. */
  receive(): Buffer[] {
    const frames: Buffer[] = [];
    let parts: Buffer[] = [];
    let at = this.head;
    for (const tail = this.hwtail; at !== tail; at = (at + 1) % this.slots) {
      const { buffer, length, flags: bits } = this.slot(at);
      if (length === 0) continue;
      parts.push(this.user.bytes(this.buffer(buffer), length));
      if (bits & slotFlags.moreFrag) continue;
      frames.push(Buffer.concat(parts));
      parts = [];
    }
    this.publish(at);
    return frames;
  }
}
