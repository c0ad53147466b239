// Stores as their administrator sees them: made, recovered, trimmed, and filled with captures. Reading is in reader.ts.
import { asPasteError, type FullPolicy, native } from "../native/engine.js";
import {
  type AppendCounters,
  type CreateStoreOptions,
  type NativeStoreAppender,
  type RecoveryReport,
  storeAddon,
} from "../native/store.js";
import type { CaptureBatch } from "./capture/capture.js";
import { PasteError } from "./errors.js";
import { checkLayout } from "./layout.js";

export type { AppendCounters, CreateStoreOptions, RecoveryReport, StoreCounters } from "../native/store.js";

let checked = false;

/** The addon, after a look whether it was compiled with the layout that this package knows. Throws INTERNAL when not. */
export function storeAddonChecked() {
  const loaded = storeAddon();
  if (!checked) checkLayout(loaded.storeLayout());
  checked = true;
  return loaded;
}

async function settled<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw asPasteError(error);
  }
}

function checkPath(path: string): void {
  if (typeof path !== "string" || path === "" || path.includes("\0"))
    throw new PasteError("USAGE", "a store needs a path: a file, or a device-DAX node such as /dev/dax0.0");
}

function checkWhole(name: string, value: number | undefined): void {
  if (value !== undefined && (!Number.isSafeInteger(value) || value < 0))
    throw new PasteError("USAGE", `${name} must be a whole number, not ${value}`);
}

/**
 * Makes a store of `sizeBytes` (at least 16 MiB; with a `blockBytes` of your own, at least eight blocks and the directory). Never
 * overwrites a file. Throws USAGE, STORE, PRIVILEGE or RESOURCE, and leaves nothing behind then.
 */
export async function createStore(path: string, options: CreateStoreOptions): Promise<void> {
  checkPath(path);
  for (const name of ["sizeBytes", "blockBytes", "segmentBlocks", "mode"] as const) checkWhole(name, options[name]);
  for (const name of ["blockBytes", "segmentBlocks"] as const)
    if ((options[name] ?? 0) > 0xffffffff)
      throw new PasteError("USAGE", `${name} must be below 4 GiB, not ${options[name]}`);
  await settled(() => storeAddonChecked().createStore(path, options));
}

/**
 * Brings a store whose writer died into order, as the next writer would at its start. With `dryRun` nothing is written and no lock
 * is taken: the report says what would be done. Throws STORE when another process has it open for writing.
 */
export async function recoverStore(path: string, options: { dryRun?: boolean } = {}): Promise<RecoveryReport> {
  checkPath(path);
  return settled(() => storeAddonChecked().recoverStore(path, options.dryRun ?? false));
}

/** Retires every sealed block of a store nobody has open whose records all lie before `sequence`; returns how many. */
export async function trimStore(path: string, sequence: bigint): Promise<number> {
  checkPath(path);
  if (sequence < 0n || sequence > 0xffffffffffffffffn)
    throw new PasteError("USAGE", `a sequence is a whole number below 2^64, not ${sequence}`);
  return settled(() => storeAddonChecked().trimStore(path, sequence));
}

/** Writes captures into a store that no daemon has open. One call at a time; durable after `flush()` or `close()`. */
export class StoreAppender {
  readonly #native: NativeStoreAppender;
  /** What opening the store found. */
  readonly recovery: RecoveryReport;

  private constructor(native: NativeStoreAppender, recovery: RecoveryReport) {
    this.#native = native;
    this.recovery = recovery;
  }

  /**
   * Opens the store as its only writer, recovering it if need be. `full`: what happens when it has no free block left; `index`
   * (default true): what is appended is indexed by the time it is closed.
   */
  static async open(
    path: string,
    options: { full?: FullPolicy; writer?: string; index?: boolean } = {},
  ): Promise<StoreAppender> {
    checkPath(path);
    const full = options.full ?? "overwrite";
    if (!["overwrite", "stop", "block"].includes(full))
      throw new PasteError("USAGE", `full must be overwrite, stop or block, not ${full}`);
    const appender = new (storeAddonChecked().StoreAppender)();
    const recovery = await settled(() =>
      appender.open(path, full, options.writer ?? "paste-switch import", options.index ?? true),
    );
    return new StoreAppender(appender, recovery);
  }

  /** An interface of a capture, to be shown by this name; returns its index for the batches' `interfaces`. */
  addInterface(name: string): number {
    return native(() => this.#native.addInterface(name));
  }

  /** Appends every frame of the batch, in its order and with its times. The batch must not change until this resolves. */
  async append(batch: CaptureBatch): Promise<void> {
    await settled(() =>
      this.#native.append(
        batch.data,
        batch.count,
        batch.offsets,
        batch.capturedLengths,
        batch.wireLengths,
        batch.timesNs,
        batch.interfaces,
      ),
    );
  }

  /** Resolves when everything appended is durable. */
  async flush(): Promise<void> {
    await settled(() => this.#native.flush());
  }

  counters(): AppendCounters {
    return native(() => this.#native.counters());
  }

  /** Closes the store clean, and indexed. */
  async close(): Promise<AppendCounters> {
    return settled(() => this.#native.close());
  }
}
