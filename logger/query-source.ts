// What frames are read from: a store or a capture file, told apart by their first bytes.
import { type FileHandle, open } from "node:fs/promises";
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

/** What a path names. "-" is a capture on standard input. Throws CAPTURE where the path cannot be read. */
export async function sourceKind(path: string): Promise<SourceKind> {
  if (path === "-") return "capture";
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT")
      throw new PasteError("CAPTURE", `${path}: no such file: give a store or a capture`, { cause });
    throw new PasteError("PRIVILEGE", `${path}: cannot be read (${code}): check its permissions`, { cause });
  }
  try {
    if (await isStore(handle)) return "store";
  } catch {
    // Devices without read() are stores or nothing: opening one says which.
    native(() => openNativeReader(path)).close();
    return "store";
  } finally {
    await handle.close();
  }
  return "capture";
}

/** Throws USAGE when standard input is named more than once. */
export function checkSources(paths: readonly string[]): void {
  if (paths.length === 0) throw new PasteError("USAGE", "nothing to read: name a store or a capture");
  if (paths.filter((path) => path === "-").length > 1)
    throw new PasteError("USAGE", "standard input can be read once only: name it once");
}

/** How each source is told from the others: by its file's name; nothing where there is only one. */
export function sourceLabels(paths: readonly string[]): string[] {
  if (paths.length < 2) return paths.map(() => "");
  const seen = new Map<string, number>();
  return paths.map((path) => {
    const name = path === "-" ? "standard input" : basename(path);
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

/** Both places of the superblock count: the first copy may be the damaged one. */
async function isStore(handle: FileHandle): Promise<boolean> {
  for (const position of [0, 4096]) {
    const head = Buffer.alloc(storeMagic.length);
    const { bytesRead } = await handle.read(head, 0, head.length, position);
    if (bytesRead === head.length && head.equals(storeMagic)) return true;
  }
  return false;
}

/** Throws FILTER when the filter has words that only a store's records can answer, and one of the sources is a capture. */
export function checkAnswerable(filter: CompiledFilter | undefined, kinds: ReadonlyMap<string, SourceKind>): void {
  const need = filter?.needs.find(({ needs }) => needs === "store");
  const capture = [...kinds].find(([, kind]) => kind === "capture")?.[0];
  if (need && capture !== undefined)
    throw filterError(
      need.at,
      `"${need.word}" needs a store`,
      `${capture === "-" ? "standard input" : capture} is a capture`,
    );
}

/** Throws USAGE for a range of sequences that is empty, or is asked of captures alone, which have none. */
export function checkSequences(
  { fromSequence, toSequence }: { fromSequence?: bigint | undefined; toSequence?: bigint | undefined },
  kinds: ReadonlyMap<string, SourceKind>,
): void {
  if (fromSequence !== undefined && toSequence !== undefined && fromSequence > toSequence)
    throw new PasteError("USAGE", `from sequence ${fromSequence} to ${toSequence} there is nothing: turn them round`);
  if ((fromSequence ?? toSequence) === undefined || [...kinds.values()].includes("store")) return;
  const [capture] = kinds.keys();
  throw new PasteError(
    "USAGE",
    `${capture === "-" ? "standard input" : capture}: a capture has no sequences: leave the range out, or import it into a store`,
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
