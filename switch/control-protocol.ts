// The control protocol's one definition in TypeScript: framing, and messages checked against control.proto before they are
// encoded and while they are decoded. Both sides use it; control.proto describes the conversation.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type protobuf from "protobufjs";
import { PasteError } from "../logger/errors.js";
import type { EngineStats, MacInfo, PortInfo } from "../native/engine.js";
import { packageRoot } from "../native/load.js";
import { loadProtobuf } from "../native/packages.js";
import type { RuleState, RuleText } from "./rules.js";

export const protocolVersion = 1;
/** The longest message, in bytes without its length prefix. Longer lists are answered in parts. */
export const messageBytesMax = 1 << 20;

export interface MediumInfo {
  name: string;
  survives: string;
  fileSystem: string;
  domain: string;
  marking: boolean;
}

/** What `stats` answers: the engine's counters and what the daemon knows beside them. */
export interface DaemonStats extends Omit<EngineStats, "rules"> {
  name: string;
  program: string;
  pid: number;
  uptimeMs: number;
  configPath: string;
  storePath: string;
  storeBytes: number;
  full: string;
  durability: string;
  medium?: MediumInfo;
  rules: RuleState[];
}

export interface Hello {
  version: number;
  program: string;
}
export interface Done {
  name: string;
  count: number;
}

/** Every call: what it takes, and which result answers it. */
export interface ControlCalls {
  hello: { takes: Hello; gives: "hello" };
  stats: { takes: object; gives: "stats" };
  portAdd: { takes: { spec: string; save: boolean }; gives: "done" };
  portRemove: { takes: { name: string; save: boolean }; gives: "done" };
  portList: { takes: object; gives: "ports" };
  ruleAdd: { takes: { rule: RuleText; before: string; save: boolean }; gives: "done" };
  ruleRemove: { takes: { name: string; save: boolean }; gives: "done" };
  ruleList: { takes: object; gives: "rules" };
  macList: { takes: { switch: string; port: string }; gives: "macs" };
  macAdd: { takes: { mac: string; vlan: number; port: string; switch: string }; gives: "done" };
  macRemove: { takes: { mac: string; vlan: number; port: string; switch: string }; gives: "done" };
  macFlush: { takes: { switch: string; port: string }; gives: "done" };
  trim: { takes: { before: bigint }; gives: "done" };
  reload: { takes: object; gives: "done" };
}
export interface ControlResults {
  hello: Hello;
  stats: DaemonStats;
  ports: { ports: PortInfo[] };
  rules: { rules: RuleState[] };
  macs: { macs: MacInfo[] };
  done: Done;
}
export type CallName = keyof ControlCalls;
export type ResultName = keyof ControlResults;
export type ResultOf<C extends CallName> = ControlResults[ControlCalls[C]["gives"]];

/** A request: `call` names which, `body` is shaped as `ControlCalls[call].takes`. */
export type Request = { [C in CallName]: { id: number; call: C; body: ControlCalls[C]["takes"] } }[CallName];
export interface Failure {
  code: string;
  message: string;
}
export interface Response {
  id: number;
  more: boolean;
  result: ResultName | "failure";
  body: unknown;
}

interface Types {
  request: protobuf.Type;
  response: protobuf.Type;
}
let types: Types | undefined;

/** Loaded with the first message, or by prepareProtocol(), for which nobody waits in a daemon's start. */
function schema(): Types {
  if (types) return types;
  const text = readFileSync(join(packageRoot(), "switch", "control.proto"), "utf8");
  const root = loadProtobuf().parse(text).root.resolveAll();
  types = { request: root.lookupType("paste.control.Request"), response: root.lookupType("paste.control.Response") };
  return types;
}

/** Does before the first message what it would wait for. */
export function prepareProtocol(): void {
  schema();
}

export function encodeRequest(request: Request): Buffer {
  return encode(schema().request, { id: request.id, [request.call]: request.body });
}

export function encodeResponse(response: Response): Buffer {
  return encode(schema().response, { id: response.id, more: response.more, [response.result]: response.body });
}

export function decodeRequest(bytes: Uint8Array): Request {
  const { fields, chosen } = decode(schema().request, "call", bytes);
  return { id: fields.id, call: chosen, body: fields[chosen] } as Request;
}

export function decodeResponse(bytes: Uint8Array): Response {
  const { fields, chosen } = decode(schema().response, "result", bytes);
  return { id: fields.id, more: fields.more, result: chosen, body: fields[chosen] } as Response;
}

/** Encodes a message and its length prefix. A value that does not fit its field is a fault of the caller. */
function encode(type: protobuf.Type, value: Record<string, unknown>): Buffer {
  const wire = toWire(type, value);
  const problem = type.verify(wire);
  if (problem) throw new PasteError("INTERNAL", `control message: ${problem}`);
  const body = type.encode(type.create(wire)).finish();
  if (body.length > messageBytesMax)
    throw new PasteError("CONTROL", `control message: ${body.length} bytes, at most ${messageBytesMax} can be sent`);
  const framed = Buffer.allocUnsafe(4 + body.length);
  framed.writeUInt32LE(body.length, 0);
  framed.set(body, 4);
  return framed;
}

function decode(type: protobuf.Type, choice: string, bytes: Uint8Array) {
  let message: Record<string, unknown>;
  try {
    message = type.decode(bytes) as unknown as Record<string, unknown>;
  } catch (error) {
    throw new PasteError("CONTROL", `control message: not protobuf: ${(error as Error).message}`);
  }
  const chosen = message[choice];
  if (typeof chosen !== "string")
    throw new PasteError("CONTROL", `control message: no ${choice} that protocol version ${protocolVersion} knows`);
  return { fields: fromWire(type, message), chosen };
}

const isBigint = (field: protobuf.Field) => field.options?.jstype === "JS_STRING";
const isLong = (field: protobuf.Field) => field.type === "uint64";

/** The type of a field that holds messages. */
function messageType({ resolvedType }: protobuf.Field): protobuf.Type | undefined {
  return resolvedType && "fieldsArray" in resolvedType ? resolvedType : undefined;
}

/** Plain values to what protobufjs encodes: 64-bit integers in halves, checked, since a double would be cut silently. */
function toWire(type: protobuf.Type, value: Record<string, unknown>): Record<string, unknown> {
  const wire: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const item = value[field.name];
    if (item === undefined) continue;
    if (field.map)
      wire[field.name] = Object.fromEntries(Object.entries(item as object).map(([k, v]) => [k, itemToWire(field, v)]));
    else if (field.repeated) wire[field.name] = (item as unknown[]).map((part) => itemToWire(field, part));
    else wire[field.name] = itemToWire(field, item);
  }
  return wire;
}

function itemToWire(field: protobuf.Field, item: unknown): unknown {
  const type = messageType(field);
  if (type) return toWire(type, item as Record<string, unknown>);
  if (!isLong(field)) return item;
  if (isBigint(field) && typeof item === "bigint" && item >= 0n && item < 1n << 64n) return halves(item);
  if (!isBigint(field) && Number.isSafeInteger(item) && (item as number) >= 0) return halves(BigInt(item as number));
  throw new PasteError("INTERNAL", `control message: ${field.fullName} cannot be ${String(item)}`);
}

/** A 64-bit integer as protobufjs takes it without loss. */
function halves(value: bigint): { low: number; high: number; unsigned: boolean } {
  return { low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: true };
}

/** Decoded messages to plain values: absent messages and members of a oneof are left out, everything else has a value. */
function fromWire(type: protobuf.Type, message: Record<string, unknown>): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const item = message[field.name];
    if (field.map)
      value[field.name] = Object.fromEntries(
        Object.entries((item ?? {}) as object).map(([k, v]) => [k, itemFromWire(field, v)]),
      );
    else if (field.repeated) value[field.name] = ((item ?? []) as unknown[]).map((part) => itemFromWire(field, part));
    else if (field.partOf || field.resolvedType) {
      if (Object.hasOwn(message, field.name) && item !== null) value[field.name] = itemFromWire(field, item);
    } else value[field.name] = itemFromWire(field, item);
  }
  return value;
}

function itemFromWire(field: protobuf.Field, item: unknown): unknown {
  const type = messageType(field);
  if (type) return fromWire(type, item as Record<string, unknown>);
  if (!isLong(field)) return item;
  const exact = BigInt(String(item));
  if (isBigint(field)) return exact;
  if (exact > BigInt(Number.MAX_SAFE_INTEGER))
    throw new PasteError("CONTROL", `control message: ${field.name} is ${exact}, above 2^53`);
  return Number(exact);
}

/** Cuts a byte stream into messages and holds at most one that is incomplete. A length of 0 or over the limit throws. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** Bytes of a message that has begun and not ended. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next whole message, or undefined until more bytes are pushed. */
  next(): Buffer | undefined {
    if (this.#bytes < 4) return undefined;
    const length = this.#first(4).readUInt32LE(0);
    if (length === 0 || length > messageBytesMax)
      throw new PasteError(
        "CONTROL",
        `control message: announced as ${length} bytes, 1 to ${messageBytesMax} are allowed`,
      );
    if (this.#bytes < 4 + length) return undefined;
    const all = this.#first(4 + length);
    if (all.length > 4 + length) this.#chunks[0] = all.subarray(4 + length);
    else this.#chunks.shift();
    this.#bytes -= 4 + length;
    return all.subarray(4, 4 + length);
  }

  /** The first chunk, made at least `bytes` long. Chunks are joined only when a message is whole, so each byte is copied twice at most. */
  #first(bytes: number): Buffer {
    if (this.#chunks[0]!.length < bytes) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }
}
