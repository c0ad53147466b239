// From capture files into a store that no daemon has open.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename } from "node:path";
import type { FullPolicy } from "../native/engine.js";
import type { CaptureBatch, CaptureInterface } from "./capture/capture.js";
import { type CaptureReader, openCapture } from "./capture/open-capture.js";
import { PasteError } from "./errors.js";
import { FrameSelector } from "./filter/bpf-program.js";
import { type CompiledFilter, compileFilter } from "./filter/compile.js";
import { openStore } from "./reader.js";
import { createStore, type RecoveryReport, StoreAppender } from "./store.js";

export interface ImportOptions {
  /** Captures, one behind the other in this order; "-" is standard input. */
  captures: readonly string[];
  /** A store that no daemon has open. */
  store: string;
  /** Makes the store when it is missing. It is taken away again when the import fails and no frame came into it. */
  sizeBytes?: number;
  /** What happens when the store has no free block left; default overwrite. */
  full?: FullPolicy;
  /** Index what is imported; default true. */
  index?: boolean;
  /** In the language of pcap-filter(7), and the words about time of FILTER.md: only these frames. */
  filter?: string;
  /** Frames to import at most. */
  limit?: number;
  /** See CaptureOptions. */
  synthesizeEthernet?: boolean;
  allowTruncated?: boolean;
  /** Ends the import early; what was imported until then is kept. */
  signal?: AbortSignal;
  /** Called after each batch. */
  onProgress?: (report: Readonly<ImportReport>) => void;
}

export interface CaptureReport {
  path: string;
  frames: number;
  /** Not selected by the filter. */
  skipped: number;
  /** What was done to its frames, and what is odd about the file. */
  notes: string[];
  warnings: string[];
  /** The file is damaged, or cannot be read: the frames before the damage were imported. */
  problem?: PasteError;
}

export interface ImportReport {
  frames: number;
  bytes: number;
  skipped: number;
  /** Not taken, for want of room in the store. */
  refused: number;
  /** Cut to 256 KiB. */
  shortened: number;
  captures: CaptureReport[];
  aborted: boolean;
  /** The store was made. */
  made: boolean;
  /** What opening the store found. */
  recovery: RecoveryReport;
  /** Blocks of its index that were damaged; what they covered was indexed anew. */
  indexDamaged: number;
}

/**
 * Imports captures; each of their interfaces becomes a port of the store, by its name, or by its file's where it has none.
 * Everything is durable when this resolves. A damaged capture is told of in its report, not thrown: the caller decides what
 * it means. Throws USAGE or FILTER before anything is done, STORE, RESOURCE or PRIVILEGE when the store fails.
 */
export async function importCaptures(options: ImportOptions): Promise<ImportReport> {
  if (options.captures.length === 0) throw new PasteError("USAGE", "nothing to import: name a capture");
  if (options.limit !== undefined && !(Number.isSafeInteger(options.limit) && options.limit > 0))
    throw new PasteError("USAGE", `limit must be an integer above 0, it is ${options.limit}`);
  const program = options.filter ? compileFilter(options.filter, { record: "time" }) : undefined;
  const { sizeBytes, store } = options;
  if (sizeBytes === undefined || existsSync(store)) return importInto(options, program);
  await createStore(store, { sizeBytes });
  let report: ImportReport | undefined;
  try {
    report = await importInto(options, program);
  } finally {
    const failed = !report || report.captures.some(({ problem }) => problem);
    if (failed && (await isEmpty(store))) await rm(store);
    else if (report) report.made = true;
  }
  return report;
}

async function isEmpty(store: string): Promise<boolean> {
  const reader = openStore(store);
  try {
    return (await reader.info()).frames === 0;
  } finally {
    reader.close();
  }
}

async function importInto(options: ImportOptions, program: CompiledFilter | undefined): Promise<ImportReport> {
  const appender = await StoreAppender.open(options.store, {
    ...(options.full && { full: options.full }),
    index: options.index ?? true,
  });
  let failed = true;
  try {
    const report = await new Import(options, program, appender).run();
    failed = false;
    return report;
  } finally {
    if (failed) await appender.close().catch(() => undefined);
  }
}

class Import {
  readonly #options: ImportOptions;
  readonly #selector: FrameSelector | undefined;
  readonly #appender: StoreAppender;
  readonly #ports = new Map<string, number>();
  readonly #report: ImportReport;
  #left: number;

  constructor(options: ImportOptions, program: CompiledFilter | undefined, appender: StoreAppender) {
    this.#options = options;
    this.#selector = program && new FrameSelector(program);
    this.#appender = appender;
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
    this.#report = {
      ...{ frames: 0, bytes: 0, skipped: 0, refused: 0, shortened: 0, captures: [], aborted: false },
      made: false,
      recovery: appender.recovery,
      indexDamaged: 0,
    };
  }

  async run(): Promise<ImportReport> {
    for (const path of this.#options.captures) {
      if (this.#left <= 0 || this.#report.aborted) break;
      await this.#capture(path);
    }
    this.#count();
    this.#report.indexDamaged = (await this.#appender.close()).store.indexDamaged;
    return this.#report;
  }

  async #capture(path: string): Promise<void> {
    const report: CaptureReport = { path, frames: 0, skipped: 0, notes: [], warnings: [] };
    this.#report.captures.push(report);
    const { allowTruncated = false, synthesizeEthernet = false, signal } = this.#options;
    let capture: CaptureReader | undefined;
    try {
      capture = await openCapture(path, { allowTruncated, synthesizeEthernet, signal });
      await this.#batches(capture, report);
    } catch (error) {
      // The capture's faults are the report's; the store's are thrown.
      const ofCapture = error instanceof PasteError && (error.code === "CAPTURE" || capture === undefined);
      if (!ofCapture) throw error;
      report.problem = error;
    } finally {
      this.#look();
      report.notes.push(...(capture?.notes ?? []));
      report.warnings.push(...(capture?.warnings ?? []));
      await capture?.close();
    }
  }

  async #batches(capture: CaptureReader, report: CaptureReport): Promise<void> {
    for await (const batch of capture) {
      const ports = Uint16Array.from(capture.interfaces.map((each, i) => this.#port(each, i, capture)));
      const { chosen, skipped } = this.#choose(batch, ports);
      report.skipped += skipped;
      this.#report.skipped += skipped;
      if (chosen.count > 0) await this.#appender.append(chosen);
      report.frames += chosen.count;
      this.#left -= chosen.count;
      this.#count();
      this.#options.onProgress?.(this.#report);
      this.#look();
      if (this.#report.aborted || this.#left <= 0) break;
    }
  }

  #look(): void {
    if (this.#options.signal?.aborted) this.#report.aborted = true;
  }

  #count(): void {
    const { frames, bytes, refused, shortened } = this.#appender.counters();
    Object.assign(this.#report, { frames, bytes, refused, shortened });
  }

  /** The store's number of an interface; the same name is the same port. */
  #port(captureInterface: CaptureInterface, index: number, capture: CaptureReader): number {
    const file = basename(capture.name).replace(/\.(pcap|pcapng|cap|dmp)$/, "");
    const name = captureInterface.name || (index === 0 ? file : `${file}#${index}`);
    let port = this.#ports.get(name);
    if (port === undefined) {
      port = this.#appender.addInterface(name);
      this.#ports.set(name, port);
    }
    return port;
  }

  /**
   * The batch's frames that are selected and within the limit, with the store's port numbers; and how many before the limit
   * were not.
   */
  #choose(batch: CaptureBatch, ports: Uint16Array): { chosen: CaptureBatch; skipped: number } {
    const selected = this.#selector ? this.#selector.select(batch) : null;
    if (!selected && batch.count <= this.#left)
      return { chosen: { ...batch, interfaces: batch.interfaces.map((each) => ports[each]!) }, skipped: 0 };
    const kept: number[] = [];
    let seen = 0;
    for (; seen < batch.count && kept.length < this.#left; seen++) if (!selected || selected[seen]) kept.push(seen);
    const chosen = {
      data: batch.data,
      count: kept.length,
      offsets: Uint32Array.from(kept, (i) => batch.offsets[i]!),
      capturedLengths: Uint32Array.from(kept, (i) => batch.capturedLengths[i]!),
      wireLengths: Uint32Array.from(kept, (i) => batch.wireLengths[i]!),
      timesNs: BigInt64Array.from(kept, (i) => batch.timesNs[i]!),
      interfaces: Uint16Array.from(kept, (i) => ports[batch.interfaces[i]!]!),
    };
    return { chosen, skipped: seen - kept.length };
  }
}
