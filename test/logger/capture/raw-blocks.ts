/** Parts of capture files, to be put together in ways in which no writer would. */
export class RawBlocks {
  constructor(readonly little = true) {}

  u16(...values: readonly number[]): Buffer {
    return Buffer.concat(values.map((value) => this.#number(2, value)));
  }

  u32(...values: readonly number[]): Buffer {
    return Buffer.concat(values.map((value) => this.#number(4, value)));
  }

  u64(value: bigint): Buffer {
    const buffer = Buffer.alloc(8);
    new DataView(buffer.buffer, buffer.byteOffset).setBigUint64(0, BigInt.asUintN(64, value), this.little);
    return buffer;
  }

  pcapHeader(
    linkType = 1,
    options: { version?: readonly [number, number]; snaplen?: number; magic?: number } = {},
  ): Buffer {
    const version = this.u16(...(options.version ?? [2, 4]));
    return Buffer.concat([
      this.u32(options.magic ?? 0xa1b2c3d4),
      version,
      this.u32(0, 0, options.snaplen ?? 65535, linkType),
    ]);
  }

  record(
    data: Uint8Array,
    options: { seconds?: number; fraction?: number; captured?: number; wire?: number } = {},
  ): Buffer {
    const captured = options.captured ?? data.length;
    const head = this.u32(options.seconds ?? 1, options.fraction ?? 0, captured, options.wire ?? captured);
    return Buffer.concat([head, data]);
  }

  /** A pcapng block: its body is padded; `length` and `trailer` replace the true lengths. */
  block(type: number, body: Uint8Array, options: { length?: number; trailer?: number } = {}): Buffer {
    const padded = Buffer.concat([body, Buffer.alloc(-body.length & 3)]);
    const length = options.length ?? 12 + padded.length;
    return Buffer.concat([this.u32(type, length), padded, this.u32(options.trailer ?? length)]);
  }

  section(options: { magic?: number; version?: readonly [number, number] } = {}): Buffer {
    const body = [this.u32(options.magic ?? 0x1a2b3c4d), this.u16(...(options.version ?? [1, 0])), this.u64(-1n)];
    return this.block(0x0a0d0d0a, Buffer.concat(body));
  }

  interface(options: { linkType?: number; snaplen?: number; options?: readonly Buffer[] } = {}): Buffer {
    const body = [this.u16(options.linkType ?? 1, 0), this.u32(options.snaplen ?? 0), ...(options.options ?? [])];
    return this.block(1, Buffer.concat(body));
  }

  option(code: number, value: Uint8Array, length = value.length): Buffer {
    return Buffer.concat([this.u16(code, length), value, Buffer.alloc(-value.length & 3)]);
  }

  packet(data: Uint8Array, options: { id?: number; units?: bigint; captured?: number; wire?: number } = {}): Buffer {
    const captured = options.captured ?? data.length;
    return this.block(6, Buffer.concat([this.u32(options.id ?? 0), ...this.#packetRest(data, captured, options)]));
  }

  obsoletePacket(data: Uint8Array, options: { id?: number; units?: bigint } = {}): Buffer {
    return this.block(
      2,
      Buffer.concat([this.u16(options.id ?? 0, 3), ...this.#packetRest(data, data.length, options)]),
    );
  }

  simplePacket(data: Uint8Array, wire = data.length): Buffer {
    return this.block(3, Buffer.concat([this.u32(wire), data]));
  }

  #packetRest(data: Uint8Array, captured: number, options: { units?: bigint; wire?: number }): Buffer[] {
    const units = BigInt.asUintN(64, options.units ?? 0n);
    const time = this.u32(Number(units >> 32n), Number(units & 0xffffffffn));
    return [time, this.u32(captured, options.wire ?? captured), Buffer.from(data)];
  }

  #number(size: 2 | 4, value: number): Buffer {
    const buffer = Buffer.alloc(size);
    if (this.little) buffer.writeUIntLE(value, 0, size);
    else buffer.writeUIntBE(value, 0, size);
    return buffer;
  }
}
