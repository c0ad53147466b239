// Writes the two manifests beside an export.
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ChainInterface, ChainPart } from "../../native/export.js";
import { packageRoot } from "../../native/load.js";
import type { CaptureFormat } from "../capture/capture.js";
import { PasteError } from "../errors.js";
import type { ExportOptions, ExportReport } from "../export.js";
import { openFileSink } from "../sink.js";
import type { Compression } from "./compress.js";
import { canonicalJson, encodeManifest, encodeSigned, type Manifest, manifestFile, toJson } from "./manifest.js";
import { fingerprint, publicKeyHex, signBytes } from "./manifest-signature.js";
import type { SanitizeOptions } from "./sanitize.js";
import type { Origin } from "./sources.js";

export interface WrittenManifest {
  json: string;
  binary: string;
  /** Of the key that signed it. */
  fingerprint?: string;
}

export interface ManifestFacts {
  options: ExportOptions;
  report: ExportReport;
  format: CaptureFormat;
  compression: Compression | undefined;
  nowNs: bigint;
  origins: readonly Origin[];
  chain: { parts: ChainPart[]; interfaces: ChainInterface[] };
  signWith: KeyObject | undefined;
}

export async function writeManifest(output: string, facts: ManifestFacts): Promise<WrittenManifest> {
  const manifest = manifestOf(facts);
  const { signWith } = facts;
  const sign = (bytes: Uint8Array) => signWith && signBytes(bytes, signWith);
  const binary = encodeManifest(manifest);
  const written = { json: `${output}.manifest.json`, binary: `${output}.manifest` };
  try {
    const { sources } = facts.options;
    await writeBeside(written.json, toJson(manifest, sign(Buffer.from(canonicalJson(manifest)))), sources);
    await writeBeside(written.binary, encodeSigned(binary, sign(binary)), sources);
  } catch (cause) {
    throw new PasteError(
      "RESOURCE",
      `${output}: is complete, but its manifest could not be written: ${(cause as Error).message}`,
      { cause },
    );
  }
  return { ...written, ...(signWith && { fingerprint: fingerprint(publicKeyHex(signWith)) }) };
}

/** Over neither a store nor a source; whole, or not at all. */
async function writeBeside(path: string, content: string | Uint8Array, sources: readonly string[]): Promise<void> {
  await (await openFileSink(path, sources)).close();
  await writeFile(path, content).catch(async (cause) => {
    await rm(path, { force: true });
    throw cause;
  });
}

function manifestOf({ options, report, format, compression, nowNs, origins, chain }: ManifestFacts): Manifest {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string };
  // A filter has addresses in it, and names.
  const anonymous = options.sanitize !== undefined && !options.sanitize.keepNames;
  return {
    format: "paste-switch manifest",
    version: 1,
    tool: `paste-switch ${version}`,
    createdNs: `${BigInt(Date.now()) * 1_000_000n}`,
    captureFormat: format,
    compression: compression?.method ?? "",
    filter: anonymous ? "" : (options.filter ?? ""),
    filterNowNs: `${nowNs}`,
    order: options.order ?? "time",
    limit: `${options.limit ?? 0}`,
    snaplen: options.snaplen ?? 0,
    sanitize: sanitizeText(options.sanitize),
    ended: report.ended,
    frames: `${report.frames}`,
    removedFrames: `${report.removed.frames}`,
    lost: `${report.lost}`,
    corrupt: `${report.corrupt}`,
    overtaken: `${report.overtaken}`,
    sources: origins.map(({ fromSequence, toSequence, ...rest }, i) => ({
      ...rest,
      ...(anonymous && { name: `source ${i + 1}`, uuid: "" }),
      fromSequence: `${fromSequence}`,
      toSequence: `${toSequence}`,
    })),
    interfaces: chain.interfaces.map(({ name, description, linkType }) => ({ name, description, linkType })),
    files: report.files.map((file) => manifestFile(file, chain.parts[file.index]!)),
  };
}

function sanitizeText(options: SanitizeOptions | undefined): string {
  if (!options) return "";
  const { keepPayload, keepOui, keepNames } = options;
  const kept = [keepPayload && "keep-payload", keepOui && "keep-oui", keepNames && "keep-names"];
  return ["crypto-pan", ...kept.filter((word) => word)].join(",");
}
