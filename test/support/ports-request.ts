// Packets of ports.sock, byte by byte: requests, and what replies say.
export interface RequestFields {
  magic?: number;
  version?: number;
  type?: number;
  size?: number;
  reqtype?: number;
  flags?: number;
  name?: Buffer | string;
  token?: Buffer;
  bufferBytes?: number;
  api?: number;
  txSlots?: number;
  rxSlots?: number;
  txRings?: number;
  rxRings?: number;
  memId?: number;
  ringId?: number;
  mode?: number;
  extra?: number;
  registerFlags?: number;
  offset?: number;
}
/** A REGISTER as the preload library marshals it; 256 slots each way unless said otherwise. */
export function request(fields: RequestFields = {}): Buffer {
  const bytes = Buffer.alloc(240);
  bytes.writeUInt32LE(fields.magic ?? 0x54525350, 0);
  bytes.writeUInt16LE(fields.version ?? 2, 4);
  bytes.writeUInt16LE(fields.type ?? 1, 6);
  bytes.writeUInt32LE(fields.size ?? 240, 8);
  bytes.writeUInt32LE(fields.reqtype ?? 1, 16);
  bytes.writeUInt32LE(fields.flags ?? 0, 20);
  Buffer.from(fields.name ?? "vale0:a").copy(bytes, 24, 0, 64);
  fields.token?.copy(bytes, 88);
  bytes.writeUInt32LE(fields.bufferBytes ?? 2048, 104);
  bytes.writeUInt32LE(fields.api ?? 14, 108);
  const body = 112;
  bytes.writeBigUInt64LE(BigInt(fields.offset ?? 0), body);
  bytes.writeUInt32LE(fields.txSlots ?? 256, body + 16);
  bytes.writeUInt32LE(fields.rxSlots ?? 256, body + 20);
  bytes.writeUInt16LE(fields.txRings ?? 1, body + 24);
  bytes.writeUInt16LE(fields.rxRings ?? 1, body + 26);
  bytes.writeUInt16LE(fields.memId ?? 0, body + 32);
  bytes.writeUInt16LE(fields.ringId ?? 0, body + 34);
  bytes.writeUInt32LE(fields.mode ?? 1, body + 36);
  bytes.writeUInt32LE(fields.extra ?? 0, body + 40);
  bytes.writeBigUInt64LE(BigInt(fields.registerFlags ?? 0), body + 48);
  return bytes;
}
export const replyBytes = 504;
export const errno = (reply: Buffer | null) => reply?.readUInt32LE(16);
export const status = (reply: Buffer | null) => reply?.readUInt32LE(20);
export const memoryBytes = (reply: Buffer | null) => Number(reply?.readBigUInt64LE(32));
export const tokenOf = (reply: Buffer | null) => Buffer.from(reply!.subarray(40, 56));
export const text = (reply: Buffer | null) => reply?.toString("utf8", 248, reply.indexOf(0, 248));
