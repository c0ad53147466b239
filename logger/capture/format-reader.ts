import { PasteError } from "../errors.js";
import type { ByteWindow } from "./byte-window.js";
import { type CaptureBatch, type CaptureInterface, type CaptureOptions, Warnings } from "./capture.js";
import { FrameColumns } from "./frame-columns.js";

/**
 * The loop that both formats share: take what is whole in the window, hand it out as a batch, read on. A format says how
 * records look. Whatever is wrong with a record, the frames before it are handed out first.
 */
export abstract class FormatReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly notes: string[] = [];
  readonly warnings = new Warnings();
  protected readonly columns = new FrameColumns();
  /** What a record is called in messages. */
  protected abstract readonly unit: string;
  /** Whole records met so far. */
  protected recordCount = 0;
  /** How many bytes the record at the window's start needs in all, as far as its beginning tells. */
  protected needed = 1;
  #taken = 0;
  #problem: PasteError | null = null;

  constructor(
    protected readonly window: ByteWindow,
    protected readonly name: string,
    protected readonly options: CaptureOptions,
  ) {}

  /** Takes whole records from the window into `columns` and advances it. Throws at the first one that is wrong. */
  protected abstract scan(): void;

  /** Whole frames that were found so far. */
  get frameCount(): number {
    return this.#taken + this.columns.count;
  }

  /** Scans what the window holds, so that interfaces are known early. Throws when there is damage before any frame. */
  prime(): void {
    this.#scanSafely();
    if (this.#problem && this.columns.count === 0) throw this.#problem;
  }

  async *batches(): AsyncGenerator<CaptureBatch, void, void> {
    for (;;) {
      this.#scanSafely();
      this.#taken += this.columns.count;
      if (this.columns.count > 0) yield this.columns.take(this.window.buffer);
      if (this.#problem) throw this.#problem;
      if (!(await this.window.fill(this.needed))) break;
    }
    if (this.window.length > 0) this.#endTruncated();
  }

  /** The error for the record at the window's start. */
  protected damage(what: string): PasteError {
    const where = `${this.unit} ${this.recordCount + 1} at byte ${this.window.position}`;
    return new PasteError("CAPTURE", `${this.name}: ${where}: ${what}; whole frames before it: ${this.frameCount}`);
  }

  #scanSafely(): void {
    if (this.#problem) return;
    try {
      this.scan();
    } catch (cause) {
      if (!(cause instanceof PasteError)) throw cause;
      this.#problem = cause;
    }
  }

  #endTruncated(): void {
    const what = `the file is truncated, it ends ${this.window.length} bytes into this ${this.unit}`;
    if (!this.options.allowTruncated) throw this.damage(`${what} (--allow-truncated takes what is whole)`);
    this.warnings.add(this.damage(what).message);
  }
}
