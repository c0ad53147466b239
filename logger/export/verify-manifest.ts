// Proves by its manifest that an export is what it was: that nothing was changed, dropped or added.
import { createHash, type KeyObject } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline, Readable, Transform } from "node:stream";
import zlib from "node:zlib";
import { asPasteError } from "../../native/engine.js";
import { type ChainCheck, type ChainPart, createChainCheck } from "../../native/export.js";
import { formatCount, formatOf } from "../counts.js";
import { PasteError } from "../errors.js";
import { canonicalJson, type Manifest, type ManifestFile, marksOf, parseManifest } from "./manifest.js";
import { fingerprint, publicKeyHex, signatureHolds } from "./manifest-signature.js";
import { compareWithSources } from "./verify-sources.js";

export interface VerifyOptions {
  /** Either of the two manifests; the files are looked for beside it. */
  manifest: string;
  /** The key that must have signed it. */
  key?: KeyObject;
  /** The stores and captures that were exported, to compare their records with the manifest. */
  sources?: readonly string[];
}

export interface VerifyReport {
  /** One sentence for each thing that is not as it was. None: all is proved. */
  problems: string[];
  /** What was checked, and what a manifest cannot tell. */
  notes: string[];
  frames: number;
  files: number;
}

/** Throws USAGE where there is no manifest, or a source that is none of it. */
export async function verifyManifest(options: VerifyOptions): Promise<VerifyReport> {
  const bytes = await readFile(options.manifest).catch((cause: NodeJS.ErrnoException) => {
    throw new PasteError(
      "USAGE",
      `${options.manifest}: cannot be read (${cause.code}): give an export's FILE.manifest.json`,
      { cause },
    );
  });
  const { manifest, signature, signedBytes } = parseManifest(options.manifest, bytes);
  const report: VerifyReport = { problems: [], notes: [], frames: 0, files: manifest.files.length };
  if (signature) {
    const holds = signatureHolds(signedBytes, signature);
    const print = fingerprint(signature.publicKey);
    if (!holds)
      report.problems.push(`the manifest was changed after it was signed: its signature by ${print} does not fit`);
    else if (options.key && publicKeyHex(options.key) !== signature.publicKey)
      report.problems.push(
        `the manifest is signed by another key: ${print}, not ${fingerprint(publicKeyHex(options.key))}`,
      );
    else if (options.key) report.notes.push(`signed by the key given, ${print}`);
    else report.notes.push(`signed by ${print}: whose key that is, --key tells`);
  } else if (options.key)
    report.problems.push("the manifest is not signed: its signature was taken away, or there never was one");
  else report.notes.push("the manifest is not signed: whoever changed the file could have changed it, too");
  checkItself(manifest, report);
  await checkTwin(options.manifest, manifest, report);
  for (const file of manifest.files)
    await checkFile(join(dirname(options.manifest), file.name), file, manifest, report);
  report.frames = manifest.files.reduce((sum, file) => sum + Number(file.frames), 0);
  report.notes.push(...missing(manifest));
  if (options.sources && options.sources.length > 0) await compareWithSources(manifest, options.sources, report);
  return report;
}

/** What is not in the files, and was never said to be. */
function missing({ removedFrames, lost, corrupt, overtaken }: Manifest): string[] {
  const places: [string, string, string][] = [
    [removedFrames, "frame", "given up by the ring of files before"],
    [lost, "frame", "that a rule selected could not be logged"],
    [corrupt, "damaged place", "of the store left out when it was exported"],
    [overtaken, "block", "of the store overwritten while it was exported"],
  ];
  return places
    .filter(([count]) => count !== "0")
    .map(([count, noun, what]) => `${formatOf(BigInt(count), noun)} ${what}`);
}

/** The parts of a manifest must fit each other. */
function checkItself({ files, frames, removedFrames }: Manifest, { problems }: VerifyReport): void {
  const sum = files.reduce((total, file) => total + BigInt(file.frames), BigInt(removedFrames));
  if (sum !== BigInt(frames))
    problems.push(
      `the manifest was changed: its files have ${formatOf(sum, "frame")} together, it says ${formatCount(BigInt(frames))}`,
    );
  if (files.length === 0) problems.push("the manifest was changed: it names no file, and every export has one");
  if (removedFrames === "0" && files[0] && /[^0]/.test(files[0].chainBefore))
    problems.push(`the manifest was changed: in front of ${files[0].name} a file is missing, and no ring gave it up`);
  for (const [i, file] of files.entries())
    if (i > 0 && file.chainBefore !== files[i - 1]!.chainAfter)
      problems.push(
        `the manifest was changed: between ${files[i - 1]!.name} and ${file.name} a file is missing, or their order is another`,
      );
}

/** The other of the two manifests, where it is there, says the same. */
async function checkTwin(path: string, manifest: Manifest, { problems }: VerifyReport): Promise<void> {
  const [, stem, json] = /^(.*\.manifest)(\.json)?$/s.exec(path) ?? [];
  if (stem === undefined) return;
  const twin = json ? stem : `${stem}.json`;
  const bytes = await readFile(twin).catch(() => undefined);
  if (bytes && canonicalJson(parseManifest(twin, bytes).manifest) !== canonicalJson(manifest))
    problems.push(`${twin}: does not say what ${path} says: one of them was changed, or is of another export`);
}

/** What a manifest says of a file beside its hash. */
function factsDiffer(file: ManifestFile, found: ChainPart): boolean {
  const said = [file.frames, file.firstSequence, file.lastSequence, file.firstNs, file.lastNs, file.stride];
  const is = [found.records, found.firstId, found.lastId, found.firstNs, found.lastNs, found.stride];
  return `${said}` !== `${is}` || `${file.marks}` !== `${marksOf(found)}`;
}

async function checkFile(
  path: string,
  file: ManifestFile,
  manifest: Manifest,
  { problems }: VerifyReport,
): Promise<void> {
  const info = await stat(path).catch(() => undefined);
  if (!info) {
    problems.push(`${path}: is missing`);
    return;
  }
  if (!info.isFile()) {
    problems.push(`${path}: is no file, but a folder, a pipe or a device`);
    return;
  }
  const hash = createHash("sha256");
  const check = createChainCheck(Buffer.from(file.chainBefore, "hex"), Number(file.stride), manifest.interfaces);
  const damage = await readThrough(path, manifest.compression, hash, check);
  const size = BigInt(info.size) - BigInt(file.bytes);
  // Whoever unpacks may stop in front of what was appended, and read no further.
  const changed = hash.digest("hex") !== file.sha256 || size !== 0n;
  if (!changed && !damage) {
    const found = check.finish();
    // A manifest whose hash fits and whose chain does not was made wrong, or changed.
    if (found.after.toString("hex") !== file.chainAfter)
      problems.push(`${path}: the manifest was changed: its chain is not that of the file it names`);
    else if (factsDiffer(file, found))
      problems.push(`${path}: the manifest was changed: numbers, times or marks in it are not those of the file`);
    return;
  }
  const bytes =
    size === 0n
      ? "bytes of it were changed"
      : size > 0n
        ? `it is ${formatOf(size, "byte")} longer`
        : `it is ${formatOf(-size, "byte")} shorter`;
  problems.push(`${path}: is not the file that was exported: ${bytes}`);
  const where = damage ?? recordsChanged(check, file, manifest);
  problems.push(`${path}: ${where}`);
}

function recordsChanged(check: ChainCheck, file: ManifestFile, { interfaces }: Manifest): string {
  let found: ReturnType<ChainCheck["finish"]>;
  try {
    found = check.finish();
  } catch (error) {
    return (asPasteError(error) as Error).message;
  }
  if (found.after.toString("hex") === file.chainAfter)
    return "every record is as it was, in its place; what was changed is what the file says beside them";
  const { disorder } = found;
  if (disorder)
    return `records stand in another order: record ${formatCount(disorder.record)}, packet id ${formatCount(disorder.id)}, stands behind ${formatCount(disorder.before)}`;
  const wanted = Number(file.frames);
  const stride = Number(file.stride);
  const marks = marksOf(found);
  const first = file.marks.findIndex((mark, i) => mark !== marks[i]);
  const from = (first < 0 ? file.marks.length : first) * stride + 1;
  // The marks tell which stride of records is another, and not which one in it.
  const to = Math.min(from + stride - 1, Math.max(found.records, wanted));
  const place = `between record ${formatCount(from)} and ${formatCount(to)}`;
  if (found.records < wanted)
    return `${formatCount(wanted - found.records)} of ${formatOf(wanted, "record")} were dropped, ${place}`;
  if (found.records > wanted)
    return `${formatOf(found.records - wanted, "record")} added to ${formatCount(wanted)}, ${place}`;
  if (found.interfaces > interfaces.length)
    return `an interface was renamed, and the records of it are no longer the same, ${place}`;
  return `records were changed, or stand in another order, ${place}`;
}

/** Reads a file into both; what is wrong with it as a capture, in words. The hash is over all of the file, unless
 * unpacking it ends before. */
async function readThrough(
  path: string,
  compression: Manifest["compression"],
  hash: ReturnType<typeof createHash>,
  check: ChainCheck,
) {
  let damage: string | undefined;
  const feed = (chunk: Buffer) => {
    try {
      if (damage === undefined) check.feed(chunk);
    } catch (error) {
      damage = (asPasteError(error) as Error).message;
    }
  };
  const file = createReadStream(path, { highWaterMark: 1 << 20 });
  if (compression === "") {
    for await (const chunk of file) {
      hash.update(chunk as Buffer);
      feed(chunk as Buffer);
    }
    return damage;
  }
  const hashing = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const unpacked = pipeline(file, hashing, decompressor(path, compression), () => {});
  try {
    for await (const chunk of Readable.from(unpacked)) feed(chunk as Buffer);
  } catch (error) {
    damage ??= `cannot be unpacked any more: ${(error as Error).message}`;
  } finally {
    file.destroy();
  }
  return damage;
}

function decompressor(path: string, compression: "gzip" | "zstd") {
  if (compression === "gzip") return zlib.createGunzip();
  const { createZstdDecompress } = zlib as unknown as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress) return createZstdDecompress();
  throw new PasteError("USAGE", `${path}: Node ${process.version} cannot unpack zstd (22.15 and later can)`);
}
