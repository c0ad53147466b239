// What an export reads: stores by readers of the addon, captures by batches that are handed over when they are wanted.
import { basename } from "node:path";
import { asPasteError, native } from "../../native/engine.js";
import type { CaptureEncoder } from "../../native/export.js";
import { type NativeStoreReader, openNativeReader } from "../../native/reader.js";
import { type CaptureBatch, type CaptureOptions, capturedLengthMax } from "../capture/capture.js";
import type { CaptureReader } from "../capture/open-capture.js";
import type { CompiledFilter } from "../filter/compile.js";
import type { FilterCheck } from "../filter/filter-check.js";
import { type SourceKind, selectedBatches, sourceLabels } from "../query-source.js";
import { type FrameOptions, nativeOptions } from "../reader.js";

type Batches = AsyncGenerator<{ batch: CaptureBatch; selected: Uint8Array | null }, void, void>;

export type SequenceRange = Pick<FrameOptions, "fromSequence" | "toSequence">;

/** Where frames came from. */
export interface Origin {
  kind: SourceKind;
  name: string;
  /** Of a store; else empty, and both numbers 0. */
  uuid: string;
  fromSequence: bigint;
  toSequence: bigint;
}

export interface SourceOptions {
  kinds: ReadonlyMap<string, SourceKind>;
  filter: CompiledFilter | undefined;
  /** Of each source. */
  ranges: readonly SequenceRange[];
  /** What was read is said in `origins`, and a store is read exactly up to what is durable now. */
  origins: boolean;
  capture: CaptureOptions;
  /** Sources and their interfaces are numbered instead of named. */
  anonymous: boolean;
}

export class Sources {
  readonly #options: SourceOptions;
  readonly #stores: NativeStoreReader[] = [];
  readonly origins: Origin[] = [];
  readonly #captures = new Map<number, { capture: CaptureReader; batches: Batches }>();

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  async open(paths: readonly string[], encoder: CaptureEncoder): Promise<void> {
    const labels =
      this.#options.anonymous && paths.length > 1 ? paths.map((_, i) => `source ${i + 1}`) : sourceLabels(paths);
    const { kinds, filter, capture: captureOptions } = this.#options;
    for (const [i, path] of paths.entries()) {
      if (kinds.get(path) === "store") {
        const reader = native(() => openNativeReader(path));
        this.#stores.push(reader);
        const range = await this.#rangeOf(reader, path, this.#options.ranges[i] ?? {});
        native(() => {
          reader.start({ ...nativeOptions({ ...range, ...(filter && { filter }) }), framesOnly: false });
          encoder.openStore(reader, labels[i]);
        });
      } else {
        const { openCapture } = await import("../capture/open-capture.js");
        const capture = await openCapture(path, captureOptions);
        const number = native(() => encoder.openCapture(labels[i]));
        const none = { uuid: "", fromSequence: 0n, toSequence: 0n };
        this.origins.push({ kind: "capture", name: path === "-" ? "standard input" : basename(path), ...none });
        this.#captures.set(number, { capture, batches: selectedBatches(capture, filter) });
      }
    }
  }

  async #rangeOf(reader: NativeStoreReader, path: string, range: SequenceRange): Promise<SequenceRange> {
    if (!this.#options.origins) return range;
    const { uuid, firstSequence, durableSequence } = await reader.info();
    const { fromSequence = 0n, toSequence = durableSequence } = range;
    const from = fromSequence > firstSequence ? fromSequence : firstSequence;
    const to = toSequence < durableSequence ? toSequence : durableSequence;
    this.origins.push({ kind: "store", name: basename(path), uuid, fromSequence: from, toSequence: to });
    return { fromSequence: from, toSequence: to };
  }

  /** Gives a capture's next batch to the encoder. Throws CAPTURE where it is damaged. */
  async feed(encoder: CaptureEncoder, number: number): Promise<void> {
    const { capture, batches } = this.#captures.get(number)!;
    let next: Awaited<ReturnType<Batches["next"]>>;
    try {
      next = await batches.next();
    } catch (error) {
      native(() => encoder.end(number));
      throw asPasteError(error);
    }
    native(() => {
      if (!next.value) {
        encoder.end(number);
        return;
      }
      const { anonymous } = this.#options;
      const interfaces = capture.interfaces.map((each, i) => ({
        linkType: each.linkType,
        name: anonymous ? `interface ${i + 1}` : each.name,
        snaplen: each.snaplen || capturedLengthMax,
      }));
      encoder.feed(number, next.value.batch, interfaces, next.value.selected);
    });
  }

  /** While no call of the encoder is under way. */
  counters(check: FilterCheck): { corrupt: number; overtaken: number } {
    let [corrupt, overtaken] = [0, 0];
    for (const reader of this.#stores) {
      const counters = reader.counters();
      check.saw(reader.names(), counters);
      corrupt += counters.corrupt;
      overtaken += counters.overtaken;
    }
    return { corrupt, overtaken };
  }

  get notes(): string[] {
    return [...new Set([...this.#captures.values()].flatMap(({ capture }) => capture.notes))];
  }
  get warnings(): string[] {
    return [...this.#captures.values()].flatMap(({ capture }) => capture.warnings);
  }

  async close(): Promise<void> {
    for (const reader of this.#stores) reader.close();
    for (const { batches, capture } of this.#captures.values()) {
      await batches.return();
      await capture.close();
    }
  }
}
