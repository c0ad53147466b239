// What an export was, in the shape of manifest.proto: whole numbers that may be large are decimal strings, hashes are hexadecimal.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type * as valita from "@badrap/valita";
import type protobuf from "protobufjs";
import type { ChainPart } from "../../native/export.js";
import { packageRoot } from "../../native/load.js";
import { loadProtobuf, requirePackage } from "../../native/packages.js";
import { PasteError } from "../errors.js";
import type { WrittenFile } from "./output.js";

const v = requirePackage("@badrap/valita") as typeof valita;

const text = v.string();
const whole = v
  .string()
  .assert(
    (value) => /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) < 1n << 64n,
    "must be a whole number of 64 bits in quotes",
  );
const small = v
  .number()
  .assert((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32, "must be a whole number");
const hash = v.string().assert((value) => /^[0-9a-f]{64}$/.test(value), "must be 64 hexadecimal digits");

const sourceSchema = v.object({
  kind: v.union(v.literal("store"), v.literal("capture")),
  name: text,
  uuid: text,
  fromSequence: whole,
  toSequence: whole,
});
const interfaceSchema = v.object({ name: text, description: text, linkType: small });
/** Files stand beside their manifest: it must not have others read from elsewhere. */
const fileName = text.assert((value) => /^(?!\.{0,2}$)[^/\0]+$/s.test(value), "must be a name without folders");
const fileSchema = v.object({
  name: fileName,
  bytes: whole,
  sha256: hash,
  frames: whole,
  firstSequence: whole,
  lastSequence: whole,
  firstNs: whole,
  lastNs: whole,
  chainBefore: hash,
  chainAfter: hash,
  stride: whole,
  marks: v.array(hash),
});
const manifestSchema = v.object({
  format: v.literal("paste-switch manifest"),
  version: v.literal(1),
  tool: text,
  createdNs: whole,
  captureFormat: v.union(v.literal("pcapng"), v.literal("pcap"), v.literal("nsecpcap")),
  compression: v.union(v.literal(""), v.literal("gzip"), v.literal("zstd")),
  filter: text,
  filterNowNs: whole,
  order: v.union(v.literal("time"), v.literal("append")),
  limit: whole,
  snaplen: small,
  sanitize: text,
  ended: text,
  frames: whole,
  removedFrames: whole,
  lost: whole,
  corrupt: whole,
  overtaken: whole,
  sources: v.array(sourceSchema),
  interfaces: v.array(interfaceSchema),
  files: v.array(fileSchema),
});
const signatureSchema = v.object({
  algorithm: v.literal("Ed25519"),
  publicKey: hash,
  signature: v.string().assert((value) => /^[0-9a-f]{128}$/.test(value), "must be 128 hexadecimal digits"),
});

export type Manifest = valita.Infer<typeof manifestSchema>;
export type ManifestSource = valita.Infer<typeof sourceSchema>;
export type ManifestFile = valita.Infer<typeof fileSchema>;
export type ManifestSignature = valita.Infer<typeof signatureSchema>;

export interface SignedManifest {
  manifest: Manifest;
  signature: ManifestSignature | undefined;
  /** What is signed: the bytes that the file holds, not what they would be if they were written again. */
  signedBytes: Uint8Array;
}

export function manifestFile(file: WrittenFile, part: ChainPart): ManifestFile {
  return {
    name: basename(file.name),
    bytes: `${file.bytes}`,
    sha256: file.sha256!.toString("hex"),
    frames: `${part.records}`,
    firstSequence: `${part.firstId}`,
    lastSequence: `${part.lastId}`,
    firstNs: `${part.firstNs}`,
    lastNs: `${part.lastNs}`,
    chainBefore: part.before.toString("hex"),
    chainAfter: part.after.toString("hex"),
    stride: `${part.stride}`,
    marks: marksOf(part),
  };
}

export function marksOf({ marks }: ChainPart): string[] {
  return Array.from({ length: marks.length / 32 }, (_, i) => marks.subarray(32 * i, 32 * (i + 1)).toString("hex"));
}

/** RFC 8785 for what a manifest holds: strings, whole numbers, lists, objects; keys sorted, no spaces. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`).join(",")}}`;
}

export function toJson(manifest: Manifest, signature: ManifestSignature | undefined): string {
  return `${JSON.stringify({ manifest, ...(signature && { signature }) }, null, 2)}\n`;
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const type = schema().lookupType("paste.manifest.Manifest");
  return type.encode(type.fromObject(withBytes(manifest))).finish();
}

export function encodeSigned(manifest: Uint8Array, signature: ManifestSignature | undefined): Uint8Array {
  const type = schema().lookupType("paste.manifest.SignedManifest");
  return type.encode(type.fromObject({ manifest, ...(signature && { signature: withBytes(signature) }) })).finish();
}

/** Either of the two files that stand beside an export. Throws USAGE where it is no manifest. */
export function parseManifest(name: string, bytes: Buffer): SignedManifest {
  const wrong = (why: string, cause?: unknown) =>
    new PasteError(
      "USAGE",
      `${name}: is no manifest of an export: ${why}: give its FILE.manifest.json or FILE.manifest`,
      { cause },
    );
  try {
    const isJson = /^\s*\{/.test(bytes.subarray(0, 64).toString("latin1"));
    const { manifest, signature, signedBytes } = isJson ? fromJson(bytes) : fromProtobuf(bytes);
    return {
      manifest: manifestSchema.parse(manifest),
      signature: signature === undefined ? undefined : signatureSchema.parse(signature),
      signedBytes,
    };
  } catch (error) {
    const at = error instanceof v.ValitaError ? error.issues[0]!.path.join(".") : "";
    throw wrong(`${at && `${at}: `}${(error as Error).message}`, error);
  }
}

interface Unchecked {
  manifest: unknown;
  signature: unknown;
  signedBytes: Uint8Array;
}

function fromJson(bytes: Buffer): Unchecked {
  const text = bytes.toString("utf8");
  const whole = JSON.parse(text) as Record<string, unknown>;
  const { manifest, signature, ...others } = whole;
  if (Object.keys(others).length > 0) throw new Error(`"${Object.keys(others)[0]}" is no part of it`);
  // Readers differ in which of two they take: only one of them would have been signed (RFC 8785 allows none).
  const written = [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/gs)].filter(([, colon]) => colon !== undefined);
  if (written.length !== countKeys(whole)) throw new Error("it has a field twice");
  return { manifest, signature, signedBytes: Buffer.from(canonicalJson(manifest ?? null)) };
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, each) => sum + countKeys(each), own);
}

function fromProtobuf(bytes: Buffer): Unchecked {
  const options = { longs: String, defaults: true, arrays: true } as const;
  const signed = schema().lookupType("paste.manifest.SignedManifest").decode(bytes) as unknown as {
    manifest: Uint8Array;
    signature: protobuf.Message | null;
  };
  const manifest = schema().lookupType("paste.manifest.Manifest");
  const signature = schema().lookupType("paste.manifest.Signature");
  return {
    manifest: withHex(manifest.toObject(manifest.decode(signed.manifest), options)),
    signature: signed.signature ? withHex(signature.toObject(signed.signature, options)) : undefined,
    signedBytes: signed.manifest,
  };
}

const hashes = new Set(["sha256", "chainBefore", "chainAfter", "publicKey", "signature", "marks"]);

/** Hexadecimal fields as bytes, the way protobuf has them; and back. */
function withBytes(value: object): object {
  return walk(value, (each) => Buffer.from(each as string, "hex"));
}
function withHex(value: object): object {
  return walk(value, (each) => Buffer.from(each as Uint8Array).toString("hex"));
}
function walk(value: object, change: (leaf: unknown) => unknown): object {
  const fields = Object.entries(value).map(([key, each]) => {
    if (!Array.isArray(each)) return [key, hashes.has(key) ? change(each) : each];
    return [key, each.map((item) => (hashes.has(key) ? change(item) : walk(item, change)))];
  });
  return Object.fromEntries(fields);
}

let root: protobuf.Namespace | undefined;

function schema(): protobuf.Namespace {
  if (root) return root;
  const text = readFileSync(join(packageRoot(), "logger", "manifest.proto"), "utf8");
  root = loadProtobuf().parse(text).root.resolveAll();
  return root;
}
