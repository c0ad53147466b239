// What frames are read from: a store or a capture file, told apart by their first bytes.
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { native } from "../native/engine.js";
import { openNativeReader } from "../native/reader.js";
import type { CaptureBatch } from "./capture/capture.js";
import type { CaptureReader } from "./capture/open-capture.js";
import { PasteError } from "./errors.js";
import type { CompiledFilter } from "./filter/compile.js";
import { filterError } from "./filter/filter-error.js";

export type SourceKind = "store" | "capture";

const storeMagic = Buffer.from("PASTESW1", "latin1");

/** How a source is called in messages. */
export function sourceName(path: string): string {
  return path === "-" ? "standard input" : path;
}

/** Standard input, or a named pipe such as a shell's <(...): read once, from its front. */
export function isPipe(path: string): boolean {
  try {
    return path === "-" || statSync(path).isFIFO();
  } catch {
    return false; // opening it says why
  }
}

/** What a path names; pipes are captures, and not opened: who writes one would find it closed. Throws CAPTURE where the path cannot be read. */
export function sourceKind(path: string): SourceKind {
  if (isPipe(path)) return "capture";
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT")
      throw new PasteError("CAPTURE", `${path}: no such file: give a store or a capture`, { cause });
    throw new PasteError("PRIVILEGE", `${path}: cannot be read (${code}): check its permissions`, { cause });
  }
  try {
    if (isStore(fd)) return "store";
  } catch {
    // Devices without read() are stores or nothing: opening one says which.
    native(() => openNativeReader(path)).close();
    return "store";
  } finally {
    closeSync(fd);
  }
  return "capture";
}

export function sourceKinds(paths: readonly string[]): ReadonlyMap<string, SourceKind> {
  return new Map(paths.map((path) => [path, sourceKind(path)]));
}

/** The same of what is to be read; throws FILTER or USAGE, too, where they cannot answer what is asked of them. */
export function answerableKinds(
  reading: SequenceWishes & { sources: readonly string[] },
  filter: CompiledFilter | undefined,
): ReadonlyMap<string, SourceKind> {
  const kinds = sourceKinds(reading.sources);
  checkAnswerable(filter, kinds);
  checkSequences(reading, kinds);
  return kinds;
}

interface SequenceWishes {
  fromSequence?: bigint | undefined;
  toSequence?: bigint | undefined;
}

/** Throws USAGE when there is none, and when a pipe is named more than once. */
export function checkSources(paths: readonly string[]): void {
  if (paths.length === 0) throw new PasteError("USAGE", "nothing to read: name a store or a capture");
  const twice = paths.find((path, i) => paths.indexOf(path) !== i && isPipe(path));
  if (twice !== undefined) throw new PasteError("USAGE", `${sourceName(twice)} can be read once only: name it once`);
}

/** How each source is told from the others: by its file's name; nothing where there is only one. */
export function sourceLabels(paths: readonly string[]): string[] {
  if (paths.length < 2) return paths.map(() => "");
  const seen = new Map<string, number>();
  return paths.map((path) => {
    const name = basename(sourceName(path));
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

/** Both places of the superblock count: the first copy may be the damaged one. */
function isStore(fd: number): boolean {
  for (const position of [0, 4096]) {
    const head = Buffer.alloc(storeMagic.length);
    if (readSync(fd, head, 0, head.length, position) === head.length && head.equals(storeMagic)) return true;
  }
  return false;
}

/** Throws FILTER when the filter has words that only a store's records can answer, and one of the sources is a capture. */
function checkAnswerable(filter: CompiledFilter | undefined, kinds: ReadonlyMap<string, SourceKind>): void {
  const need = filter?.needs.find(({ needs }) => needs === "store");
  const capture = [...kinds].find(([, kind]) => kind === "capture")?.[0];
  if (need && capture !== undefined)
    throw filterError(need.at, `"${need.word}" needs a store`, `${sourceName(capture)} is a capture`);
}

/** Throws USAGE for a range of sequences that is empty, or is asked of captures alone, which have none. */
function checkSequences({ fromSequence, toSequence }: SequenceWishes, kinds: ReadonlyMap<string, SourceKind>): void {
  if (fromSequence !== undefined && toSequence !== undefined && fromSequence > toSequence)
    throw new PasteError("USAGE", `from sequence ${fromSequence} to ${toSequence} there is nothing: turn them round`);
  if ((fromSequence ?? toSequence) === undefined || [...kinds.values()].includes("store")) return;
  const [capture] = kinds.keys();
  throw new PasteError(
    "USAGE",
    `${sourceName(capture!)}: a capture has no sequences: leave the range out, or import it into a store`,
  );
}

/** A capture's batches, each with the frames that a filter selects; null: all of them. */
export async function* selectedBatches(
  capture: CaptureReader,
  filter: CompiledFilter | undefined,
): AsyncGenerator<{ batch: CaptureBatch; selected: Uint8Array | null }, void, void> {
  const selector = filter && new (await import("./filter/bpf-program.js")).FrameSelector(filter);
  for await (const batch of capture) yield { batch, selected: selector ? selector.select(batch) : null };
}
