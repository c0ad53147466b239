// Compares a manifest with the stores that were exported: reads them again under the manifest's filter, and computes the chain anew.
import { native } from "../../native/engine.js";
import { createCaptureEncoder } from "../../native/export.js";
import { openNativeReader } from "../../native/reader.js";
import { capturedLengthMax } from "../capture/capture.js";
import { formatCount, formatOf } from "../counts.js";
import { PasteError } from "../errors.js";
import { compileFilter } from "../filter/compile.js";
import { FilterCheck } from "../filter/filter-check.js";
import { sourceKind, sourceKinds } from "../query-source.js";
import type { Manifest } from "./manifest.js";
import { type SequenceRange, Sources } from "./sources.js";

interface Finding {
  problems: string[];
  notes: string[];
}

export async function compareWithSources(manifest: Manifest, paths: readonly string[], report: Finding): Promise<void> {
  if (manifest.sanitize !== "")
    throw new PasteError("USAGE", "the export was sanitized: its records are not those of the store, leave -r away");
  const matched = await matchSources(manifest, paths);
  for (const [i, path] of matched.entries()) {
    const { kind, fromSequence } = manifest.sources[i]!;
    const oldest = kind === "store" ? await oldestOf(path) : 0n;
    if (oldest <= BigInt(fromSequence)) continue;
    report.problems.push(
      `${path}: cannot tell any more: its oldest record is ${formatCount(oldest)}, the export began at ${formatCount(BigInt(fromSequence))}`,
    );
    return;
  }
  const last = manifest.files.at(-1);
  if (!last) return;
  const found = await chainOf(manifest, matched);
  if (found.after === last.chainAfter)
    report.notes.push("the manifest lists the records that the store has, and no other");
  else report.problems.push(difference(manifest, found.records));
}

function difference({ frames }: Manifest, records: number): string {
  const exported = Number(frames);
  const both = `the store has ${formatOf(records, "record")} under this filter, the export ${formatCount(exported)}`;
  if (records > exported) return `${both}: ${formatCount(records - exported)} were dropped`;
  if (records < exported) return `${both}: ${formatCount(exported - records)} were added`;
  return `the export has as many records as the store under this filter, ${formatCount(records)}, but not the same`;
}

/** For each source of the manifest the path that is it. */
async function matchSources(manifest: Manifest, paths: readonly string[]): Promise<string[]> {
  if (manifest.sources.length === 0)
    throw new PasteError("USAGE", "the manifest was changed: it names nothing that was exported");
  const byUuid = new Map<string, string>();
  const captures: string[] = [];
  for (const path of paths)
    if (sourceKind(path) === "store") byUuid.set(await uuidOf(path), path);
    else captures.push(path);
  const matched = manifest.sources.map(({ kind, name, uuid }) => {
    const path = kind === "store" ? byUuid.get(uuid) : captures.shift();
    if (path === undefined)
      throw new PasteError(
        "USAGE",
        `the export was made of ${kind} ${name}${uuid ? ` (${uuid})` : ""}: name it with -r, and all others, too`,
      );
    return path;
  });
  const other = paths.find((path) => !matched.includes(path));
  if (other !== undefined) throw new PasteError("USAGE", `${other}: is none of what was exported: leave it away`);
  return matched;
}

async function uuidOf(path: string): Promise<string> {
  return (await infoOf(path)).uuid;
}
async function oldestOf(path: string): Promise<bigint> {
  return (await infoOf(path)).firstSequence;
}
async function infoOf(path: string) {
  const reader = native(() => openNativeReader(path));
  try {
    return await reader.info();
  } finally {
    reader.close();
  }
}

async function chainOf(manifest: Manifest, paths: readonly string[]): Promise<{ after: string; records: number }> {
  const limit =
    manifest.limit === "0" && manifest.ended === "done" ? Number.POSITIVE_INFINITY : Number(manifest.frames);
  const encoder = native(() =>
    createCaptureEncoder(manifest.captureFormat, "", manifest.snaplen || capturedLengthMax, {
      chain: true,
      plain: true,
      byTime: manifest.order === "time",
      slots: 1,
    }),
  );
  const kinds = sourceKinds(paths);
  const filter = manifest.filter
    ? compileFilter(manifest.filter, { record: "store", nowNs: BigInt(manifest.filterNowNs) })
    : undefined;
  const ranges: SequenceRange[] = manifest.sources.map(({ fromSequence, toSequence }) => ({
    fromSequence: BigInt(fromSequence),
    toSequence: BigInt(toSequence),
  }));
  // What is not Ethernet was given headers then, or else there would be no manifest.
  const capture = { allowTruncated: true, synthesizeEthernet: true };
  const sources = new Sources({ kinds, filter, ranges, capture, anonymous: false, origins: false });
  try {
    await sources.open(paths, encoder);
    for (let left = limit; left > 0; ) {
      const piece = await encoder.next(1 << 20, left);
      left -= piece.frames;
      if (piece.next === "hungry") await sources.feed(encoder, piece.hungry);
      if (!piece.more) break;
    }
    native(() => encoder.finish());
    sources.counters(new FilterCheck(undefined));
    const [part] = native(() => encoder.chain()).parts;
    return { after: part!.after.toString("hex"), records: part!.records };
  } finally {
    await sources.close();
  }
}
