// A mutable, persistent B+ tree of byte strings (native/core/tree; its README says what it promises and costs). One process writes:
// puts and deletes gather in a batch, commit() makes them durable and visible all at once. Any process reads snapshots, without
// locks and without writing. Keys are ordered as memcmp orders them. Failures throw PasteError.
import { type ErrorCode, errorCodes, PasteError } from "../logger/errors.js";
import { loadAddon } from "./load.js";

/** Pages that a snapshot needs are in use again, because the writer went on: take a new snapshot and start anew. */
export class TreeOvertakenError extends PasteError {
  constructor(message: string, options?: ErrorOptions) {
    super("STORE", message, options);
    this.name = "TreeOvertakenError";
  }
}

export interface CreateTreeOptions {
  /** Rounded up to 4096; at least 131072. A tree never grows beyond it: a full one refuses with RESOURCE. */
  sizeBytes: number;
  /** Do not reserve the space; a commit then fails with RESOURCE when the file system has none left. */
  sparse?: boolean;
  /** Permissions of the file, 0o600 when absent. */
  mode?: number;
  /** Device-DAX only: overwrite the store or tree that lies there. */
  replace?: boolean;
}

export interface TreeInfo {
  version: number;
  uuid: string;
  sizeBytes: number;
  pageBytes: number;
  /** Pages of the file, six of its head included, and those that the committed tree consists of. */
  pageCount: number;
  pagesUsed: number;
  /** Number of the last commit; 1 = as created. */
  generation: number;
  entries: number;
  height: number;
  keyBytesMax: number;
  /** Key and value together. */
  entryBytesMax: number;
  createdNs: bigint;
  committedNs: bigint;
  /** What it stands on, and a sentence about what that survives. */
  medium: string;
  survives: string;
  fileSystem: string;
}

export interface TreeRange {
  /** The least key that is meant; absent: from the first on. */
  from?: Uint8Array;
  /** The first key that is not meant any more; absent: to the last. */
  to?: Uint8Array;
  /** From the greatest to the least. */
  reverse?: boolean;
}

export type TreeEntry = [key: Uint8Array, value: Uint8Array];

interface NativeCursor {
  next(
    maxEntries: number,
    maxBytes: number,
    from: Uint8Array | null,
    reverse: boolean,
  ): { lengths: Uint32Array; bytes: Buffer; more: boolean };
}

interface NativeSnapshot {
  readonly generation: number;
  readonly entries: number;
  get(key: Uint8Array): Buffer | null;
  cursor(): NativeCursor;
  overtaken(): boolean;
  verify(limit: number): { page: number; what: string }[];
}

interface NativeReader {
  snapshot(): NativeSnapshot;
  info(): TreeInfo;
  close(): void;
}

interface NativeWriter extends NativeReader {
  put(key: Uint8Array, value: Uint8Array): void;
  putAll(bytes: Uint8Array, lengths: Uint32Array, count: number): void;
  remove(key: Uint8Array): boolean;
  get(key: Uint8Array): Buffer | null;
  commit(): number | Promise<number>;
  abort(): void;
  loadStart(): void;
  load(bytes: Uint8Array, lengths: Uint32Array, count: number): void;
  loadFinish(): void;
  loadAbort(): void;
}

interface TreeAddon {
  createTree(path: string, options: CreateTreeOptions): void;
  TreeReader: new (path: string) => NativeReader;
  TreeWriter: new (path: string) => NativeWriter;
}

const addon = () => loadAddon("paste_switch") as unknown as TreeAddon;

function translated(error: unknown): unknown {
  const [, code, message] = (error instanceof Error && /^([A-Z]+): (.*)$/s.exec(error.message)) || [];
  if (code === "OVERTAKEN") return new TreeOvertakenError(message!, { cause: error });
  if (errorCodes.includes(code as ErrorCode)) return new PasteError(code as ErrorCode, message!, { cause: error });
  return error;
}

function call<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translated(error);
  }
}

const entriesPerCrossing = 1024;
const bytesPerCrossing = 256 * 1024;

/** Hands entries over in batches, so that the boundary is crossed once for many. */
function inBatches(
  entries: Iterable<readonly [Uint8Array, Uint8Array]>,
  take: (bytes: Uint8Array, lengths: Uint32Array, count: number) => void,
): number {
  let parts: Uint8Array[] = [];
  let total = 0;
  let bytes = 0;
  const lengths = new Uint32Array(2 * entriesPerCrossing);
  const hand = () => {
    if (parts.length > 0) take(Buffer.concat(parts), lengths, parts.length / 2);
    total += parts.length / 2;
    parts = [];
    bytes = 0;
  };
  for (const [key, value] of entries) {
    if (!(key instanceof Uint8Array) || !(value instanceof Uint8Array))
      throw new PasteError("USAGE", "a tree's keys and values must be Uint8Arrays");
    lengths[parts.length] = key.byteLength;
    lengths[parts.length + 1] = value.byteLength;
    parts.push(key, value);
    bytes += key.byteLength + value.byteLength;
    if (parts.length === 2 * entriesPerCrossing || bytes >= bytesPerCrossing) hand();
  }
  hand();
  return total;
}

/** Makes a tree in a new file (never over one) or on a device-DAX node. */
export function createTree(path: string, options: CreateTreeOptions): void {
  const { sizeBytes } = options;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)
    throw new PasteError("USAGE", `${path}: a tree's size must be a positive whole number of bytes, not ${sizeBytes}`);
  call(() => addon().createTree(path, options));
}

/** One committed state. It stays as it is while the writer goes on, until it is overtaken: every call may say so by throwing. */
export class TreeSnapshot {
  readonly #native: NativeSnapshot;
  /** @internal */
  constructor(native: NativeSnapshot) {
    this.#native = native;
  }

  get generation(): number {
    return this.#native.generation;
  }

  get entryCount(): number {
    return this.#native.entries;
  }

  /** Whether its pages may be in use again. */
  get overtaken(): boolean {
    return call(() => this.#native.overtaken());
  }

  /** The value of `key`, or undefined. Throws TreeOvertakenError, or STORE with the page that is damaged. */
  get(key: Uint8Array): Uint8Array | undefined {
    return call(() => this.#native.get(key)) ?? undefined;
  }

  /** The entries of a range in order. What came before a TreeOvertakenError is right. */
  *entries({ from, to, reverse = false }: TreeRange = {}): Generator<TreeEntry, void, undefined> {
    const cursor = call(() => this.#native.cursor());
    const start = (reverse ? to : from) ?? null;
    const end = reverse ? from : to;
    for (let more = true, most = 16; more; most = entriesPerCrossing) {
      const batch = call(() => cursor.next(most, bytesPerCrossing, start, reverse));
      more = batch.more;
      for (let i = 0, at = 0; i < batch.lengths.length; i += 2) {
        const key = batch.bytes.subarray(at, at + batch.lengths[i]!);
        at += key.length + batch.lengths[i + 1]!;
        if (end) {
          const order = Buffer.compare(key, end);
          if (reverse ? order < 0 : order >= 0) return;
        }
        yield [key, batch.bytes.subarray(at - batch.lengths[i + 1]!, at)];
      }
    }
  }

  /** Reads and checks everything; at most `limit` problems, none = sound. */
  verify(limit = 20): { page: number; what: string }[] {
    return call(() => this.#native.verify(limit));
  }
}

/** A tree open for reading, in any process, beside its writer or without one. Never writes. */
export class TreeReader {
  readonly #native: NativeReader;

  private constructor(native: NativeReader) {
    this.#native = native;
  }

  static open(path: string): TreeReader {
    return new TreeReader(call(() => new (addon().TreeReader)(path)));
  }

  /** The newest committed state. */
  snapshot(): TreeSnapshot {
    return new TreeSnapshot(call(() => this.#native.snapshot()));
  }

  info(): TreeInfo {
    return call(() => this.#native.info());
  }

  /** Its snapshots end with it. */
  close(): void {
    this.#native.close();
  }
}

/**
 * The one writer of a tree: a lock that dies with the process keeps others out (STORE). Changes are seen by get() at once, by
 * snapshots after commit(). On a disk, calls while a commit is under way throw USAGE: wait for its promise, or read through
 * a TreeReader.
 */
export class Tree {
  readonly #native: NativeWriter;

  private constructor(native: NativeWriter) {
    this.#native = native;
  }

  /** Reads every inner page, to learn which pages are free. */
  static open(path: string): Tree {
    return new Tree(call(() => new (addon().TreeWriter)(path)));
  }

  /** Inserts or replaces. USAGE: key empty or over 512 bytes, or 1328 bytes exceeded by both. RESOURCE: full; nothing has changed. */
  put(key: Uint8Array, value: Uint8Array): void {
    call(() => this.#native.put(key, value));
  }

  /** Many at once, for a fraction of the cost. Returns how many; a failure leaves those before it in the batch: abort() or commit(). */
  putAll(entries: Iterable<readonly [Uint8Array, Uint8Array]>): number {
    return inBatches(entries, (bytes, lengths, count) => call(() => this.#native.putAll(bytes, lengths, count)));
  }

  /** Whether there was such a key. */
  delete(key: Uint8Array): boolean {
    return call(() => this.#native.remove(key));
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return call(() => this.#native.get(key)) ?? undefined;
  }

  /**
   * Makes the batch durable, as far as the medium survives anything, and visible; resolves to the generation. Where a fence does that
   * (DAX, memory) it is done when the call returns. An empty batch costs nothing.
   */
  async commit(): Promise<number> {
    try {
      return await this.#native.commit();
    } catch (error) {
      throw translated(error);
    }
  }

  /** Forgets the batch. */
  abort(): void {
    call(() => this.#native.abort());
  }

  /**
   * Loads sorted entries into an empty tree and commits: pages filled to the brim, written once. Returns how many. USAGE when the tree
   * is not empty or keys do not ascend; a failure leaves the tree empty. Blocks until all is durable.
   */
  load(entries: Iterable<readonly [Uint8Array, Uint8Array]>): number {
    call(() => this.#native.loadStart());
    try {
      const count = inBatches(entries, (bytes, lengths, n) => call(() => this.#native.load(bytes, lengths, n)));
      call(() => this.#native.loadFinish());
      return count;
    } catch (error) {
      call(() => this.#native.loadAbort());
      throw error;
    }
  }

  /** The last commit. */
  snapshot(): TreeSnapshot {
    return new TreeSnapshot(call(() => this.#native.snapshot()));
  }

  info(): TreeInfo {
    return call(() => this.#native.info());
  }

  /** Forgets what was not committed, and gives the lock back. Snapshots end with it. */
  close(): void {
    call(() => this.#native.close());
  }
}
